"""What a DICOM source holds: `Series`, `Slice`, `Stack`, `Found`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from calque.errors import CalqueError
from calque.geometry import Grid


@dataclass(frozen=True)
class Series:
    """Instances that were stored as one series.

    Args:
        uid: SeriesInstanceUID.
        study: StudyInstanceUID.
        frame_of_reference: FrameOfReferenceUID; None where it is not given.
        modality: such as "CT".
        description: SeriesDescription, as the scanner's operator wrote it.
        number: SeriesNumber.
        body_part: BodyPartExamined; "" where it is not given.
        patient: PatientID; only keeps patients apart in splits, never shown or logged.
    """

    uid: str
    study: str
    frame_of_reference: str | None
    modality: str
    description: str
    number: int | None
    body_part: str
    patient: str = field(repr=False)


@dataclass(frozen=True)
class Slice:
    """One plane: a frame of an instance.

    Args:
        path: the file.
        frame: which of its frames, from 0.
        instance: SOPInstanceUID.
        sop_class: SOPClassUID.
        position: LPS mm of the centre of its first pixel.
    """

    path: Path
    frame: int
    instance: str
    sop_class: str
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Stack:
    """Planes that are one volume (or one picture).

    Args:
        series: to which it belongs.
        name: "" where it is the series' only volume, else what tells it from the others: "acquisition 2",
            "time 3", "echo 1", "b 800".
        grid: array axes (z, y, x) -> LPS mm.
        slices: in the order of array axis z.
        tilt: degrees of the gantry. 0: `grid` is that of the slices. Else `grid` is the upright grid to which
            the volume is resampled, and `slices` are the source planes.
        placed: whether `grid` is the patient's; a radiograph's or photograph's is its own plane
            (docs/decisions/pictures.md).
        spacing_known: whether the spacing is physical; if not, a pixel counts as 1 mm.
        notes: what a reader should know: duplicates that were dropped, where the spacing comes from.
    """

    series: Series
    name: str
    grid: Grid
    slices: tuple[Slice, ...]
    tilt: float = 0.0
    placed: bool = True
    spacing_known: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """What cannot be read, and why. `series` is None where not even the header could be read."""

    series: Series | None
    error: CalqueError


@dataclass(frozen=True)
class Found:
    """What a source holds."""

    stacks: tuple[Stack, ...]
    refused: tuple[Refused, ...] = ()
