"""How far each voxel of one mask lies from the nearest voxel of another, in millimetres.

Three ways, each exact in double precision and each the quickest somewhere:

- looking around: the nearest voxels of a lattice are known in advance, so the neighbours of every voxel are
  looked up from the nearest on. Masks that more or less agree need no more than this.
- a tree of the target's voxels, for the voxels that lie farther away; it costs by surface, not by volume.
- a distance transform, for masks as dense as noise, and for many voxels far from a surface that is bent
  around them (every part of it is about as near).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import lcm

import edt
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]

_DENSE, _SMALL, _REACH, _FEW = 3, 2**15, 16, 2000
_AROUND, _STEPS = 122, (0, 6, 26, 58, 122)  # neighbours that are looked up, and how many at a time
_BLOCK = 2**14  # voxels looked around at once: 8 MB of indices
_MOST_SHIFTS = 32
_PAIRS = 2**17  # of voxels that are quicker measured one by one than by a tree


def to_nearest(source: Mask, target: Mask, spacing: Sequence[float]) -> Distances:
    """(n,) mm from every true voxel of `source` to the nearest of `target`, in the order of the array.

    Args:
        source: (z, y, x).
        target: the same shape, not empty.
        spacing: mm along (z, y, x).
    """
    dz, dy, dx = (float(s) for s in spacing)
    sizes = (dz, dy, dx)
    count = np.count_nonzero(source) + np.count_nonzero(target)
    if count * _DENSE > source.size > _SMALL:
        return transform(target, sizes)[source]
    found = _around(source, target, sizes)
    far = np.flatnonzero(np.isinf(found))
    if len(far):
        found[far] = _from_afar(np.argwhere(source)[far], target, sizes)
    return found


def within(mask: Mask, inner: Mask, target: Mask, spacing: Sequence[float], limit: float) -> Mask:
    """Voxels of `mask` that are true in `target`, or in `inner` and at most `limit` mm from one of `target`.

    Args:
        mask: (z, y, x), holds `inner` and `target`.
        inner: which are asked about.
        target: the same shape, not empty.
        spacing: mm along (z, y, x).
        limit: mm, above 0.
    """
    offsets, lengths, reach = _neighbours(*(float(s) for s in spacing))
    shifts = offsets[lengths <= limit]
    if limit < reach and len(shifts) <= _MOST_SHIFTS:
        return np.asarray(mask & _spread(target, shifts))
    if mask.size > _SMALL:
        return np.asarray(mask & (transform(target, spacing) <= limit))
    found = target.copy()
    found[inner] = to_nearest(inner, target, spacing) <= limit
    return found


def transform(target: Mask, spacing: Sequence[float]) -> Distances:
    """(z, y, x) mm to the nearest true voxel of `target`.

    The transform of `edt` works with squares in single precision. In whole multiples of a common unit these
    are whole numbers, and exact below 2^24; where spacings have no such unit, the relative error is below
    3e-7.
    """
    unit = common_unit(spacing, target.shape)
    ratio = [float(s) for s in spacing] if unit is None else [float(round(s / unit)) for s in spacing]
    squared = edt.edtsq(~target, anisotropy=tuple(ratio), parallel=1)
    return np.asarray(np.sqrt(squared.astype(np.float64)) * (unit or 1.0))


def common_unit(spacing: Sequence[float], shape: Sequence[int]) -> float | None:
    """The length of which every spacing is a whole multiple, so that squares in it stay exact in float32.

    None where there is none: the squared diagonal would reach 2^24, or a ratio is no simple fraction.
    """
    least = min(spacing)
    ratios = [Fraction(s / least).limit_denominator(200) for s in spacing]
    if any(abs(float(r) * least - s) > 1e-12 * s for r, s in zip(ratios, spacing, strict=True)):
        return None
    parts = lcm(*(r.denominator for r in ratios))
    diagonal = sum(float(r * parts * n) ** 2 for r, n in zip(ratios, shape, strict=True))
    return least / parts if diagonal < 2**24 else None


@lru_cache(maxsize=64)
def _neighbours(dz: float, dy: float, dx: float) -> tuple[NDArray[np.int64], Distances, float]:
    """The nearest steps on a lattice, (n, 3), their lengths in mm, and the length below which none lacks."""
    most = 5
    line = np.arange(-most, most + 1)
    steps = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.sqrt(((steps * (dz, dy, dx)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")[1:]  # the first is no step at all
    order = order[lengths[order] < (most + 1) * min(dz, dy, dx)]
    reach = float(lengths[order[_AROUND]] if len(order) > _AROUND else (most + 1) * min(dz, dy, dx))
    order = order[:_AROUND]
    return steps[order], lengths[order], reach


def _around(source: Mask, target: Mask, spacing: tuple[float, float, float]) -> Distances:
    """As `to_nearest`, infinite for voxels without a target among their nearest neighbours."""
    offsets, lengths, _ = _neighbours(*spacing)
    margin = np.abs(offsets).max(axis=0)
    flat, places, strides = _padded(source, target, margin)
    found = np.full(len(places), np.inf)
    found[flat[places]] = 0.0
    jumps = offsets @ strides
    rest = np.flatnonzero(found)
    for first, last in pairwise(_STEPS):
        lost = []
        for part in (rest[k : k + _BLOCK] for k in range(0, len(rest), _BLOCK)):
            hits = flat[places[part][:, None] + jumps[first:last]]
            if not hits.size:
                return found
            at = hits.argmax(axis=1)
            hit = hits[np.arange(len(part)), at]
            found[part[hit]] = lengths[first + at[hit]]
            lost.append(part[~hit])
        if not lost:
            break
        rest = np.concatenate(lost)
    return found


def _padded(
    source: Mask, target: Mask, margin: NDArray[np.int64]
) -> tuple[Mask, NDArray[np.int64], NDArray[np.int64]]:
    """The target with a margin of False as (n,), where the source's voxels lie there, and its strides."""
    shape = tuple(int(n + 2 * m) for n, m in zip(target.shape, margin, strict=True))
    inside = tuple(slice(int(m), int(m) + n) for n, m in zip(target.shape, margin, strict=True))
    padded = np.zeros((2, *shape), dtype=bool)
    padded[0][inside], padded[1][inside] = target, source
    strides = np.array((shape[1] * shape[2], shape[2], 1), dtype=np.int64)
    return padded[0].ravel(), np.flatnonzero(padded[1]), strides


def _from_afar(places: NDArray[np.int64], target: Mask, spacing: tuple[float, float, float]) -> Distances:
    """(n,) mm from voxels (n, 3) to the nearest of `target`."""
    step = np.array(spacing)
    others, points = np.argwhere(target) * step, places * step
    if len(points) * len(others) <= _PAIRS:
        gaps = sum((p[:, None] - o) ** 2 for p, o in zip(points.T, others.T, strict=True))
        return np.asarray(np.sqrt(np.min(gaps, axis=1)))
    from scipy.spatial import cKDTree  # a third of a second to import, and seldom needed

    tree = cKDTree(others, leafsize=32, balanced_tree=False, compact_nodes=False)
    near: Distances = tree.query(points, distance_upper_bound=_REACH * step.max())[0]
    far = np.flatnonzero(np.isinf(near))
    if len(far) * len(others) > _SMALL**2 and len(far) > _FEW:
        near[far] = transform(target, spacing)[tuple(places[far].T)]
    elif len(far):
        near[far] = tree.query(points[far])[0]
    return near


def _spread(target: Mask, shifts: NDArray[np.int64]) -> Mask:
    """`target` together with its copies moved by each shift."""
    found = target.copy()
    for shift in shifts.tolist():
        to = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(shift, target.shape, strict=True))
        start = tuple(slice(max(0, -s), n + min(0, -s)) for s, n in zip(shift, target.shape, strict=True))
        if all(s.stop > s.start for s in to):
            found[to] |= target[start]
    return found
