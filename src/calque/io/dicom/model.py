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
class Layout:
    """How the pixels of a frame are stored.

    Args:
        rows: along array axis y.
        columns: along array axis x.
        samples: 1, or 3 for colours.
        photometric: PhotometricInterpretation.
        allocated: bits that a sample takes.
        stored: bits of them that count.
        signed: whether these are two's complement.
        transfer_syntax: UID.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    signed: bool
    transfer_syntax: str

    @property
    def frame_bytes(self) -> int:
        """Of one frame that is not compressed."""
        return self.rows * self.columns * self.samples * (self.allocated // 8)

    @property
    def colour(self) -> bool:
        """Whether a pixel becomes red, green and blue."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def stored_range(self) -> tuple[int, int]:
        """The least and the largest value that can be stored."""
        if self.signed:
            return -(2 ** (self.stored - 1)), 2 ** (self.stored - 1) - 1
        return 0, 2**self.stored - 1


@dataclass(frozen=True)
class Slice:
    """One plane: a frame of an instance.

    Args:
        path: the file.
        frame: which of its frames, from 0.
        instance: SOPInstanceUID.
        sop_class: SOPClassUID.
        position: LPS mm of the centre of its first pixel; zeros where a picture has none.
        layout: how its pixels are stored.
        slope: value = stored * slope + intercept.
        intercept: see `slope`.
        offset: where the frame's bytes begin in the file; None where they are compressed.
    """

    path: Path
    frame: int
    instance: str
    sop_class: str
    position: tuple[float, float, float]
    layout: Layout = field(repr=False)
    slope: float = field(default=1.0, repr=False)
    intercept: float = field(default=0.0, repr=False)
    offset: int | None = field(default=None, repr=False)


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
    """What cannot be read, and why. `series` is None where not even the header could be read.

    Args:
        series: to which it belongs.
        error: what is wrong.
        paths: its files, as far as they are known.
    """

    series: Series | None
    error: CalqueError
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a source holds."""

    stacks: tuple[Stack, ...]
    refused: tuple[Refused, ...] = ()
