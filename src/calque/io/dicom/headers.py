"""One file's header to its planes: one for a plain slice, one for each frame of a multi-frame object."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from calque.errors import CalqueError, GeometryError, ReadError, TruncatedError
from calque.io.dicom.model import Layout, Series
from calque.io.dicom.raw import Elements

Triple = tuple[float, float, float]

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

_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # little endian, implicit and explicit
_STANDARD = "1.2.840.10008."
_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_UNSUPPORTED = {
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole slide in tiles",
    "1.2.840.10008.5.1.4.1.1.6.2": "an ultrasound volume, whose geometry is its own",
}
"""SOP classes of images that are not read."""

_MOST_FRAMES = 2**20
_CENTIMETRES = 3  # code of PhysicalUnitsXDirection


@dataclass(frozen=True, slots=True)
class Marks:
    """What may tell a slice from another one at the same place, where the header has it.

    `number` is the instance's; it orders pictures, never slices.
    """

    temporal: float | None = None
    acquisition: float | None = None
    echo: float | None = None
    b_value: float | None = None
    direction: tuple[float, ...] | None = None
    image_type: tuple[str, ...] = ()
    stack: str = ""
    trigger: float | None = None
    acquired: str = ""
    content: str = ""
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Plane:
    """One frame of one file, by its header alone.

    Args:
        path, frame, instance, sop_class, layout, slope, intercept, offset: as of `Slice`.
        series: to which it belongs.
        position: LPS mm of the first pixel's centre; None where it is not given.
        orientation: unit vectors of increasing column index, then of increasing row index.
        spacing: mm between rows, then between columns.
        spacing_from: keyword of the element that gave it.
        thickness: of the slice, mm.
        between: SpacingBetweenSlices, mm.
        marks: what may tell it from others at the same place.
    """

    path: Path
    frame: int
    instance: str
    sop_class: str
    series: Series
    layout: Layout
    slope: float
    intercept: float
    offset: int | None
    position: Triple | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    spacing_from: str
    thickness: float | None
    between: float | None
    marks: Marks


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
    sop_class = elements.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID")
    if not _is_image(sop_class, elements):
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
        layout = _layout(elements, meta.text("TransferSyntaxUID"))
        frames = elements.whole("NumberOfFrames") or 1
        offset = _pixels(file, layout, frames, path)
        instance = elements.text("SOPInstanceUID")
        if not instance:
            raise ReadError("This image has no SOPInstanceUID", where=path, fix="export it again")
        whole = _File(path, sop_class, instance, series, layout, offset)
        return tuple(_plane(whole, frame, group) for frame, group in enumerate(_groups(elements, frames)))
    except CalqueError as problem:
        raise Damaged(series, problem) from None


def _is_image(sop_class: str, elements: Elements) -> bool:
    """Whether this is a scan or picture; of private classes those that have rows.

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
    if not sop_class.startswith(_STANDARD):
        return elements.whole("Rows") is not None
    return sop_class in _UNSUPPORTED or _names_image(sop_class)


@cache
def _names_image(sop_class: str) -> bool:
    from pydicom.uid import UID

    return "Image Storage" in UID(sop_class).name


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


def _layout(elements: Elements, transfer_syntax: str) -> Layout:
    shorts = {
        name: elements.whole(name)
        for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
    }
    rows, columns, samples, allocated, stored, high = shorts.values()
    samples, photometric = samples or 1, elements.text("PhotometricInterpretation")
    stored = stored or allocated
    if not rows or not columns or allocated is None or stored is None:
        missing = [name for name in ("Rows", "Columns", "BitsAllocated") if not shorts[name]]
        raise ReadError("This image does not say how large it is", where=elements.where, got=f"no {missing}")
    if elements.item("ModalityLUTSequence") is not None:
        raise ReadError(
            "Values of this image go through a table, which is not supported",
            where=elements.where,
            got="ModalityLUTSequence",
            fix="convert it with dcmtk's dcmj2pnm or ask for linear values",
        )
    known = photometric in PHOTOMETRIC and samples == PHOTOMETRIC[photometric]
    sound = allocated in (8, 16, 32) and 0 < stored <= allocated and high in (None, stored - 1)
    if not known or not sound:
        raise ReadError(
            "Pixels of this kind are not supported",
            where=elements.where,
            expected=f"grey or colours of 8, 16 or 32 bits: {', '.join(PHOTOMETRIC)}",
            got=f"{photometric or 'no PhotometricInterpretation'}, {samples} samples, {allocated} bits "
            f"allocated, {stored} stored, high bit {high}",
        )
    signed = elements.whole("PixelRepresentation") == 1
    return _one_layout(rows, columns, samples, photometric, allocated, stored, signed, transfer_syntax)


_one_layout = cache(Layout)

PHOTOMETRIC = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Photometric interpretation -> samples of a pixel."""


def _pixels(file: BinaryIO, layout: Layout, frames: int, path: Path) -> int | None:
    """Where the bytes of the first frame begin; None where they are compressed.

    Nothing that is announced is allocated before the file was seen to hold it.

    Raises:
        TruncatedError: the file ends before its pixels do.
        ReadError: there are no pixels, or other many than announced.
    """
    if layout.transfer_syntax == "1.2.840.10008.1.2.1.99":  # deflated: pydicom inflates the whole file
        return None
    if not 0 < frames <= _MOST_FRAMES:
        raise ReadError("This is no possible number of frames", where=path, got=frames)
    head = file.read(12)
    order = ">" if layout.transfer_syntax == "1.2.840.10008.1.2.2" else "<"
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != _PIXEL_DATA:
        raise TruncatedError("This image has no pixels", where=path, fix="copy or export it again")
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    length = struct.unpack(order + "I", head[8:12] if explicit else head[4:8])[0]
    start = file.tell() - (0 if explicit else 4)
    if length == _UNDEFINED:
        return None
    needed, there = frames * layout.frame_bytes, os.fstat(file.fileno()).st_size - start
    if layout.photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    if there < min(length, needed):
        raise TruncatedError(
            "The file ends before its pixels do",
            where=path,
            expected=f"{max(length, needed)} bytes",
            got=f"{there}",
            fix="copy it again",
        )
    if not needed <= length < needed + max(needed // frames, 2):
        raise ReadError(
            "There are other many pixels than rows, columns and frames announce",
            where=path,
            expected=f"{needed} bytes",
            got=f"{length}",
            fix="export it again",
        )
    plain = layout.transfer_syntax in _NATIVE and not layout.colour
    return start if plain else None


def _groups(elements: Elements, frames: int) -> Iterator[_Places]:
    """For each frame, where its values are looked up: its own group, the shared one, the data set itself."""
    shared = elements.item("SharedFunctionalGroupsSequence")
    own = elements.items("PerFrameFunctionalGroupsSequence")
    if own and len(own) != frames:
        raise ReadError(
            "There are not as many descriptions as frames",
            where=elements.where,
            expected=f"{frames} items of PerFrameFunctionalGroupsSequence",
            got=len(own),
            fix="export it again",
        )
    for frame in range(frames):
        yield _Places(own[frame] if own else None, shared, elements)


@dataclass(frozen=True)
class _Places:
    own: Elements | None
    shared: Elements | None
    top: Elements

    def of(self, sequence: str) -> Elements:
        """The item of a functional group: the frame's, else the shared one, else the data set."""
        for place in (self.own, self.shared):
            item = None if place is None else place.item(sequence)
            if item is not None:
                return item
        return self.top


@dataclass(frozen=True)
class _File:
    """What all frames of a file share."""

    path: Path
    sop_class: str
    instance: str
    series: Series
    layout: Layout
    offset: int | None


def _plane(file: _File, frame: int, places: _Places) -> Plane:
    values, measures = places.of("PixelValueTransformationSequence"), places.of("PixelMeasuresSequence")
    slope, intercept = values.number("RescaleSlope"), values.number("RescaleIntercept")
    if slope == 0:
        raise ReadError("A rescale slope of 0 makes all values equal", where=file.path, fix="export it again")
    position = places.of("PlanePositionSequence").numbers("ImagePositionPatient", 3)
    spacing, spacing_from = _spacing(measures, places.top)
    return Plane(
        path=file.path,
        frame=frame,
        instance=file.instance,
        sop_class=file.sop_class,
        series=file.series,
        layout=file.layout,
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        offset=None if file.offset is None else file.offset + frame * file.layout.frame_bytes,
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=places.of("PlaneOrientationSequence").numbers("ImageOrientationPatient", 6),
        spacing=spacing,
        spacing_from=spacing_from,
        thickness=_length(measures, "SliceThickness"),
        between=_length(measures, "SpacingBetweenSlices"),
        marks=_marks(places),
    )


def _spacing(measures: Elements, top: Elements) -> tuple[tuple[float, ...] | None, str]:
    for place, keyword in (
        (measures, "PixelSpacing"),
        (top, "PixelSpacing"),
        (top, "ImagerPixelSpacing"),
        (top, "NominalScannedPixelSpacing"),
    ):
        found = place.numbers(keyword, 2)
        if found is None:
            continue
        if min(found) <= 0:
            raise GeometryError("A pixel has a size above 0", where=place.where, got=f"{keyword} {found}")
        return found, keyword
    regions = top.items("SequenceOfUltrasoundRegions")
    if len(regions) == 1 and regions[0].number("PhysicalUnitsXDirection") == _CENTIMETRES:
        x, y = regions[0].number("PhysicalDeltaX"), regions[0].number("PhysicalDeltaY")
        if x and y:
            return (10 * abs(y), 10 * abs(x)), "SequenceOfUltrasoundRegions"
    return None, ""


def _length(elements: Elements, keyword: str) -> float | None:
    """Above 0, or None: some scanners write 0 or -1 where they do not know."""
    value = elements.number(keyword)
    return abs(value) if value else None


def _marks(places: _Places) -> Marks:
    top, many = places.top, places.own is not None
    content = places.of("FrameContentSequence")
    diffusion = places.of("MRDiffusionSequence")
    gradient = diffusion.item("DiffusionGradientDirectionSequence") or diffusion
    echo = places.of("MREchoSequence").number("EffectiveEchoTime") if many else None
    if echo is None and len(top.texts("EchoNumbers")) == 1:
        echo = top.number("EchoNumbers")
    cardiac = places.of("CardiacSynchronizationSequence").number("NominalCardiacTriggerDelayTime")
    temporal = content.number("TemporalPositionIndex")
    acquisition = content.number("FrameAcquisitionNumber")
    return Marks(
        temporal=top.number("TemporalPositionIdentifier") if temporal is None else temporal,
        acquisition=top.number("AcquisitionNumber") if acquisition is None else acquisition,
        echo=echo,
        b_value=diffusion.number("DiffusionBValue"),
        direction=gradient.numbers("DiffusionGradientOrientation", 3),
        image_type=places.of("MRImageFrameTypeSequence").texts("FrameType") or top.texts("ImageType"),
        stack=content.text("StackID"),
        trigger=top.number("TriggerTime") if cardiac is None else cardiac,
        acquired=content.text("FrameAcquisitionDateTime")
        or top.text("AcquisitionDateTime")
        or top.text("AcquisitionTime"),
        content=top.text("ContentTime"),
        number=top.number("InstanceNumber"),
    )


@cache
def _tags() -> tuple[int, ...]:
    from pydicom.tag import Tag

    return tuple(Tag(keyword) for keyword in TAGS)
