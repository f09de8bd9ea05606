"""What networks see, made row by row: a scan's prepared form is never held as a whole.

`prepare_image` is the dense reference. Here a first pass takes from the image what must be known of all of it
(moments, the range to which cubic splines are clipped), and rows are normalised and resampled when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from calque.image import Image, LabelMap
from calque.ops.resample import Orders, nearest_rows, resample_part, source_rows
from calque.planning.model import Normalisation, Plan
from calque.preparation.case import find_body, place_image
from calque.preparation.normalise import normalise_part, settled
from calque.preparation.previous import PreviousRows

CHUNK_BYTES = 2**25  # of an image in float32, held at once

Axes = tuple[int, int, int]
"""A permutation of (z, y, x): the axis along which rows are made comes first."""


def axes_from(axis: int) -> Axes:
    """`axis` first, the others in their order."""
    first, second, third = (axis, *(other for other in range(3) if other != axis))
    return first, second, third


class PreparedRows:
    """Rows of a prepared image along one of its axes.

    Args:
        image: on its own grid, in any orientation; channels in the plan's order.
        plan: orientation, crop, normalisation, spacing, spline order.
        axis: of (z, y, x) in the plan's orientation, along which rows are made; None: `stream_axis` chooses.
        previous: what a stage before found, on the image's own grid; its class numbers are the last channel.

    Raises:
        InputError: wrong number of channels, voxels that are not finite, or nothing but zeros.
    """

    def __init__(
        self, image: Image, plan: Plan, axis: int | None = None, previous: LabelMap | None = None
    ) -> None:
        kept, self.placement, orders = place_image(image, plan)
        self.axis = stream_axis(self.placement.prepared.shape, plan.patch) if axis is None else axis
        self._axes = axes_from(self.axis)
        self._orders = _permuted(orders, self._axes)
        self._source = kept.array.transpose(0, *(1 + a for a in self._axes))
        body = find_body(kept.array) if any(rule.nonzero for rule in plan.normalisation) else None
        self._body = None if body is None else body.transpose(self._axes)
        z, y, x = (self.placement.prepared.shape[a] for a in self._axes)
        self.shape = (plan.network.given, z, y, x)
        self._previous = None if previous is None else PreviousRows(previous, self.placement, self._axes)
        self._rules = [self._settle(number, rule) for number, rule in enumerate(plan.normalisation)]
        clips = 3 in self._orders and self.shape[1:] != self._source.shape[1:]
        self._ranges = [self._range(number) for number in range(len(self._rules))] if clips else None

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """(channel, rows, second axis, third axis), float32; `rows` of `shape[1]`, at least one."""
        wanted = range(self.shape[1])[rows]
        needed = source_rows(self._source.shape[1], self.shape[1], self._orders[0], wanted)
        result = np.empty((self.shape[0], len(wanted), *self.shape[2:]), np.float32)
        _, z, y, x = self.shape
        if self._previous is not None:
            result[-1] = self._previous(rows)
        for number in range(len(self._rules)):
            part = self._normalised(number, needed)[None]
            sizes = (self._source.shape[1], (z, y, x))
            result[number] = resample_part(part, needed.start, sizes, self._orders, wanted)[0]
            if self._ranges is not None:
                low, high = (self._spread(ends, wanted) for ends in self._ranges[number])
                np.clip(result[number], low, high, out=result[number])
        return result

    def chunk(self) -> int:
        """How many rows are worth asking for at once."""
        row = 4 * self._source.shape[2] * self._source.shape[3]
        ratio = self._source.shape[1] / self.shape[1]
        return max(1, int(CHUNK_BYTES / row / ratio))

    def _normalised(self, number: int, rows: slice) -> NDArray[np.float32]:
        body = None if self._body is None else self._body[rows]
        return normalise_part(self._source[number, rows], self._rules[number], body)

    def _parts(self) -> Iterator[slice]:
        length, *plane = self._source.shape[1:]
        step = max(1, CHUNK_BYTES // (8 * plane[0] * plane[1]))
        return (slice(a, min(a + step, length)) for a in range(0, length, step))

    def _settle(self, number: int, rule: Normalisation) -> Normalisation:
        """The rule with this image's moments: two passes in float64, as numpy's own."""
        if rule.scheme != "zscore":
            return rule
        total, count = 0.0, 0
        for values in self._inside(number, rule):
            total, count = total + float(values.sum(dtype=np.float64)), count + values.size
        count = max(count, 1)
        mean = total / count
        spread = sum(float(np.square(v.astype(np.float64) - mean).sum()) for v in self._inside(number, rule))
        return settled(rule, mean, (spread / count) ** 0.5)

    def _inside(self, number: int, rule: Normalisation) -> Iterator[NDArray[np.float32]]:
        for rows in self._parts():
            values = np.asarray(self._source[number, rows], np.float32)
            yield values[self._body[rows]] if rule.nonzero and self._body is not None else values

    def _range(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest normalised value, of all or of each slice where slices are resampled alone."""
        alone = tuple(axis for axis in range(3) if self._orders[axis] == 0)
        within = tuple(axis for axis in range(3) if axis not in alone)
        lows, highs = [], []
        for rows in self._parts():
            values = self._normalised(number, rows)
            lows.append(values.min(axis=within, keepdims=True))
            highs.append(values.max(axis=within, keepdims=True))
        low, high = np.concatenate(lows), np.concatenate(highs)
        return (low, high) if 0 in alone else (low.min(0, keepdims=True), high.max(0, keepdims=True))

    def _spread(self, ends: NDArray[np.float32], wanted: range) -> NDArray[np.float32]:
        """Ends of ranges for some rows of the target."""
        for axis in range(3):
            if self._orders[axis] == 0:
                nearest = nearest_rows(self._source.shape[1 + axis], self.shape[1 + axis])
                ends = ends.take(nearest[wanted.start : wanted.stop] if axis == 0 else nearest, axis)
        return ends


def stream_axis(shape: tuple[int, int, int], patch: tuple[int, int, int]) -> int:
    """The axis along which a window is the smallest share of the image: least is held at a time."""
    share = [min(p, n) / n for p, n in zip(patch, shape, strict=True)]
    return share.index(min(share))


def _permuted(orders: Orders, axes: Axes) -> Orders:
    z, y, x = (orders[a] for a in axes)
    return z, y, x
