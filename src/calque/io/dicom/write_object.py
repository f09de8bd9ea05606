"""What all objects that are written share: who made them, whose they are, which they refer to, their UIDs.

UIDs are derived, not drawn (docs/decisions/dicom-objects.md): the same labels by the same model for the same
images are the same object, so that a PACS that receives it twice keeps one.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from calque.errors import InputError, MissingExtraError, ReadError
from calque.io.atomic import atomic_path
from calque.io.dicom.model import Slice, Stack
from calque.value import Value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Kind = Literal["seg", "labelmap", "rtstruct", "sr", "overlay"]

_NAMESPACE = uuid.UUID("8bd5f0a2-64f1-5a0b-9c0e-3f6f6f5a9d11")
_ORDER: dict[Kind, int] = {"seg": 1, "labelmap": 2, "rtstruct": 3, "sr": 4, "overlay": 5}
_WORDS: dict[Kind, str] = {
    "seg": "segmentation",
    "labelmap": "segmentation",
    "rtstruct": "contours",
    "sr": "measurements",
    "overlay": "overlay",
}
_MAKER, CREATOR = "Calque", "Calque^Software"

# Patient, patient study, general study: what says whose images they are, and nothing else of the source.
_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_DEIDENTIFIED = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence")
_CUT = {"StudyID": 16, "StudyDescription": 64}  # real ones are too long; nothing is found by them
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


class Identity(Value):
    """What made the labels.

    Args:
        name: of the model, or of what else made them.
        version: of Calque.
        key: the model's (`Model.key`); "" for labels that no known model made.
        automatic: False for labels that a person drew, or that come from no one knows where.
    """

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    key: str = ""
    automatic: bool = True


class Written(NamedTuple):
    """An object that stands.

    Args:
        path: of the file, or of the folder of a series.
        sop_class: of the object; the first one's of a series.
        instance: SOPInstanceUID, likewise.
        series: SeriesInstanceUID.
        notes: what a person should know.
    """

    path: Path
    sop_class: str
    instance: str
    series: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Source:
    """The images that were segmented, and what their headers say.

    Args:
        stack: of `find_stacks`.
        header: of the first slice's file, without pixels.
    """

    stack: Stack
    header: Dataset

    @property
    def files(self) -> tuple[Slice, ...]:
        """One slice per instance, in the order of the stack."""
        seen: dict[str, Slice] = {}
        for one in self.stack.slices:
            seen.setdefault(one.instance, one)
        return tuple(seen.values())

    @property
    def frame_of_reference(self) -> str | None:
        """FrameOfReferenceUID; one that is derived where the series has positions but names none."""
        series = self.stack.series
        if not self.stack.placed:
            return None
        return series.frame_of_reference or derived_uid("frame of reference", series.uid)


def read_source(stack: Stack) -> Source:
    """The header of a stack's first file.

    Raises:
        ReadError: it cannot be read any more.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise MissingExtraError("pydicom", "dicom") from None
    path = stack.slices[0].path
    try:
        return Source(stack, pydicom.dcmread(path, stop_before_pixels=True, force=True))
    except (OSError, InvalidDicomError, EOFError) as problem:
        raise ReadError("The images cannot be read any more", where=path, got=problem) from None


def derived_uid(*parts: str) -> str:
    """The UID that stands for these words: 2.25 and a name-based UUID (PS3.5, B.2; RFC 9562, version 5)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(parts)).int}"


def digest(*parts: bytes) -> str:
    """SHA-256 of some contents."""
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


def series_uid(source: Source, identity: Identity, kind: Kind) -> str:
    """Of the series in which all that one model says about one stack is, by kind of object."""
    stack = source.stack
    return derived_uid("series", kind, stack.series.uid, stack.name, identity.key or identity.name)


def instance_uid(source: Source, identity: Identity, kind: Kind, content: str) -> str:
    """Of one object: other content, another UID.

    Args:
        source: what was segmented; each instance counts.
        identity: what made it.
        kind: of the object.
        content: digest of what it holds.
    """
    slices = digest(*(f"{one.instance} {one.frame}".encode() for one in source.stack.slices))
    return derived_uid("instance", series_uid(source, identity, kind), slices, identity.to_json(), content)


def new_object(source: Source, identity: Identity, kind: Kind, sop_class: str, content: str) -> Dataset:
    """A data set with patient and study of the source, a series and an instance of its own.

    Modules: SOP common, patient, study, series, equipment, and (where there is one) frame of reference.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(instance_uid(source, identity, kind, content))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    _copy_patient_and_study(source, data)
    data.SeriesInstanceUID = series_uid(source, identity, kind)
    number = (source.stack.series.number or 0) % 10**6
    data.SeriesNumber = max(number, 0) * 100 + _ORDER[kind]
    data.SeriesDescription = short(f"{identity.name} {_WORDS[kind]}", 64)
    data.Manufacturer, data.ManufacturerModelName = _MAKER, short(identity.name, 64)
    data.DeviceSerialNumber = identity.key or identity.name[:64]
    data.SoftwareVersions = short(identity.version, 64)
    data.InstanceNumber = 1
    now = datetime.datetime.now()
    data.InstanceCreationDate = data.ContentDate = data.SeriesDate = now.strftime("%Y%m%d")
    data.InstanceCreationTime = data.ContentTime = data.SeriesTime = now.strftime("%H%M%S")
    if source.frame_of_reference is not None:
        data.FrameOfReferenceUID = source.frame_of_reference
        data.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator", "")
    return data


def _copy_patient_and_study(source: Source, data: Dataset) -> None:
    """As text: what was another character set becomes UTF-8. Wrong as the source may be, it is copied."""
    from pydicom.config import disable_value_validation

    with disable_value_validation():
        _copy(source.header, data)
    if not data.get("StudyInstanceUID"):
        raise InputError(
            "These images belong to no study, so nothing can be filed with them",
            where=source.stack.slices[0].path,
            expected="StudyInstanceUID",
        )


def _copy(header: Dataset, data: Dataset) -> None:
    says_how = any(header.get(name) for name in _DEIDENTIFIED[1:])
    for name in _COPIED + (_DEIDENTIFIED if says_how else ()):  # "removed" without how is not valid
        value = header.get(name)
        if value is None or (value == "" and name not in _TYPE_2):
            continue
        text = isinstance(value, str) or name.endswith("Name")
        setattr(data, name, str(value)[: _CUT.get(name)] if text else value)
    for name in _TYPE_2:
        if name not in data:
            setattr(data, name, "")


def name_contents(data: Dataset, identity: Identity, what: str) -> None:
    """The content identification macro: label, description, creator."""
    data.ContentLabel = "CALQUE"
    data.ContentDescription = short(f"{what} by {identity.name}", 64)
    data.ContentCreatorName = CREATOR


def referenced_series(source: Source) -> Dataset:
    """An item of ReferencedSeriesSequence that names every source image."""
    item = new_item()
    item.SeriesInstanceUID = source.stack.series.uid
    item.ReferencedInstanceSequence = [referenced_instance(one) for one in source.files]
    return item


def referenced_instance(one: Slice) -> Dataset:
    """SOP class and instance."""
    item = new_item()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.instance
    return item


def new_item() -> Dataset:
    """An empty item of a sequence."""
    from pydicom.dataset import Dataset

    return Dataset()


def save(data: Dataset, path: Path | str) -> None:
    """Write a data set, whole or not at all.

    Raises:
        ResourceError: the disk is full.
        InputError: the place cannot be written to.
    """
    with atomic_path(path) as aside:
        data.save_as(aside, enforce_file_format=True)


def decimals(values: Iterable[float]) -> list[str]:
    """DS: at most 16 characters, six places after the point."""
    return [_decimal(float(value)) for value in values]


def _decimal(value: float) -> str:
    text = f"{round(value, 6) + 0.0:.6f}".rstrip("0").rstrip(".")
    return text if len(text) <= 16 else f"{value:.10g}"


def cosines(values: Iterable[float]) -> list[str]:
    """DS of direction cosines: as many digits as 16 characters hold."""
    return [f"{value + 0.0:.12f}"[:16] for value in values]


def short(text: str, most: int) -> str:
    """A text that fits; backslashes, which part values in DICOM, become slashes."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text).replace("\\", "/")
    return clean.strip()[:most].strip()
