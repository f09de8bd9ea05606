"""Resampling between grids that cover the same physical extent: separable B-splines as matrices.

Target voxel i of n lies at source index (i + 0.5) * m / n - 0.5, as in `Grid.resized`: the outer faces of
the voxels coincide. Outside, the source is continued by its edge. Each axis is one small matrix, so a volume
is three calls of torch.matmul; for order 3 the recursive prefilter is folded into the matrix, because the
cardinal spline has a closed form (Unser, Aldroubi, Eden, "B-spline signal processing", IEEE Trans. Signal
Processing 1993).

Before clipping the result is that of scipy.ndimage.zoom(mode="nearest", grid_mode=True). Cubic results are
clipped to the range of their source channel, as in skimage.transform.resize(mode="edge",
anti_aliasing=False), which nnU-Net uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.geometry import Shape

if TYPE_CHECKING:
    import torch

Order = Literal[0, 1, 3]
"""0 nearest, 1 linear, 3 cubic."""

Orders = tuple[Order, Order, Order]
"""Along (z, y, x)."""

_POLE = 3.0**0.5 - 2.0  # of the cubic B-spline's inverse filter
_REACH = 18  # |pole|^18 = 5e-11: neighbours further away do not count in float32
_TINY = 1e-9  # smaller weights become denormals in products, which cost a factor of 18
_SLAB_VOXELS = 2**23


def resample(
    array: NDArray[np.generic],
    shape: Shape,
    order: Order | Orders,
    rows: slice | None = None,
) -> NDArray[np.float32]:
    """Resample the last three axes of `array` to `shape`, over the same extent.

    Args:
        array: (channel, z, y, x), any real type.
        shape: (z, y, x) wanted.
        order: 0, 1 or 3; three of them for (z, y, x) where thick slices want the nearest across them.
        rows: only these rows of the target's first axis; only the source rows that they need are touched, so
            that a large target can be made slab by slab.

    Returns:
        (channel, rows, y, x), float32; a view of `array` where there is nothing to do.

    Raises:
        GeometryError: not four axes, or an empty shape.
    """
    if array.ndim != 4 or min(array.shape) < 1 or len(shape) != 3 or min(shape) < 1:
        raise GeometryError("Resampling takes (channel, z, y, x) to (z, y, x)", got=(array.shape, shape))
    wanted = range(shape[0])[rows if rows is not None else slice(None)]
    orders: Orders = order if isinstance(order, tuple) else (order, order, order)
    needed = source_rows(array.shape[1], shape[0], orders[0], wanted)
    part = np.asarray(array[:, needed], dtype=np.float32)
    result = resample_part(part, needed.start, (array.shape[1], shape), orders, wanted)
    if 3 in orders and result is not part:
        for channel, source in zip(result, array, strict=True):
            _clip(channel, source, orders, wanted, shape)
    return result


def _clip(
    result: NDArray[np.float32], source: NDArray[np.generic], orders: Orders, wanted: range, shape: Shape
) -> None:
    """Clip (z, y, x) to the range of its source; to that of each slice, where slices are resampled alone."""
    alone = tuple(axis for axis in range(3) if orders[axis] == 0)
    within = tuple(axis for axis in range(3) if axis not in alone)
    low, high = (source.min(axis=within, keepdims=True), source.max(axis=within, keepdims=True))
    for axis in alone:
        nearest = nearest_rows(source.shape[axis], shape[axis])
        picked = nearest[wanted.start : wanted.stop] if axis == 0 else nearest
        low, high = low.take(picked, axis), high.take(picked, axis)
    np.clip(result, low.astype(np.float32), high.astype(np.float32), out=result)


def resample_labels(
    array: NDArray[np.integer], shape: Shape, n_classes: int, orders: Orders = (1, 1, 1)
) -> NDArray[np.integer]:
    """Resample class numbers: the membership of each class linearly, then the largest wins.

    As in nnU-Net, the later class wins a tie. It is made in slabs and one class at a time: the one-hot form
    of the whole is never held.

    Args:
        array: (z, y, x), 0 to `n_classes` - 1.
        shape: (z, y, x) wanted.
        n_classes: how many numbers there may be.
        orders: of the membership, along (z, y, x); 0 across thick slices.

    Raises:
        GeometryError: a number outside the range.
    """
    if array.shape == tuple(shape):
        return array
    present = np.unique(array)
    if present[0] < 0 or present[-1] >= n_classes:
        raise GeometryError("Class numbers are out of range", expected=f"below {n_classes}", got=present)
    result = np.empty(shape, dtype=array.dtype)
    for rows in slabs(shape):
        wanted = range(shape[0])[rows]
        needed = source_rows(array.shape[0], shape[0], orders[0], wanted)
        part, best = array[needed], np.full((len(wanted), *shape[1:]), -1.0, np.float32)
        for number in present:
            hot = (part == number)[None].astype(np.float32)
            share = resample_part(hot, needed.start, (array.shape[0], shape), orders, wanted)[0]
            wins = share >= best
            result[rows][wins] = number
            np.copyto(best, share, where=wins)
    return result


def slabs(shape: Shape, voxels: int = _SLAB_VOXELS) -> Iterator[slice]:
    """Slices of the first axis of `shape` of about `voxels` voxels each, in order."""
    step = max(1, voxels // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        yield slice(start, min(shape[0], start + step))


def source_rows(source: int, target: int, order: Order, wanted: range) -> slice:
    """Which of `source` rows the rows `wanted` of `target` rows are made from."""
    if len(wanted) == 0 or wanted.step != 1:
        raise GeometryError("Rows are a run of neighbours, at least one", got=wanted)
    if source == target:
        return slice(wanted.start, wanted.stop)
    used = _weights(source, target, order)[wanted.start : wanted.stop].any(dim=0).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1)


def resample_part(
    part: NDArray[np.float32], start: int, sizes: tuple[int, Shape], orders: Orders, wanted: range
) -> NDArray[np.float32]:
    """Rows of a target from some rows of a source, for callers that do not hold the whole source.

    Args:
        part: (channel, rows, y, x): rows `start`.. of the source, at least those that `source_rows` names.
        start: the first row of `part` in the source.
        sizes: rows of the whole source, and the target's shape (z, y, x).
        orders: along (z, y, x).
        wanted: rows of the target.

    Returns:
        (channel, len(wanted), y, x), float32; not clipped.
    """
    source, shape = sizes
    steps: list[tuple[int, torch.Tensor]] = []
    if source != shape[0]:
        weights = _weights(source, shape[0], orders[0])
        steps.append((1, weights[wanted.start : wanted.stop, start : start + part.shape[1]]))
    for axis in (2, 3):
        if part.shape[axis] != shape[axis - 1]:
            steps.append((axis, _weights(part.shape[axis], shape[axis - 1], orders[axis - 1])))
    if not steps:
        return part
    import torch  # slow to import, and not needed where nothing changes

    tensor = torch.from_numpy(np.require(part, requirements=["C", "W"]))  # torch dislikes read-only maps
    steps.sort(key=lambda step: step[1].shape[0] / step[1].shape[1])  # shrink first, grow last
    for axis, matrix in steps:
        tensor = _along(tensor, axis, matrix)
    return np.asarray(tensor.numpy())


def _along(tensor: torch.Tensor, axis: int, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply one axis of (c, z, y, x) by `matrix` (new, old)."""
    c, z, y, x = tensor.shape
    if axis == 3:
        return (tensor.reshape(-1, x) @ matrix.T).reshape(c, z, y, -1)
    if axis == 2:
        return matrix @ tensor
    return (matrix @ tensor.reshape(c, z, y * x)).reshape(c, -1, y, x)


@lru_cache(maxsize=64)
def _weights(source: int, target: int, order: Order) -> torch.Tensor:
    """(target, source): what each source sample gives to each target sample; rows sum to 1."""
    import torch

    if order == 0:
        weights = np.zeros((target, source))
        weights[np.arange(target), nearest_rows(source, target)] = 1.0
    else:
        position = (np.arange(target) + 0.5) * source / target - 0.5
        extended = _linear(position, source) if order == 1 else _cardinal(position, source)
        weights = extended[:, _REACH:-_REACH].copy()
        weights[:, 0] += extended[:, :_REACH].sum(axis=1)  # beyond the edge lies the edge
        weights[:, -1] += extended[:, -_REACH:].sum(axis=1)
        weights[np.abs(weights) < _TINY] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
    return torch.from_numpy(weights.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Taps:
    """Which two samples make each target sample along one axis.

    Args:
        low: (target,) the source index of the first.
        high: (target,) of the second, the same where one is enough.
        share: (target,) float32, what the second counts; the first counts the rest.
    """

    low: torch.Tensor
    high: torch.Tensor
    share: torch.Tensor

    @property
    def interpolates(self) -> bool:
        """Whether any target sample is made from two."""
        return not self.low.equal(self.high)

    def corners(self, place: int) -> tuple[int, int]:
        """Both indices of one target sample."""
        return int(self.low[place]), int(self.high[place])


def taps(source: int, target: int, order: Order) -> Taps:
    """The samples that nearest or linear resampling looks at, as in `resample`.

    Raises:
        GeometryError: order 3 looks at more than two.
    """
    import torch

    if order == 3:
        raise GeometryError("Cubic resampling looks at more than two samples", expected="order 0 or 1", got=3)
    if source == target or order == 0:
        low = torch.from_numpy(nearest_rows(source, target))
        return Taps(low, low, torch.zeros(target))
    position = ((np.arange(target) + 0.5) * source / target - 0.5).clip(0, source - 1)
    base = np.floor(position).astype(np.int64)
    share = position - base
    share[share < _TINY] = 0.0
    low = torch.from_numpy(base)
    high = torch.from_numpy(np.where(share > 0, np.minimum(base + 1, source - 1), base))
    return Taps(low, high, torch.from_numpy(share.astype(np.float32)))


def nearest_rows(source: int, target: int) -> NDArray[np.int64]:
    """(target,): the source index of each target sample; exact, ties go up."""
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)


def _linear(position: NDArray[np.float64], source: int) -> NDArray[np.float64]:
    """(target, source + 2 * _REACH): the linear hat at `position` over samples -_REACH to source + _REACH."""
    samples = np.arange(-_REACH, source + _REACH)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - samples))


def _cardinal(position: NDArray[np.float64], source: int) -> NDArray[np.float64]:
    """As `_linear` for the cardinal cubic spline: sum over k of B3(x - k) sqrt(3) pole^|k - sample|."""
    samples = np.arange(-_REACH, source + _REACH)
    base = np.floor(position)
    total = np.zeros((len(position), len(samples)))
    for offset in (-1, 0, 1, 2):
        knot = base + offset
        distance = np.abs(position - knot)
        near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
        far = np.maximum(0.0, 2.0 - distance) ** 3 / 6.0
        bump = np.where(distance < 1.0, near, far)
        total += bump[:, None] * 3.0**0.5 * _POLE ** np.abs(knot[:, None] - samples)
    return total
