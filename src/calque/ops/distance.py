"""Distances between the surfaces of two masks, in millimetres.

Two notions of surface, kept apart by name:

- `voxel_surfaces`: the surface is the mask's border voxels, those with a face neighbour outside the mask (the
  mask without its binary erosion with a 6-connected cross; outside the image counts as outside the mask).
  As in MONAI. Every border voxel counts the same.
- `element_surfaces`: the surface is made of marching-cubes elements at the corners of voxels, each weighted
  by its area. As in DeepMind's surface-distance (Nikolov et al. 2021, doi:10.2196/26151).

An axis on which the image has a single voxel is no axis for the surface: a 2-D picture has contours, not a
slab with a top and a bottom.

Both crop to the joint bounding box and look up each surface once, which every metric then shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.geometry import Box
from calque.ops.nearest import Distances, Mask, to_nearest, within


@dataclass(frozen=True, eq=False)
class Surfaces:
    """How far each element of one surface lies from the other surface.

    Args:
        first: (n,) mm, from every element of the first mask's surface to the nearest of the second's.
        second: (m,) mm, the other way.
        first_weights: (n,) what each element counts: 1, or its area in mm² (length in mm in 2-D).
        second_weights: (m,) the same for the second mask.
    """

    first: Distances
    second: Distances
    first_weights: Distances
    second_weights: Distances


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds every true voxel of a (z, y, x) mask; None when there is none."""
    plane = np.any(mask, axis=0)
    lines = np.any(mask, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0)
    if not lines[0].any():
        return None
    z, y, x = (np.flatnonzero(line) for line in lines)
    return Box((int(z[0]), int(y[0]), int(x[0])), (int(z[-1]) + 1, int(y[-1]) + 1, int(x[-1]) + 1))


def border(mask: Mask, axes: Sequence[int] = (0, 1, 2)) -> Mask:
    """Voxels of a (z, y, x) mask with a face neighbour along `axes` that is not in the mask.

    What lies outside the array is not in the mask.
    """
    inside = mask.copy()
    for axis in axes:
        first, last, before, after = (
            (slice(None),) * axis + (part,) for part in (0, -1, slice(-1), slice(1, None))
        )
        inside[first] = inside[last] = False
        inside[after] &= mask[before]
        inside[before] &= mask[after]
    return np.asarray(mask & ~inside)


def rim(mask: Mask, spacing: Sequence[float], depth_mm: float) -> Mask:
    """Voxels of a (z, y, x) mask within `depth_mm` of its border; 0 leaves the border itself.

    A tolerance is a decimal fraction: a voxel exactly at it belongs to the rim.
    """
    edge = border(mask, _axes(mask))
    if depth_mm <= 0 or not edge.any():
        return edge
    return within(mask, mask & ~edge, edge, spacing, depth_mm * (1.0 + 1e-6))


def voxel_surfaces(first: Mask, second: Mask, spacing: Sequence[float]) -> Surfaces:
    """Distances between the border voxels of two masks.

    Args:
        first: (z, y, x), not empty.
        second: the same shape, not empty.
        spacing: mm along (z, y, x).

    Raises:
        GeometryError: a mask is empty (its surface is nowhere), or the shapes differ.
    """
    first, second, axes = _joint(first, second)
    edges = border(first, axes), border(second, axes)
    ones = (np.ones(int(np.count_nonzero(edge))) for edge in edges)
    return Surfaces(to_nearest(edges[0], edges[1], spacing), to_nearest(edges[1], edges[0], spacing), *ones)


def element_surfaces(first: Mask, second: Mask, spacing: Sequence[float]) -> Surfaces:
    """Distances between area-weighted surface elements; arguments and errors as `voxel_surfaces`."""
    first, second, axes = _joint(first, second)
    areas = _weights(axes, spacing)
    codes = _corner_codes(first, axes), _corner_codes(second, axes)
    weights = areas[codes[0]], areas[codes[1]]
    full = 2 ** (2 ** len(axes)) - 1
    edges = [(code != 0) & (code != full) for code in codes]
    return Surfaces(
        to_nearest(edges[0], edges[1], spacing),
        to_nearest(edges[1], edges[0], spacing),
        weights[0][edges[0]],
        weights[1][edges[1]],
    )


def surface_area(mask: Mask, spacing: Sequence[float]) -> float:
    """mm² of the surface of a (z, y, x) mask, as `element_surfaces` weighs it; mm of contour in a picture."""
    box = bounding_box(mask)
    if box is None:
        return 0.0
    axes = _axes(mask)
    return float(_weights(axes, spacing)[_corner_codes(mask[box.slices], axes)].sum())


def _weights(axes: tuple[int, ...], spacing: Sequence[float]) -> Distances:
    """What an element counts, by the code of its corner."""
    sizes = tuple(float(s) for s in spacing)
    return _areas(*sizes) if len(axes) == 3 else _lengths(axes, *sizes)


def _joint(first: Mask, second: Mask) -> tuple[Mask, Mask, tuple[int, ...]]:
    """Both masks in their joint bounding box, and the axes that count."""
    if first.shape != second.shape or first.ndim != 3:
        raise GeometryError("Two masks share one (z, y, x) shape", expected=first.shape, got=second.shape)
    axes = _axes(first)
    if not first.any() or not second.any():
        raise GeometryError("An empty mask has no surface", fix="ask whether it is empty first")
    box = bounding_box(first | second)
    slices = box.slices if box is not None else (slice(None),) * 3
    return first[slices], second[slices], axes


def _axes(mask: Mask) -> tuple[int, ...]:
    """Along which a surface has two sides: those of more than one voxel."""
    return tuple(axis for axis in range(3) if mask.shape[axis] > 1) or (0, 1, 2)


def _corner_codes(mask: Mask, axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """For every corner between voxels: which of the voxels around it are in the mask, as bits.

    The voxel that comes first along all axes is the highest bit. The codes are one longer than the
    mask along each of `axes`.
    """
    padded = np.zeros([n + 2 if axis in axes else n for axis, n in enumerate(mask.shape)], dtype=np.uint8)
    padded[tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(3))] = mask
    codes, bits = padded, 1
    for axis in reversed(axes):
        before, after = ((slice(None),) * axis + (part,) for part in (slice(-1), slice(1, None)))
        codes, bits = np.asarray(codes[before] << bits | codes[after]), 2 * bits
    return codes


# Triangles of marching cubes per neighbourhood: |normal| along (z, y, x) in eighths, as long as the triangle
# is large at unit spacing. One representative per class of neighbourhoods under flips, permutations of
# axes and exchange of inside and outside: DeepMind's table of 256 rows is the orbit of these thirteen.
_TRIANGLES: dict[int, tuple[tuple[int, int, int], ...]] = {
    1: ((1, 1, 1),),
    3: ((2, 2, 0), (2, 2, 0)),
    6: ((1, 1, 1), (1, 1, 1)),
    7: ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    15: ((4, 0, 0), (4, 0, 0)),
    22: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    23: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    24: ((1, 1, 1), (1, 1, 1)),
    25: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    27: ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    30: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    60: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    105: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}


@lru_cache(maxsize=64)
def _areas(dz: float, dy: float, dx: float) -> Distances:
    """(256,) mm² of surface at a corner, by its code."""
    faces = np.array([dy * dx, dz * dx, dz * dy]) / 8.0
    table = np.zeros(256)
    for representative, triangles in _TRIANGLES.items():
        bits = np.array([representative >> (7 - k) & 1 for k in range(8)], np.uint8).reshape(2, 2, 2)
        for axes in permutations(range(3)):
            normals = np.array(triangles)[:, list(axes)]
            area = float(np.linalg.norm(normals * faces, axis=1).sum())
            for steps in product((1, -1), repeat=3):
                moved = bits.transpose(axes)[tuple(slice(None, None, s) for s in steps)]
                code = int(np.packbits(moved.reshape(-1))[0])
                table[code] = table[255 - code] = area
    return table


@lru_cache(maxsize=64)
def _lengths(axes: tuple[int, ...], *spacing: float) -> Distances:
    """(16,) mm of contour at a corner, by its code; in an image of one line, (4,): each end counts 1."""
    if len(axes) == 1:
        return np.array([0.0, 1.0, 1.0, 0.0])
    down, across = (spacing[axis] for axis in axes)
    half = 0.5 * float(np.hypot(down, across))
    table = np.full(16, half)
    table[[0, 15]] = 0.0
    table[[0b0011, 0b1100]] = across
    table[[0b0101, 0b1010]] = down
    table[[0b0110, 0b1001]] = 2 * half
    return table
