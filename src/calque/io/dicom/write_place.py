"""Where a label map lies with respect to the images that it is written for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.geometry import Grid, Reorientation
from calque.image import LabelMap
from calque.io.dicom.model import Stack

_NEAR = 0.02  # of a voxel: NIfTI holds single precision, and headers are rounded
_SQUARE = 1e-4  # rows to columns and to the slices' normal, as cosine


@dataclass(frozen=True, eq=False)
class Placed:
    """A label map as DICOM takes it: planes of rows and columns.

    Args:
        label_map: its slice k is that of the stack, where it is aligned.
        aligned: whether its voxels are those of the source images.
    """

    label_map: LabelMap
    aligned: bool

    @property
    def positions(self) -> NDArray[np.float64]:
        """(slices, 3): LPS mm of the first pixel of each plane."""
        grid = self.label_map.grid
        indices = np.zeros((grid.shape[0], 3))
        indices[:, 0] = np.arange(grid.shape[0])
        return grid.to_world(indices)

    @property
    def orientation(self) -> NDArray[np.float64]:
        """(6,): direction of a row, then of a column, as ImageOrientationPatient."""
        direction = self.label_map.grid.direction
        return np.concatenate([direction[:, 2], direction[:, 1]])


def place(label_map: LabelMap, stack: Stack) -> Placed:
    """The label map on the stack's own voxels where it lies on them, else as it is.

    One that is turned, flipped or cropped lies on them too.

    Raises:
        GeometryError: its labels do not lie within the images, its axes are not at right angles, or the
            images have no place in a patient and another shape.
    """
    aligned = _on_voxels(label_map, stack.grid)
    if aligned is not None:
        return Placed(aligned, aligned=stack.tilt == 0)
    if not stack.placed:
        raise GeometryError(
            "This label map does not fit the picture, which has no position in a patient",
            expected=stack.grid.shape,
            got=label_map.grid.shape,
        )
    _require_inside(label_map, stack)
    cosines = label_map.grid.direction
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > _SQUARE:
        raise GeometryError(
            "DICOM cannot hold a grid whose axes are not at right angles",
            got=label_map.grid.affine.round(4).tolist(),
            fix="resample the label map onto the grid of the images",
        )
    return Placed(label_map, aligned=False)


def _on_voxels(label_map: LabelMap, grid: Grid) -> LabelMap | None:
    """The same labels in the axes and extent of `grid`; None where voxels do not coincide."""
    change = grid.index_from(label_map.grid)
    turn = np.round(change[:3, :3])
    if not np.array_equal(np.abs(turn) @ np.ones(3), np.ones(3)) or abs(np.linalg.det(turn)) != 1:
        return None
    old = [int(np.abs(row).argmax()) for row in turn]
    flips = [bool(turn[new, axis] < 0) for new, axis in enumerate(old)]
    turned = label_map.reoriented(Reorientation((old[0], old[1], old[2]), (flips[0], flips[1], flips[2])))
    start = grid.to_index(turned.grid.to_world((0, 0, 0)))
    offset = np.round(start).astype(int)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in turned.grid.shape])).reshape(3, -1).T
    away = grid.to_index(turned.grid.to_world(corners)) - (corners + offset)
    if np.abs(away).max() > _NEAR:
        return None
    if turned.grid.shape == grid.shape and not offset.any():
        return LabelMap(turned.array, grid, label_map.labels)
    return _padded(turned, grid, offset)


def _padded(part: LabelMap, grid: Grid, offset: NDArray[np.integer]) -> LabelMap | None:
    """`part`, which begins at voxel `offset` of `grid`, on all of `grid`; None where a label is lost."""
    low = np.maximum(offset, 0)
    high = np.minimum(offset + part.grid.shape, grid.shape)
    if (high <= low).any():
        return None
    whole = np.zeros(grid.shape, part.array.dtype)
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    here = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
    whole[there] = part.array[here]
    if np.count_nonzero(whole) != np.count_nonzero(part.array):
        return None
    return LabelMap(whole, grid, part.labels)


def _require_inside(label_map: LabelMap, stack: Stack) -> None:
    """Labels outside the images belong to another scan, or to another space."""
    used = [np.flatnonzero(label_map.array.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if len(used[0]) == 0:
        return
    box = np.array(np.meshgrid(*[(u[0], u[-1]) for u in used])).reshape(3, -1).T
    found = stack.grid.to_index(label_map.grid.to_world(box))
    # a voxel of the label map may stand over the border of the images by half its own size, no more
    scale = np.abs(stack.grid.index_from(label_map.grid)[:3, :3]).sum(axis=1)
    margin = 0.5 + 0.5 * scale + _NEAR
    if (found < -margin).any() or (found > np.asarray(stack.grid.shape) - 1 + margin).any():
        low, high = label_map.grid.to_world(box).min(axis=0), label_map.grid.to_world(box).max(axis=0)
        raise GeometryError(
            "These labels lie outside the images that they are written for",
            expected=f"labels within a grid of {stack.grid.shape} from {stack.grid.origin.round(1).tolist()}",
            got=f"labels from {low.round(1).tolist()} to {high.round(1).tolist()}, LPS mm",
            fix="give the series that was segmented, or mend the label map's header",
        )
