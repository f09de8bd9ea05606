"""Diameters of voxel shapes in millimetres, between the faces of their voxels.

A shape is given by the centres of the faces of its boundary voxels. These are the vertices that marching
cubes at level one half gives, so that the largest distance is the maximum 3-D diameter of the Image
Biomarker Standardisation Initiative (Zwanenburg et al., Radiology 2020; pyradiomics: Maximum3DDiameter). One
voxel is as long as its longest edge, and a ball's diameter is not short of a voxel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Affine, Grid

_BLOCK = 2048  # hull vertices compared at once


def largest_diameter(mask: NDArray[np.bool_], affine: Affine) -> float:
    """The largest distance in mm between two face centres of the voxels of `mask` (z, y, x).

    Args:
        mask: at least one voxel.
        affine: (4, 4), from indices to mm.
    """
    points = _face_centres(mask, (0, 1, 2))
    corners = _hull(points, points) @ affine[:3, :3].T  # an affine keeps the hull
    return _farthest(corners)[0]


def axial_diameters(mask: NDArray[np.bool_], grid: Grid) -> tuple[float, float]:
    """Long and short axis in mm within one axial slice, as lesions are measured by hand.

    The long axis is the largest distance between two face centres within one slice, of all slices that lie
    across the array axis closest to the patient's Superior-Inferior; the short axis is the width of the same
    slice at right angles to it (RECIST 1.1, Eisenhauer et al., European Journal of Cancer 2009, measures a
    chord where this is a width: the two agree for convex shapes).

    Args:
        mask: (z, y, x), at least one voxel.
        grid: of `mask`; its spacing and orientation count, not its origin.
    """
    through = next(axis for axis, letter in enumerate(grid.orientation) if letter in "SI")
    in_plane = tuple(axis for axis in range(3) if axis != through)
    best = (0.0, 0.0)
    for position in np.flatnonzero(mask.any(axis=in_plane)):
        points = _face_centres(mask.take([position], axis=through), in_plane)
        hull = _hull(points, points[:, in_plane])
        flat = _in_plane(hull @ grid.affine[:3, :3].T)
        long, (first, second) = _farthest(flat)
        if long > best[0]:
            across = np.array([first[1] - second[1], second[0] - first[0]]) / long
            best = (long, float(np.ptp(flat @ across)))
    return best


def _in_plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates (n, 2) of coplanar points (n, 3), in a frame of unit vectors."""
    centred = points - points.mean(axis=0)
    frame = np.linalg.svd(centred, full_matrices=False)[2][:2]
    return np.asarray(centred @ frame.T)


def _face_centres(mask: NDArray[np.bool_], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Indices (n, 3) of the centres of faces across `axes`, of the first and last voxel of every line.

    Faces between these two cannot be corners of the convex hull.
    """
    points = []
    for axis in axes:
        length = mask.shape[axis]
        first, last = mask.argmax(axis=axis), length - 1 - np.flip(mask, axis).argmax(axis=axis)
        lines = np.argwhere(mask.any(axis=axis))
        for ends, half in ((first, -0.5), (last, 0.5)):
            points.append(np.insert(lines.astype(np.float64), axis, ends[tuple(lines.T)] + half, axis=1))
    return np.concatenate(points)


def _hull(points: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of `points` (n, 3) that are corners of their convex hull, as `seen` (n, 2 or 3)."""
    from scipy.spatial import ConvexHull  # slow to import, and seldom needed

    corners: NDArray[np.float64] = points[ConvexHull(seen).vertices]
    return corners


def _farthest(points: NDArray[np.float64]) -> tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The largest distance between two of (n, d) points, and these two."""
    from scipy.spatial import distance

    best, pair = -1.0, (0, 0)
    for start in range(0, len(points), _BLOCK):
        distances = distance.cdist(points[start : start + _BLOCK], points)
        row, column = np.unravel_index(distances.argmax(), distances.shape)
        if distances[row, column] > best:
            best, pair = float(distances[row, column]), (start + int(row), int(column))
    return best, (points[pair[0]], points[pair[1]])
