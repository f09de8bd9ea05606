"""Onto the grid of the series that an object belongs to: by reference, else by geometry, never by resampling.

A reference is a SOPInstanceUID (with a frame number, for multi-frame images) that the object names and the
series has. Where none matches, positions decide: they mean the same where the frame of reference is the same,
and the planes must lie on those of the series. Contradictions are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.geometry import Box, Grid
from calque.io.dicom.structures import Note, Reference, Structures

OFF_PLANE = 0.1
"""How far from the middle of a voxel or slice a position may lie, in voxels: coordinates are rounded."""

Source = tuple[str, int | None]
"""SOPInstanceUID, and the number of a frame from 1, where one is named."""


class Places:
    """The slices of a reference by the images that they come from.

    Args:
        reference: where structures are placed.
        where: the object, for errors.
    """

    def __init__(self, reference: Reference, where: Path) -> None:
        self.reference = reference
        self.where = where
        self.matched = 0
        self.unmatched = 0

    @cached_property
    def _slices(self) -> dict[Source, set[int]]:
        found: dict[Source, set[int]] = defaultdict(set)
        stack = self.reference.stack
        for k, plane in enumerate(() if stack is None else stack.slices):
            found[plane.instance, None].add(k)
            found[plane.instance, plane.frame + 1].add(k)
        return found

    def confirm(self, place: int, sources: Iterable[Source], what: str) -> None:
        """Count whether references lead to slice `place`, which geometry gave.

        Raises:
            GeometryError: they lead to other slices.
        """
        named: set[int] = set()
        for source in sources:
            named |= self._slices.get(source, set())
        if named and place not in named:
            raise GeometryError(
                "A structure is not where the image lies that it refers to",
                where=f"{self.where}: {what}",
                expected=f"slice {', '.join(map(str, sorted(named)[:5]))} of the series, by reference",
                got=f"slice {place}, by position",
                fix="see whether the series was changed after the structures were drawn",
            )
        self.matched += bool(named)
        self.unmatched += not named

    def conclude(self, frame_of_reference: str | None) -> tuple[Note, ...]:
        """What is to be said of how the object was placed, once everything was confirmed.

        Raises:
            GeometryError: neither references nor the frame of reference tie the object to the series.
        """
        stack = self.reference.stack
        if stack is None or not self.unmatched:
            return ()
        own = stack.series.frame_of_reference
        same = frame_of_reference is not None and own == frame_of_reference
        if not self.matched and own is not None and frame_of_reference is not None and not same:
            raise GeometryError(
                "These structures belong to another series",
                where=self.where,
                expected="references to this series' images, or the same frame of reference",
                got="neither",
                fix="give the series on which they were drawn",
            )
        known = "the frame of reference is the same" if same else "a frame of reference is not given"
        count = f"{self.unmatched} of {self.matched + self.unmatched} planes"
        return (Note("structures-by-geometry", f"{count} refer to no image of the series; {known}"),)


def slice_of(heights: NDArray[np.float64], where: str) -> int:
    """The slice on which points of these fractional indices along z lie.

    Raises:
        GeometryError: they do not lie on one slice.
    """
    place = int(np.rint(np.median(heights)))
    gap = float(np.abs(heights - place).max())
    if gap > OFF_PLANE:
        raise GeometryError(
            "A contour does not lie on a slice of the series",
            where=where,
            expected=f"within {OFF_PLANE:g} of the distance between slices",
            got=f"{gap:.3g} of it from slice {place}",
            fix="give the series on which it was drawn; contours are not resampled",
        )
    return place


def to_grid(structures: Structures, grid: Grid, where: Path) -> Structures:
    """The same voxels on another grid whose lattice they lie on: axes permuted, flipped and moved, exactly.

    Raises:
        GeometryError: the lattices differ, or voxels lie outside `grid`.
    """
    own = structures.grid
    if own == grid:
        return structures
    change = grid.index_from(own)
    exact = np.rint(change)
    _same_lattice(change, exact, own, grid, where)
    axes = [int(np.flatnonzero(exact[row, :3])[0]) for row in range(3)]
    signs = [int(exact[row, axes[row]]) for row in range(3)]
    moved = []
    for item in structures.items:
        if item.box is None or item.mask is None:
            moved.append(item)
            continue
        mask = item.mask.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
        corners = np.array([item.box.start, np.array(item.box.stop) - 1]) @ exact[:3, :3].T + exact[:3, 3]
        start, last = corners.min(axis=0).astype(int), corners.max(axis=0).astype(int)
        if (start < 0).any() or (last >= grid.shape).any():
            raise outside(f"{where}: {item.name}", Box(_three(start), _three(last + 1)), grid)
        moved.append(replace(item, box=Box(_three(start), _three(last + 1)), mask=mask))
    return replace(structures, grid=grid, items=tuple(moved))


def _same_lattice(
    change: NDArray[np.float64], exact: NDArray[np.float64], own: Grid, grid: Grid, where: Path
) -> None:
    turn = np.abs(exact[:3, :3])
    fits = (turn.sum(axis=0) == 1).all() and (turn.sum(axis=1) == 1).all()
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in own.shape])).reshape(3, -1)
    gap = np.abs((change - exact)[:3, :3] @ corners + (change - exact)[:3, 3:]).max()
    if not fits or gap > OFF_PLANE:
        raise GeometryError(
            "The voxels of these structures are not those of the series",
            where=where,
            expected=f"{_spacing(grid)}, axes {grid.orientation}",
            got=f"{_spacing(own)}, axes {own.orientation}" + (f", {gap:.3g} voxels apart" if fits else ""),
            fix="give the series on which they were drawn, or convert them alone and resample",
        )


def outside(where: str, box: Box, grid: Grid) -> GeometryError:
    """The error for voxels that a grid does not have."""
    return GeometryError(
        "A structure reaches outside the series",
        where=where,
        expected=f"within {grid.shape} voxels (z, y, x)",
        got=f"{box.start} to {box.stop}",
        fix="give the whole series on which it was drawn",
    )


def _spacing(grid: Grid) -> str:
    return " x ".join(f"{s:.4g}" for s in grid.spacing) + " mm"


def _three(values: NDArray[np.int_]) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x
