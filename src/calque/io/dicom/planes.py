"""One plane of a series by its header alone, and what tells it from others at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.io.dicom.model import Layout, Series

Triple = tuple[float, float, float]


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


@dataclass(frozen=True)
class Group:
    """Planes that belong together, and the words that tell them from the rest of their series."""

    planes: tuple[Plane, ...]
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, planes: Sequence[Plane], word: str) -> Group:
        """Some of the planes, told apart by one more word."""
        return Group(tuple(planes), (*self.words, word) if word else self.words, self.notes)
