"""Labels on the image's own grid, without resampling logits where every neighbour agrees.

Between samples linear interpolation is a weighted mean. Where one class has the largest logit at all corners
of a cell, it has the largest everywhere in the cell (and where an output is above 0, so it is everywhere):
only cells whose corners differ, the surfaces of objects, need logits.
The labels are those of resampling everything, but for ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch

from calque.geometry import Shape
from calque.heads import Decoder
from calque.ops.resample import Orders, Taps, taps
from calque.prediction.last_layer import LastLayer, winners
from calque.prediction.windows import Slab

PIXELS = 2**16  # whose logits are interpolated at once


def decide(
    slabs: Iterable[Slab],
    source: Shape,
    target: Shape,
    orders: Orders,
    decoder: Decoder,
    last: LastLayer | None = None,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Rows of the target with what was decided (`winners`), as soon as the rows of the source are there.

    Args:
        slabs: rows of the source, in order, each once.
        source: shape; the first axis is that of the rows.
        target: shape, over the same extent.
        orders: 0 (nearest) or 1 (linear) along each axis.
        decoder: what logits stand for.
        last: makes logits of what slabs carry.

    Yields:
        The row's number and (y, x) indices into `decoder.decisions`, uint8 or int32.
    """
    along, down, across = (taps(n, m, order) for n, m, order in zip(source, target, orders, strict=True))
    planes, corners = _Planes(slabs, decoder, last), _Corners(source[1:], down, across)
    for (low, high), members in groupby(range(target[0]), key=along.corners):
        cell = _Cell(planes.at(low), planes.at(high), corners, decoder, last)
        for row in members:
            yield row, cell.decided(float(along.share[row]))


@dataclass(frozen=True, eq=False)
class _Plane:
    """One row of the source.

    Args:
        carried: (c, y, x).
        winners: (y, x).
    """

    carried: torch.Tensor
    winners: torch.Tensor


class _Planes:
    """Rows of the source one after the other; of those that were passed the last two are kept."""

    def __init__(self, slabs: Iterable[Slab], decoder: Decoder, last: LastLayer | None) -> None:
        self._rows = self._each(slabs, decoder, last)
        self._kept: dict[int, _Plane] = {}

    def at(self, number: int) -> _Plane:
        """Row `number`, not before the last but one that was asked for."""
        while number not in self._kept:
            row, plane = next(self._rows)
            self._kept = {k: kept for k, kept in self._kept.items() if k >= row - 1}
            self._kept[row] = plane
        return self._kept[number]

    @staticmethod
    def _each(
        slabs: Iterable[Slab], decoder: Decoder, last: LastLayer | None
    ) -> Iterator[tuple[int, _Plane]]:
        for slab in slabs:
            carried = torch.from_numpy(slab.logits)
            found = winners(carried, decoder, last)
            for place, row in enumerate(range(slab.rows.start, slab.rows.stop)):
                yield row, _Plane(carried[:, place].clone(), found[place])


class _Corners:
    """For each pixel of the target's rows, the four samples of the source's rows that it lies between.

    Args:
        shape: (y, x) of the source's rows.
        down: along y.
        across: along x.
    """

    def __init__(self, shape: tuple[int, int], down: Taps, across: Taps) -> None:
        self.down, self.across = down, across
        self._width = shape[1]

    def nearest(self, plane: torch.Tensor) -> torch.Tensor:
        """(y, x) of the source at the first of each pixel's samples: (y, x) of the target."""
        return plane.index_select(0, self.down.low).index_select(1, self.across.low)

    @cached_property
    def index(self) -> torch.Tensor:
        """(pixels, 4): which of the source's voxels."""
        every = [d[:, None] * self._width + a for d in _ends(self.down) for a in _ends(self.across)]
        return torch.stack(every, -1).flatten(0, 1).to(torch.int32)

    @cached_property
    def weight(self) -> torch.Tensor:
        """(pixels, 4): what each of them counts; they add up to 1."""
        every = [d[:, None] * a for d in _shares(self.down) for a in _shares(self.across)]
        return torch.stack(every, -1).flatten(0, 1)


def _ends(along: Taps) -> tuple[torch.Tensor, torch.Tensor]:
    return along.low, along.high


def _shares(along: Taps) -> tuple[torch.Tensor, torch.Tensor]:
    return 1 - along.share, along.share


class _Cell:
    """Two neighbouring rows of the source, and all rows of the target between them."""

    def __init__(
        self, low: _Plane, high: _Plane, corners: _Corners, decoder: Decoder, last: LastLayer | None
    ) -> None:
        self._low, self._high, self._corners = low, high, corners
        self._decoder, self._last = decoder, last
        self._nearest = corners.nearest(low.winners)
        mixed = corners.nearest(_mixed(low.winners, high.winners, corners))
        self._where = mixed.flatten().nonzero()[:, 0]

    def decided(self, share: float) -> torch.Tensor:
        """(y, x) of the target's row that lies `share` of the way from the low to the high."""
        if not len(self._where):
            return self._nearest
        low, high = self._tables
        table = low if low is high or share == 0 else torch.lerp(low, high, share)
        flat = self._nearest.flatten().clone()
        for part in torch.split(self._where, PIXELS):
            index, weight = (t.index_select(0, part) for t in (self._corners.index, self._corners.weight))
            logits = torch.nn.functional.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
            flat[part] = winners(logits.T, self._decoder)
        return flat.reshape(self._nearest.shape)

    @cached_property
    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(y * x, k) logits of both rows."""
        low = _table(self._low, self._last)
        return low, low if self._high is self._low else _table(self._high, self._last)


def _table(plane: _Plane, last: LastLayer | None) -> torch.Tensor:
    flat = plane.carried.flatten(1).T
    if last is None:
        return flat.contiguous()
    return torch.addmm(last.bias, flat, last.weight.T)


def _mixed(low: torch.Tensor, high: torch.Tensor, corners: _Corners) -> torch.Tensor:
    """(y, x): whether the cell that begins at a sample has corners that were decided differently."""
    lowest, highest = torch.minimum(low, high), torch.maximum(low, high)
    for axis, along in enumerate((corners.down, corners.across)):
        if along.interpolates:
            lowest = torch.minimum(lowest, _next(lowest, axis))
            highest = torch.maximum(highest, _next(highest, axis))
    return lowest != highest


def _next(plane: torch.Tensor, axis: int) -> torch.Tensor:
    """Each sample's neighbour along an axis; at the end itself."""
    size = plane.shape[axis]
    return plane.index_select(axis, torch.arange(1, size + 1).clamp_(max=size - 1))
