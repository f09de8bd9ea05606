"""From slabs of logits on the prepared grid to labels on the image's own grid, row by row.

A row of the image needs a few rows of logits: as soon as these are finished it is resampled and reduced to a
label, and the logits are let go. Logits of all classes at the image's own resolution are never held at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from calque.geometry import Reorientation, Shape
from calque.ops.resample import Orders, resample_part, source_rows
from calque.prediction.windows import Slab
from calque.preparation.model import Placement

_CHUNK_BYTES = 2**26  # of resampled logits held at once


@dataclass(frozen=True, eq=False)
class Restored:
    """A prediction on the image's own grid.

    Args:
        classes: (z, y, x), class numbers.
        probabilities: (k, z, y, x), float32, or None.
    """

    classes: NDArray[np.integer]
    probabilities: NDArray[np.float32] | None


def restore(
    slabs: Iterable[Slab],
    placement: Placement,
    outputs: int,
    change: Reorientation,
    *,
    orders: Orders = (1, 1, 1),
    probabilities: bool = False,
) -> Restored:
    """Resample logits to the image's own spacing, take the largest, and undo crop and orientation.

    Args:
        slabs: finished rows of logits on `placement.prepared`, in order, each row once.
        placement: the way back.
        outputs: logits per voxel.
        change: how the image's axes were turned.
        orders: of logits along (z, y, x).
        probabilities: whether softmax probabilities are kept too.
    """
    dtype = np.uint8 if outputs <= 256 else np.uint16
    classes = np.zeros(placement.reoriented.shape, dtype)
    soft: NDArray[np.float32] | None = None
    if probabilities:
        soft = np.zeros((outputs, *placement.reoriented.shape), np.float32)
        soft[0] = 1.0  # what was cropped away is background
    for slab in resampled(slabs, placement.prepared.shape, placement.box.shape, outputs, orders):
        classes[placement.box.slices][slab.rows] = slab.logits.argmax(axis=0)
        if soft is not None:
            soft[(slice(None), *placement.box.slices)][:, slab.rows] = softmax(slab.logits, axis=0)
    back = None if soft is None else np.ascontiguousarray(change.undo(soft))
    return Restored(np.ascontiguousarray(change.undo(classes)), back)


def resampled(
    slabs: Iterable[Slab], source: Shape, target: Shape, outputs: int, orders: Orders
) -> Iterator[Slab]:
    """Rows of the target, each as soon as the rows of the source that it is made from are there."""
    needs = [source_rows(source[0], target[0], orders[0], range(row, row + 1)) for row in range(target[0])]
    chunk = max(1, _CHUNK_BYTES // (4 * outputs * target[1] * target[2]))
    held: NDArray[np.float32] = np.empty((outputs, 0, *source[1:]), np.float32)
    base = row = 0  # first row held, first row not yet made
    for slab in slabs:
        held = np.concatenate([held, slab.logits], axis=1)
        ready = sum(need.stop <= slab.rows.stop for need in needs)
        for first in range(row, ready, chunk):
            rows = range(first, min(first + chunk, ready))
            part = held[:, needs[first].start - base : needs[rows[-1]].stop - base]
            made = resample_part(part, needs[first].start, (source[0], target), orders, rows)
            yield Slab(slice(rows.start, rows.stop), made)
        row = ready
        if row < len(needs):
            drop = min(needs[row].start - base, held.shape[1])  # the next row may begin beyond what is held
            held, base = held[:, drop:].copy(), base + drop
