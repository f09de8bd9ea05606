"""From slabs of logits on the prepared grid to labels on the image's own grid, row by row.

A row of the image needs a few rows of logits: as soon as these are finished it is resampled and reduced to a
label, and the logits are let go. Logits of all classes at the image's own resolution are never held at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from calque.geometry import Reorientation, Shape
from calque.heads import Decoder
from calque.ops.resample import Orders, resample_part, source_rows
from calque.prediction.decide import decide
from calque.prediction.last_layer import LastLayer, classes_of, logits_of
from calque.prediction.scratch import Scratch
from calque.prediction.windows import Slab
from calque.preparation.model import Placement
from calque.preparation.rows import axes_from

T = TypeVar("T")

CHUNK_BYTES = 2**25  # of resampled logits held at once


@dataclass(frozen=True, eq=False)
class Restored:
    """A prediction on the image's own grid.

    Args:
        values: (z, y, x), in the values of the labels.
        probabilities: (k, z, y, x), float32, or None.
        entropy: (z, y, x), float16, 0 (sure) to 1 (every class alike), or None.
    """

    values: NDArray[np.integer]
    probabilities: NDArray[np.float32] | None
    entropy: NDArray[np.float16] | None


@dataclass(frozen=True)
class Wanted:
    """What is made of logits besides labels.

    Args:
        probabilities: of every class or region.
        entropy: one number per voxel.
        temperature: by which logits are divided first; it changes no label.
        scratch: holds them.
    """

    probabilities: bool = False
    entropy: bool = False
    temperature: float = 1.0
    scratch: Scratch = field(default_factory=Scratch)


def restore(  # noqa: PLR0913  (a way back has a beginning, an end, and a manner)
    slabs: Iterable[Slab],
    placement: Placement,
    decoder: Decoder,
    change: Reorientation,
    *,
    orders: Orders = (1, 1, 1),
    axis: int = 0,
    wanted: Wanted | None = None,
    last: LastLayer | None = None,
) -> Restored:
    """Resample logits to the image's own spacing, decide, and undo crop and orientation.

    Args:
        slabs: finished rows of logits on `placement.prepared` along `axis`, in order, each row once.
        placement: the way back.
        decoder: what the logits stand for.
        change: how the image's axes were turned.
        orders: of logits along (z, y, x).
        axis: of (z, y, x), along which rows come; the others follow in their order.
        wanted: probabilities, entropy.
        last: makes logits of what slabs carry.
    """
    wanted, labels, outputs = wanted or Wanted(), decoder.labels, decoder.outputs
    original, axes = placement.original.shape, axes_from(axis)
    table = np.array((0, *labels.values), labels.dtype)
    values = np.zeros(original, labels.dtype)
    scratch = wanted.scratch
    soft = entropy = None
    if wanted.probabilities:
        soft = scratch.array("probabilities", (outputs, *original), np.dtype(np.float32))
        if not decoder.heads:
            scratch.put(soft[0], 1.0)  # what was cropped away is background
    if wanted.entropy:
        entropy = scratch.array("entropy", original, np.dtype(np.float16))
    rows_of = partial(_view, change=change, placement=placement, axes=axes)
    source, target = (_streamed(s, axes) for s in (placement.prepared.shape, placement.box.shape))
    streamed = _streamed(orders, axes)
    if soft is None and entropy is None and 3 not in orders:
        table = table[list(decoder.decisions)]
        for row, winners in decide(slabs, source, target, streamed, decoder, last):
            rows_of(values)[row] = table[winners.numpy()]
        return Restored(values, None, None)
    for slab in resampled(slabs, source, target, outputs, streamed, last):
        logits = torch.from_numpy(slab.logits)
        rows_of(values)[slab.rows] = table[classes_of(logits, decoder)]
        share = probabilities(logits / wanted.temperature, decoder)
        if soft is not None:
            scratch.put(rows_of(soft)[:, slab.rows], share.numpy())
        if entropy is not None:
            scratch.put(rows_of(entropy)[slab.rows], doubt(share, decoder).numpy())
    return Restored(values, soft, entropy)


def probabilities(logits: torch.Tensor, decoder: Decoder) -> torch.Tensor:
    """(k, ...) logits -> probabilities: softmax of classes, sigmoid of regions."""
    return torch.sigmoid(logits) if decoder.heads else torch.softmax(logits, dim=0)


def doubt(share: torch.Tensor, decoder: Decoder) -> torch.Tensor:
    """Entropy of probabilities (k, ...), 0 (sure) to 1; of regions the mean of each one's own."""
    entropy: torch.Tensor = torch.special.entr(share)
    if decoder.heads:
        entropy = entropy + torch.special.entr(1 - share)
    most = np.log(2) * decoder.outputs if decoder.heads else np.log(decoder.outputs)
    return entropy.sum(0) / float(most)


def _view(
    array: NDArray[np.generic], change: Reorientation, placement: Placement, axes: tuple[int, int, int]
) -> NDArray[np.generic]:
    """A view of (..., z, y, x) on the image's grid whose rows are those of the stream."""
    lead = array.ndim - 3
    boxed = change.apply(array)[(..., *placement.box.slices)]
    return boxed.transpose(*range(lead), *(lead + a for a in axes))


def _streamed(three: tuple[T, T, T], axes: tuple[int, int, int]) -> tuple[T, T, T]:
    first, second, third = (three[a] for a in axes)
    return first, second, third


def resampled(
    slabs: Iterable[Slab],
    source: Shape,
    target: Shape,
    outputs: int,
    orders: Orders,
    last: LastLayer | None = None,
) -> Iterator[Slab]:
    """Rows of logits of the target, each as soon as the rows of the source that it is made from are there."""
    needs = [source_rows(source[0], target[0], orders[0], range(row, row + 1)) for row in range(target[0])]
    chunk = max(1, CHUNK_BYTES // (4 * outputs * target[1] * target[2]))
    held: NDArray[np.float32] = np.empty((0, 0, *source[1:]), np.float32)
    base = row = 0  # first row held, first row not yet made
    for slab in slabs:
        held = np.concatenate([held, slab.logits], axis=1) if held.shape[1] else slab.logits
        ready = sum(need.stop <= slab.rows.stop for need in needs)
        for first in range(row, ready, chunk):
            rows = range(first, min(first + chunk, ready))
            part = held[:, needs[first].start - base : needs[rows[-1]].stop - base]
            made = _made(part, needs[first].start, (source, target), orders, rows)
            yield Slab(slice(rows.start, rows.stop), logits_of(made, last))
        row = ready
        if row < len(needs):
            drop = min(needs[row].start - base, held.shape[1])  # the next row may begin beyond what is held
            held, base = held[:, drop:].copy(), base + drop


def _made(
    part: NDArray[np.float32], start: int, shapes: tuple[Shape, Shape], orders: Orders, rows: range
) -> NDArray[np.float32]:
    """Rows of the target; where planes are linear, by torch's own kernel: twice as quick as by matrices.

    `align_corners=False` is the rule of `calque.ops.resample`: outer faces coincide, beyond the edge lies the
    edge.
    """
    source, target = shapes
    if orders[1:] != (1, 1) or source[1:] == target[1:]:
        return resample_part(part, start, (source[0], target), orders, rows)
    planes = resample_part(part, start, (source[0], (target[0], *source[1:])), orders, rows)
    tensor = torch.from_numpy(np.require(planes, requirements=["C", "W"]))
    made = torch.nn.functional.interpolate(tensor, size=target[1:], mode="bilinear", align_corners=False)
    return np.asarray(made.numpy())
