"""The basic profile (PS3.15, E.1) on one data set, sequences and all.

The table of attributes is that of dicom-anonymizer (edition 2026c). It is applied here to every level of
nesting and with keyed stand-ins for UIDs; what the table does not name is treated by its kind: private and
unknown attributes, names, curves and overlays go; dates are emptied or shifted; UIDs that are no classes are
replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from calque.deidentification.pseudonyms import Pseudonyms
from calque.errors import InputError, MissingExtraError
from calque.value import Value

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

Retain = Literal["dates", "characteristics", "descriptors", "device"]
"""dates: shifted, by one number of days for each patient; characteristics: age, sex, size, weight;
descriptors: of study and series, names of structures; device: its names and numbers."""

EDITION = "dicomfields_2026c"
_KEPT: dict[Retain, frozenset[str]] = {
    "dates": frozenset(),
    "characteristics": frozenset(
        {"PatientAge", "PatientSex", "PatientSize", "PatientWeight", "PregnancyStatus", "SmokingStatus"}
    ),
    "descriptors": frozenset(
        {"StudyDescription", "SeriesDescription", "ProtocolName", "ROIName", "ROIObservationLabel"}
        | {"StructureSetLabel", "StructureSetName", "ROIDescription", "ContrastBolusAgent"}
    ),
    "device": frozenset({"DeviceSerialNumber", "StationName", "DetectorID", "GantryID", "PlateID"}),
}
# Codes of PS3.16, CID 7050: which options were applied.
_CODES: dict[Retain | Literal["basic"], tuple[str, str]] = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "characteristics": ("113108", "Retain Patient Characteristics Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "device": ("113109", "Retain Device Identity Option"),
}
_DUMMIES = {"DA": "19000101", "DT": "19000101000000", "TM": "000000"}  # the library's year 1 is found invalid
_UID_CLASSES = ("SOPClass", "TransferSyntax", "CodingScheme", "MappingResource", "Context", "RelatedGeneral")
_TEXT = frozenset(
    {"TextValue", "UnformattedTextValue"}
)  # within content that the profile replaces as a whole


class DeidOptions(Value):
    """What stays beyond the basic profile.

    Args:
        retain: see `Retain`.
        pixels_checked: somebody has looked: there are no names in pictures that may hold some.
    """

    retain: tuple[Retain, ...] = ()
    pixels_checked: bool = False


@dataclass(frozen=True)
class Cleaner:
    """Cleans one data set after the other.

    Args:
        pseudonyms: stand-ins.
        options: what stays.
    """

    pseudonyms: Pseudonyms
    options: DeidOptions

    def clean(self, data: Dataset) -> None:
        """Clean `data` in place.

        Raises:
            InputError: it may hold names in its pixels, or an identifier is left after all.
        """
        if not self.options.pixels_checked:
            require_no_burned_in(data)
        patient, identifiers = patient_of(data), identifiers_of(data)
        _Pass(self, patient).over(data)
        data.PatientID = data.PatientName = self.pseudonyms.patient(patient)
        self._say_so(data)
        _require_gone(data, identifiers)

    def _say_so(self, data: Dataset) -> None:
        from pydicom import Dataset

        data.PatientIdentityRemoved = "YES"
        data.DeidentificationMethod = "Calque: PS3.15 E basic profile, table 2026c"
        codes = []
        applied: tuple[Retain | Literal["basic"], ...] = ("basic", *self.options.retain)
        for name in applied:
            item = Dataset()
            item.CodeValue, item.CodeMeaning = _CODES[name]
            item.CodingSchemeDesignator = "DCM"
            codes.append(item)
        data.DeidentificationMethodCodeSequence = codes
        data.LongitudinalTemporalInformationModified = (
            "MODIFIED" if "dates" in self.options.retain else "REMOVED"
        )


@dataclass(frozen=True)
class _Pass:
    """One walk through one patient's data set."""

    cleaner: Cleaner
    patient: str

    def over(self, data: Dataset) -> None:
        for tag in list(data.keys()):
            element = data[tag]
            action = self._action(element)
            if action == "delete":
                del data[tag]
            elif action != "keep":
                self._apply(element, action)

    def _action(self, element: DataElement) -> str:
        tag, name = element.tag, element.keyword
        retain = self.cleaner.options.retain
        if any(name in _KEPT[option] for option in retain):
            return "keep"
        if element.VR in _DUMMIES and "dates" in retain and "Birth" not in name:
            return "keep" if element.VR == "TM" else "shift"
        if tag.is_private or not name or tag.group >> 8 in (0x50, 0x60) or tag == 0xFFFCFFFC:
            return "delete"
        named = _table().get(int(tag))
        if element.VR == "SQ":
            return _for_sequence(named)
        return named or _by_kind(element)

    def _apply(self, element: DataElement, action: str) -> None:
        from dicomanonymizer import simpledicomanonymizer as library

        if action == "recurse":
            for item in element.value:
                self.over(item)
        elif action == "uid":
            new = [self.cleaner.pseudonyms.uid(str(uid)) for uid in _values(element)]
            element.value = new[0] if len(new) == 1 else new
        elif action == "shift":
            moved = [self.cleaner.pseudonyms.shift(str(one), self.patient) for one in _values(element)]
            element.value = moved[0] if len(moved) == 1 else moved
        elif action == "replace" and element.VR in _DUMMIES:
            element.value = _DUMMIES[element.VR]
        elif action == "replace":
            library.replace_element(element)
        else:
            element.value = [] if element.VR == "SQ" else None


def _values(element: DataElement) -> list[object]:
    value = element.value
    if value is None or value == "":
        return []
    return [value] if element.VM <= 1 else list(value)


def _for_sequence(named: str | None) -> str:
    """Sequences that hold what others refer to are kept and cleaned inside; else as the table says."""
    if named in (None, "uid_inside", "content"):
        return "recurse"
    return str(named)


def _by_kind(element: DataElement) -> str:
    """For attributes that the table does not name."""
    if element.VR == "PN" or element.keyword in _TEXT:
        return "replace"
    if element.VR in ("DA", "DT"):
        return "empty"
    if element.VR == "UI" and not any(part in element.keyword for part in _UID_CLASSES):
        return "uid"
    return "keep"


@cache
def _table() -> dict[int, str]:
    """Tag -> action, of the library's table; masks (curves, overlays) are treated by their group."""
    try:
        from dicomanonymizer.simpledicomanonymizer import initialize_actions
    except ImportError:
        raise MissingExtraError("dicom-anonymizer", "dicom") from None
    from pydicom.datadict import dictionary_VR

    actions = {
        "delete": "delete",
        "empty": "empty",
        "delete_or_empty": "empty",
        "replace": "replace",
        "empty_or_replace": "replace",
        "delete_or_replace": "replace",
        "delete_or_empty_or_replace": "replace",
        "replace_UID": "uid",
        "delete_or_empty_or_replace_UID": "uid_inside",
    }
    table = {}
    for tag, function in initialize_actions(EDITION).items():
        if len(tag) > 2:
            continue
        number = (tag[0] << 16) | tag[1]
        table[number] = actions[function.__name__]
        if table[number] == "replace" and _is_sequence(dictionary_VR, number):
            table[number] = "content" if function.__name__ == "replace" else "delete"
    return table


def _is_sequence(dictionary_vr: object, number: int) -> bool:
    try:
        return bool(dictionary_vr(number) == "SQ")  # type: ignore[operator]
    except KeyError:
        return False


def patient_of(data: Dataset) -> str:
    """What tells patients apart: issuer and PatientID, or else name and birth date."""
    number = str(data.get("PatientID", "") or "").strip()
    if number:
        return f"{data.get('IssuerOfPatientID', '')!s}\0{number}"
    return f"{data.get('PatientName', '')!s}\0{data.get('PatientBirthDate', '')!s}"


def identifiers_of(data: Dataset) -> frozenset[str]:
    """What must not be found afterwards: parts of names, numbers; of four characters or more."""
    found: set[str] = set()
    for element in data.iterall():
        if element.VR == "PN":
            for value in _values(element):
                found.update(part for part in str(value).replace("=", "^").split("^"))
        elif element.keyword in ("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID", "StudyID"):
            found.update(str(value) for value in _values(element))
    return frozenset(one.strip().casefold() for one in found if len(one.strip()) >= 4)


def require_no_burned_in(data: Dataset) -> None:
    """Refuse pictures that say, or whose kind lets one expect, that names are in their pixels.

    Raises:
        InputError: this is one.
    """
    said = str(data.get("BurnedInAnnotation", "") or "").upper()
    if "PixelData" not in data and "EncapsulatedDocument" not in data:
        return
    risky = str(data.get("Modality", "")) in ("US", "IVUS", "SC", "OT", "DOC") or str(
        data.get("SOPClassUID", "")
    ).startswith(("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104"))
    if said == "YES" or (risky and said != "NO"):
        raise InputError(
            "The picture may show whose it is",
            expected="BurnedInAnnotation NO, or a kind of image into which nobody writes",
            got=f"BurnedInAnnotation {said or 'not given'}, modality {data.get('Modality', 'not given')}",
            fix="look at the pictures; if there are no names in them, --pixels-checked",
        )


def _require_gone(data: Dataset, identifiers: frozenset[str]) -> None:
    for element in data.iterall():
        if element.VR in ("SQ", "UI", "OB", "OW", "OF", "OD", "OL", "OV", "DS", "IS"):
            continue
        text = str(element.value).casefold()
        if any(one in text for one in identifiers):
            raise InputError(
                "An identifier of the patient stands where the profile leaves text as it is",
                got=f"{element.tag} {element.keyword}",
                fix="leave this kind of text out (--retain without descriptors), or remove it before",
            )
