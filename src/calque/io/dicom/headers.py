"""One file's header to its planes: one for a plain slice, one for each frame of a multi-frame object."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import BinaryIO

from calque.errors import CalqueError, ReadError
from calque.io.dicom.frames import File, planes_of
from calque.io.dicom.layout import layout_of, pixels_begin
from calque.io.dicom.model import Series
from calque.io.dicom.planes import Plane
from calque.io.dicom.raw import Elements

_SERIES = (
    "SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID "
    "Modality SeriesDescription SeriesNumber BodyPartExamined PatientID"
)
_PIXELS = (
    "Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit "
    "PixelRepresentation NumberOfFrames RescaleSlope RescaleIntercept ModalityLUTSequence"
)
_PLACE = (
    "ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing "
    "SliceThickness SpacingBetweenSlices SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence "
    "SequenceOfUltrasoundRegions"
)
_MARKS = (
    "ImageType AcquisitionNumber TemporalPositionIdentifier TriggerTime AcquisitionTime ContentTime "
    "AcquisitionDateTime InstanceNumber EchoNumbers EchoTime DiffusionBValue DiffusionGradientOrientation"
)
TAGS = f"{_SERIES} {_PIXELS} {_PLACE} {_MARKS}".split()
"""What is read of a header, by keyword."""

_STANDARD = "1.2.840.10008."
_UNSUPPORTED = {
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole slide in tiles",
    "1.2.840.10008.5.1.4.1.1.6.2": "an ultrasound volume, whose geometry is its own",
}
"""SOP classes of images that are not read."""


class Damaged(Exception):  # noqa: N818  (it carries an error to whom it concerns)
    """A header whose series is known and that is damaged otherwise: the whole series is refused."""

    def __init__(self, series: Series, error: CalqueError) -> None:
        super().__init__(series, error)
        self.series, self.error = series, error


def read_planes(path: Path) -> tuple[Plane, ...] | None:
    """The planes of one file; none where it is DICOM and no image; None where it is no DICOM.

    Raises:
        Damaged: the header is damaged, and the series is known.
        ReadError: the header is damaged, and not even the series is known.
    """
    from pydicom import dcmread

    try:
        with path.open("rb") as file:
            head = file.read(132)
            if head[128:] != b"DICM":
                _require_no_dicom(path, head)
                return None
            file.seek(0)
            try:
                data = dcmread(file, stop_before_pixels=True, specific_tags=list(_tags()))
            except Exception as problem:  # pydicom: on damaged bytes it raises anything
                raise ReadError(
                    "The header of this DICOM file is damaged",
                    where=path,
                    got=problem or type(problem).__name__,
                    fix="copy or export it again, or remove it",
                ) from None
            return _planes(file, Elements(data, path), path)
    except OSError as problem:
        raise ReadError("This file cannot be read", where=path, got=problem.strerror) from None


def _require_no_dicom(path: Path, head: bytes) -> None:
    """Refuse what must have been meant as DICOM.

    Raises:
        ReadError: it is named .dcm, or begins as DICOM does where its preamble was left out.
    """
    bare = head[:4] in (b"\x08\0\x00\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x02\0\x00\0", b"\x02\0\x01\0")
    if path.suffix.lower() == ".dcm" or bare:
        raise ReadError(
            "This is no DICOM file, though it looks like one",
            where=path,
            expected='"DICM" at byte 128',
            got="an empty file" if not head else "other bytes",
            fix="write it anew with its preamble (dcmconv), or remove it",
        )


def _planes(file: BinaryIO, elements: Elements, path: Path) -> tuple[Plane, ...]:
    meta = Elements(elements.data.file_meta, path)
    stored = meta.text("MediaStorageSOPClassUID")
    sop_class = elements.text("SOPClassUID") or stored
    is_image = _is_image(sop_class, elements)
    if stored and is_image != _is_image(stored, elements):
        raise ReadError(
            "This DICOM file contradicts itself on whether it is an image",
            where=path,
            got=f"classes {sop_class} and {stored}",
            fix="it is damaged: copy or export it again, or remove it",
        )
    if not is_image:
        return ()
    series = _series(elements)
    if not series.uid:
        raise ReadError(
            "This image says no series", where=path, expected="SeriesInstanceUID", fix="export it again"
        )
    try:
        if sop_class in _UNSUPPORTED:
            raise ReadError(
                "Images of this kind are not read",
                where=path,
                got=_UNSUPPORTED[sop_class],
                fix="export it as TIFF, PNG or NIfTI",
            )
        layout = layout_of(elements, meta.text("TransferSyntaxUID"))
        frames = elements.whole("NumberOfFrames") or 1
        offset = pixels_begin(file, layout, frames, path)
        instance = elements.text("SOPInstanceUID")
        if not instance:
            raise ReadError("This image has no SOPInstanceUID", where=path, fix="export it again")
        return planes_of(File(path, sop_class, instance, series, layout, offset), elements, frames)
    except CalqueError as problem:
        raise Damaged(series, problem) from None


def _is_image(sop_class: str, elements: Elements) -> bool:
    """Whether this is a scan or picture; of private classes, and of new ones, those that have rows.

    Raises:
        ReadError: it does not say what it is.
    """
    if not sop_class:
        raise ReadError(
            "This DICOM file does not say what it holds",
            where=elements.where,
            expected="SOPClassUID",
            fix="copy or export it again, or remove it",
        )
    name = _name_of(sop_class)
    if name is None:
        return elements.whole("Rows") is not None
    return sop_class in _UNSUPPORTED or "Image Storage" in name


@cache
def _name_of(sop_class: str) -> str | None:
    """As the standard calls it; None of a class that it does not know."""
    from pydicom.uid import UID

    name = UID(sop_class).name if sop_class.startswith(_STANDARD) else sop_class
    return None if name == sop_class else name


def _series(elements: Elements) -> Series:
    number = elements.text("SeriesNumber")
    return _one_series(
        elements.text("SeriesInstanceUID"),
        elements.text("StudyInstanceUID"),
        elements.text("FrameOfReferenceUID") or None,
        elements.text("Modality"),
        _described(elements),
        int(number) if number.lstrip("+-").isdecimal() else None,
        elements.text("BodyPartExamined"),
        elements.text("PatientID"),
    )


_one_series = cache(Series)  # one object for all planes of a series


def _described(elements: Elements) -> str:
    """The description in its own character set."""
    plain = elements.text("SeriesDescription")
    if plain.isascii() and "\x1b" not in plain:
        return plain
    try:
        return str(elements.data.SeriesDescription)
    except Exception:  # it is for people's eyes alone
        return plain


@cache
def _tags() -> tuple[int, ...]:
    from pydicom.tag import Tag

    return tuple(Tag(keyword) for keyword in TAGS)
