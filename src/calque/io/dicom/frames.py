"""The planes of one file: itself, or each frame of a multi-frame object with its functional groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calque.errors import GeometryError, ReadError
from calque.io.dicom.model import Layout, Series
from calque.io.dicom.planes import Marks, Plane
from calque.io.dicom.raw import Elements

_CENTIMETRES = 3  # code of PhysicalUnitsXDirection


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
class File:
    """What all frames of a file share."""

    path: Path
    sop_class: str
    instance: str
    series: Series
    layout: Layout
    offset: int | None


def planes_of(file: File, elements: Elements, frames: int) -> tuple[Plane, ...]:
    """A plane for each frame.

    Raises:
        ReadError, GeometryError: an element is damaged, or there are not as many descriptions as frames.
    """
    return tuple(_plane(file, frame, group) for frame, group in enumerate(_groups(elements, frames)))


def _plane(file: File, frame: int, places: _Places) -> Plane:
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
