"""Which slices of a case to show: in each plane the one with the most errors, turned as radiologists look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.geometry import Reorientation, Voxels
from calque.image import Image, LabelMap
from calque.ops.distance import bounding_box
from calque.ops.render import window
from calque.ops.sheet import AXIAL, CORONAL, SAGITTAL, View

Flat = NDArray[np.integer]

_MARGIN_MM = 12.0

_PLANES: dict[str, View] = {"axial": AXIAL, "coronal": CORONAL, "sagittal": SAGITTAL}


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of a case.

    Args:
        plane: "axial", "coronal" or "sagittal"; "picture" for 2-D.
        number: from 1, counted from the inferior, anterior or right end.
        sides: directions at the top, bottom, left and right edge; None for 2-D pictures.
        spacing: mm of a row and of a column.
        scan: (row, column), grey, windowed around the structures, or (row, column, 3), a picture's own red,
            green and blue; None without a scan.
        predicted: (row, column), label values.
        truth: the same.
    """

    plane: str
    number: int
    sides: str | None
    spacing: tuple[float, float]
    scan: NDArray[np.uint8] | None
    predicted: Flat
    truth: Flat


def choose_slices(image: Image | None, predicted: LabelMap, truth: LabelMap) -> tuple[Slice, ...]:
    """Each plane at its slice with the most errors; without errors, with the most truth.

    Voxels that the truth ignores are shown as background.

    Args:
        image: the scan: a picture in colours, or else its first channel; None: there is none.
        predicted: on the grid of `truth`.
        truth: the reference.

    Raises:
        GeometryError: the grids differ.
    """
    if any(not grid.isclose(truth.grid) for grid in (predicted.grid, *([image.grid] if image else []))):
        raise GeometryError("Scan, prediction and truth lie on different grids", expected=truth.grid.shape)
    flat = min(truth.grid.shape) == 1
    turn = truth.grid.reorientation("SPL")
    scored = truth.array != (-1 if truth.labels.ignore is None else truth.labels.ignore)
    here, there = (turn.apply(np.where(scored, m.array, 0)) for m in (predicted, truth))
    spacing = turn.grid(truth.grid).spacing
    keep = _around((here > 0) | (there > 0), spacing)
    here, there = here[keep], there[keep]
    scan = None if image is None else _shown(image, turn, keep)
    found = []
    for plane, view in _PLANES.items():
        axis = view.axis
        if flat and there.shape[axis] > 1:
            continue
        number = _worst(here, there, axis)
        cut = [_upright(np.take(a, number, axis), view) for a in (here, there)]
        row, column = (s for a, s in enumerate(spacing) if a != axis)
        found.append(
            Slice(
                plane="picture" if flat else plane,
                number=int(keep[axis].start) + number + 1,
                sides=None if flat else view.letters,
                spacing=(row, column),
                scan=None if scan is None else _upright(np.take(scan, number, axis), view),
                predicted=cut[0],
                truth=cut[1],
            )
        )
    return tuple(found)


def _shown(image: Image, turn: Reorientation, keep: tuple[slice, ...]) -> NDArray[np.uint8]:
    """(z, y, x) grey, or (z, y, x, 3) colours."""
    if len(image.array) == 3 and image.array.dtype == np.uint8:
        return np.stack([turn.apply(channel)[keep] for channel in image.array.astype(np.uint8)], axis=-1)
    return window(turn.apply(image.array[0])[keep])


def _worst(here: Flat, there: Flat, axis: int) -> int:
    others = tuple(a for a in range(3) if a != axis)
    errors = np.count_nonzero(here != there, axis=others)
    shown = errors if errors.any() else np.count_nonzero(there, axis=others)
    return int(shown.argmax())


def _upright(array: NDArray[Voxels], view: View) -> NDArray[Voxels]:
    return array[::-1] if view.flip else array


def _around(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[slice, ...]:
    """The box of the structures with a margin; everything where there are none."""
    box = bounding_box(mask)
    if box is None:
        return tuple(slice(0, n) for n in mask.shape)
    margins = [round(_MARGIN_MM / s) for s in spacing]
    return tuple(
        slice(max(0, a - m), min(n, b + m))
        for a, b, m, n in zip(box.start, box.stop, margins, mask.shape, strict=True)
    )
