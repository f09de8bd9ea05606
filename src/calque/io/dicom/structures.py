"""What SEG and RTSTRUCT hold: `Structure`, `Structures`, and the `Reference` that they are placed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Box, Grid
from calque.io.dicom.model import Stack
from calque.labels import Colour
from calque.terminology import Code


@dataclass(frozen=True)
class Reference:
    """Where structures are wanted.

    Args:
        grid: of the label map.
        stack: the DICOM series with this grid; None where the grid comes from elsewhere, such as a NIfTI.
    """

    grid: Grid
    stack: Stack | None = None


@dataclass(frozen=True)
class Note:
    """Something that a reader of a label map should know.

    Args:
        name: of the finding that `check` makes of it, in `calque.dataset.doctor.kinds`.
        what: in words, with figures.
    """

    name: str
    what: str


@dataclass(frozen=True, eq=False)
class Structure:
    """A segment of a SEG, a region of interest of an RTSTRUCT.

    Args:
        name: unique in its object.
        number: its value in label maps, from 1: SegmentNumber, or its place in the structure set.
        colour: as the object recommends; None where it does not.
        code: what it is, where the object says so in a code that others know.
        box: where its voxels are on the grid; None where it has none.
        mask: of the shape of `box`.
    """

    name: str
    number: int
    colour: Colour | None
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None
    code: Code | None = None

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return 0 if self.mask is None else int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class Structures:
    """All structures of an object on one grid; they may overlap."""

    grid: Grid
    items: tuple[Structure, ...]
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the object."""
        return tuple(item.name for item in self.items)


Plane = tuple[int, int, int, NDArray[np.bool_]]
"""Slice, first row, first column, and the mask of (rows, columns) that begins there."""


def cropped_plane(index: int, mask: NDArray[np.bool_]) -> Plane | None:
    """The part of a (rows, columns) mask that holds something; None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    top, left = int(rows[0]), int(columns[0])
    return index, top, left, mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy()


def from_planes(planes: Sequence[Plane]) -> tuple[Box, NDArray[np.bool_]] | tuple[None, None]:
    """The box around planes, and the union of them in it."""
    if not planes:
        return None, None
    start = (min(z for z, *_ in planes), min(y for _, y, *_ in planes), min(x for *_, x, _ in planes))
    stop = (
        max(z for z, *_ in planes) + 1,
        max(y + mask.shape[0] for _, y, _, mask in planes),
        max(x + mask.shape[1] for *_, x, mask in planes),
    )
    box = Box(start, stop)
    array = np.zeros(box.shape, bool)
    for z, y, x, mask in planes:
        top, left = y - start[1], x - start[2]
        array[z - start[0], top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
    return box, array


def unique_names(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The names; where one occurs several times, or there is none, with the number."""
    given = [name.strip() for name in names]
    counts = Counter(given)
    return [
        name if name and counts[name] == 1 else f"{name or 'structure'} ({number})"
        for name, number in zip(given, numbers, strict=True)
    ]
