"""Figures of a scan that rules judge by: small, taken in one pass while the voxels are at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 2**16
_BRIGHT = 0.75
_LETTER = (6, 60)
_LETTERS = 5
_LARGEST_PICTURE = 2**24


@dataclass(frozen=True)
class Spread:
    """Where the finite values of a channel lie: percentiles 1, 50 and 99 of a sample; all 0 without any."""

    low: float
    middle: float
    high: float

    @property
    def width(self) -> float:
        """From low to high."""
        return self.high - self.low


def spread_of(channel: NDArray[np.generic]) -> Spread:
    """Percentiles of at most 2^16 voxels, evenly taken."""
    flat = channel.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return Spread(0.0, 0.0, 0.0)
    ranks = [int(q * (sample.size - 1)) for q in (0.01, 0.5, 0.99)]
    low, middle, high = np.partition(sample, ranks)[ranks]
    return Spread(float(low), float(middle), float(high))


def share_at(channel: NDArray[np.generic], value: np.generic) -> float:
    """The part of the voxels that have this very value."""
    return float(np.count_nonzero(channel == value)) / channel.size


def at_type_end(value: np.generic) -> bool:
    """Whether the integer type of this value holds nothing larger."""
    return isinstance(value, np.integer) and int(value) == np.iinfo(value.dtype).max


def looks_lettered(array: NDArray[np.generic]) -> bool:
    """Whether a picture (channel, 1, row, column) seems to have a line of letters burned in.

    A heuristic: at least five bright shapes of the size of letters, of one height, on one line and close to
    each other. It sees bright print on a darker ground alone.
    """
    flat = array.reshape(len(array), *array.shape[-2:]) if array.shape[1] == 1 else None
    if flat is None or flat[0].size > _LARGEST_PICTURE or min(flat.shape[1:]) < 2 * _LETTER[0]:
        return False
    weakest = flat.min(axis=0)
    top = float(weakest.max())
    bright = weakest >= _BRIGHT * top
    if top <= 0 or not 0 < np.count_nonzero(bright) < 0.1 * bright.size:
        return False
    from scipy import ndimage  # slow to import, and seldom needed

    labelled, _ = ndimage.label(bright, structure=np.ones((3, 3), dtype=int))
    letters = [
        (box[0].start, box[0].stop, box[1].start, box[1].stop)
        for box in ndimage.find_objects(labelled)
        if _LETTER[0] <= box[0].stop - box[0].start <= _LETTER[1]
        and box[1].stop - box[1].start <= 1.5 * (box[0].stop - box[0].start)
    ]
    return _on_a_line(sorted(letters, key=lambda box: box[2]))


def _on_a_line(boxes: list[tuple[int, int, int, int]]) -> bool:
    """Whether enough boxes (top, bottom, left, right), from left to right, follow as letters do."""
    for first, (top, bottom, _, right) in enumerate(boxes):
        height, found, edge = bottom - top, 1, right
        for other_top, other_bottom, left, other_right in boxes[first + 1 :]:
            if left - edge > 1.5 * height:
                break
            aligned = abs(other_bottom - bottom) <= 0.15 * height + 1
            alike = abs((other_bottom - other_top) - height) <= 0.3 * height + 1
            if aligned and alike and left >= edge:
                found, edge = found + 1, other_right
        if found >= _LETTERS:
            return True
    return False
