"""Figures of a mask that rules judge by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MANY = 8
"""Fewer values than this are never taken for the grey of an edge."""

_COHERENT = 0.5
_EDGES = 0.03  # fewer scattered voxels are single wrong ones
_LEVELS = 255
_WHOLE = 1e-4


@dataclass(frozen=True)
class MaskFacts:
    """What a mask's voxels tell.

    Args:
        counts: value -> voxels, ascending; empty where the values cannot be labels.
        grey: of several channels: whether all are equal; None for one channel.
        strays: how many distinct values stand mostly alone, beside none of their own: the grey of smoothed or
            compressed edges; classes lie together.
        peaks: how many distinct values lie together.
        peak_share: the part of the voxels that those hold.
        stray_share: the part that strays are of the voxels outside the largest peak.
        digest: of the voxels.
    """

    counts: dict[int, int]
    grey: bool | None = None
    strays: int = 0
    peaks: int = 0
    peak_share: float = 1.0
    stray_share: float = 0.0
    digest: bytes = b""

    @property
    def values(self) -> tuple[int, ...]:
        """Distinct values, ascending."""
        return tuple(self.counts)

    @property
    def blurred(self) -> bool:
        """Whether most voxels have one of few values and many others lie scattered between."""
        edges = self.peak_share >= 0.5 and self.stray_share >= _EDGES
        return edges and self.strays >= MANY and self.strays > 2 * self.peaks


def equal_channels(array: NDArray[np.generic]) -> bool:
    """Whether all channels of (channel, z, y, x) are the same; alpha, the fourth, may be constant."""
    colours = array[:3]
    if len(array) == 4 and array[3].min() != array[3].max():
        return False
    return len(array) in (3, 4) and all(np.array_equal(colours[0], other) for other in colours[1:])


def count_values(array: NDArray[np.unsignedinteger]) -> dict[int, int]:
    """Value -> voxels, ascending, of uint8 or uint16; slice by slice, since counting widens to 64 bits."""
    counts = np.zeros(np.iinfo(array.dtype).max + 1, dtype=np.int64)
    flat = array.reshape(-1)
    for start in range(0, flat.size, 2**20):
        part = np.bincount(flat[start : start + 2**20])
        counts[: len(part)] += part
    return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}


UNSCATTERED = (0, 0, 1.0, 0.0)
"""What `scattering` says of a mask with few values."""


def scattering(array: NDArray[np.generic]) -> tuple[int, int, float, float]:
    """`strays`, `peaks`, `peak_share` and `stray_share` of (z, y, x), as in `MaskFacts`.

    A value is a peak where at least half of its voxels have a neighbour of the same value to the right (or
    below, where the last axis is a single voxel). Fractions are sorted into 256 levels first.
    """
    levels = _levels(array)
    if levels.shape[-1] == 1:
        levels = levels.swapaxes(-1, -2)
    here, next_ = levels[..., :-1].reshape(-1), levels[..., 1:].reshape(-1)
    if not here.size:
        return UNSCATTERED
    all_ = np.bincount(here, minlength=_LEVELS + 1)
    together = np.bincount(here[here == next_], minlength=_LEVELS + 1)
    peaks = (all_ > 0) & (together >= _COHERENT * all_)
    strays = (all_ > 0) & ~peaks
    largest = int(all_[peaks].max()) if peaks.any() else 0
    share = float(all_[peaks].sum() / here.size)
    alone = float(all_[strays].sum() / max(1, here.size - largest))
    return int(strays.sum()), int(peaks.sum()), share, alone


def _levels(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    low, high = float(np.min(array)), float(np.max(array))
    if not np.isfinite((low, high)).all() or high <= low:
        return np.zeros(array.shape, np.uint8)
    return np.asarray(np.rint((array.astype(np.float32) - low) * (_LEVELS / (high - low))).astype(np.uint8))


def is_fractional(array: NDArray[np.generic]) -> bool:
    """Whether floats hold values that are finite and not whole."""
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        return False
    return bool(np.abs(array - np.rint(array)).max() > _WHOLE)
