"""Where windows lie on an array, how they are mirrored and how they weigh: arithmetic, no network."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from calque.errors import GeometryError, InputError
from calque.geometry import Shape
from calque.prediction.options import MirrorMode
from calque.preparation.rows import axes_from

Flips = tuple[int, ...]
"""Axes, 0 for z to 2 for x, along which a window is mirrored."""

_BATCH_VOXELS = 2**18  # smaller calls leave processors idle; larger ones only cost memory
_MAX_BATCH = 64
_GRAIN = 8  # voxels: sizes of windows are multiples of it, so that a cohort has few of them


@dataclass(frozen=True)
class Tiling:
    """How an array is cut into windows.

    Args:
        patch: voxels (z, y, x) of a window.
        overlap: share of a window that the next one covers too, at least 0 and below 1.
        mirror: "off", "interleaved" (window number n has mirroring n modulo their number) or "full".
        mirror_axes: along which of (z, y, x) mirroring was part of training.
        batch: windows per call; None: chosen from the patch's size.
        axis: of (z, y, x), along which windows are visited and rows are given away; arrays and logits have it
            first, the others in their order. It changes what is held in memory, and no logit.
    """

    patch: Shape
    overlap: float = 0.5
    mirror: MirrorMode = "off"
    mirror_axes: tuple[bool, bool, bool] = (True, True, True)
    batch: int | None = None
    axis: int = 0

    @property
    def axes(self) -> tuple[int, int, int]:
        """The axes of streamed arrays, in terms of (z, y, x)."""
        return axes_from(self.axis)

    def streamed(self, shape: Shape) -> Shape:
        """(z, y, x) in the order of streamed arrays."""
        first, second, third = (shape[a] for a in self.axes)
        return first, second, third

    @property
    def windows_per_call(self) -> int:
        """How many windows go through the network at once."""
        return self.batch or max(1, min(_MAX_BATCH, _BATCH_VOXELS // math.prod(self.patch)))

    def flips(self, window: int) -> tuple[Flips, ...]:
        """The mirrorings of window number `window`; their logits are averaged."""
        axes = [axis for axis in range(3) if self.mirror_axes[axis] and self.patch[axis] > 1]
        every = tuple(c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n))
        if self.mirror == "off":
            return ((),)
        return (every[window % len(every)],) if self.mirror == "interleaved" else every


def window_starts(shape: Shape, patch: Shape, overlap: float = 0.5) -> tuple[tuple[int, ...], ...]:
    """Where windows begin along (z, y, x), for an array at least as large as the patch.

    Evenly spread with the fewest windows whose step is at most `(1 - overlap) * patch`; the first begins at 0
    and the last ends at the end (nnU-Net's `compute_steps_for_sliding_window`).
    """
    if any(n < p for n, p in zip(shape, patch, strict=True)):
        raise GeometryError(
            "An array is padded to the patch before windows are laid", expected=patch, got=shape
        )
    if not 0 <= overlap < 1:
        raise InputError("Windows overlap by a share of their size", expected="0 <= overlap < 1", got=overlap)
    return tuple(_starts(n, p, overlap) for n, p in zip(shape, patch, strict=True))


def _starts(size: int, patch: int, overlap: float) -> tuple[int, ...]:
    step = max(1.0, patch * (1 - overlap))  # a step below one voxel would visit a place twice
    count = math.ceil((size - patch) / step) + 1
    apart = (size - patch) / max(count - 1, 1)  # in this order: nnU-Net's halves round as ours
    return tuple(round(apart * k) for k in range(count))


def importance(patch: Shape) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian weights along z, y and x; a voxel's weight is their product, 1 in the middle.

    Sigma is an eighth of the patch; zeros are replaced by the smallest positive weight (nnU-Net's
    `compute_gaussian`, whose Gaussian is such a product).
    """
    z, y, x = (_gaussian(n) for n in patch)
    return z, y, x


def _gaussian(size: int) -> NDArray[np.float64]:
    peak = np.zeros(size)
    peak[size // 2] = 1.0
    weights = np.asarray(gaussian_filter1d(peak, size / 8, mode="constant", cval=0.0))
    weights /= weights.max()
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def fewest(shape: Shape, trained: Shape, divisor: Shape, most: int, overlap: float = 0.5) -> Shape:
    """The window by which an array is covered with the fewest voxels computed; of equals the smallest.

    Args:
        shape: of the array (z, y, x).
        trained: the window of training; none is smaller along any axis, and one voxel stays one.
        divisor: of the network.
        most: voxels of a window, at least those of `trained`.
        overlap: share of a window that the next one covers too.
    """
    axes = [_sizes(n, t, min(d, _GRAIN), overlap) for n, t, d in zip(shape, trained, divisor, strict=True)]
    found = [(z, y, x) for z, y, x in itertools.product(*axes) if z * y * x <= most]

    def computed(window: Shape) -> tuple[int, int]:
        padded = (max(n, w) for n, w in zip(shape, window, strict=True))
        counts = (len(_starts(n, w, overlap)) for n, w in zip(padded, window, strict=True))
        return math.prod(counts) * math.prod(window), math.prod(window)

    return min(found, key=computed)


def _sizes(size: int, trained: int, grain: int, overlap: float) -> tuple[int, ...]:
    """Of windows along one axis: that of training, and for each smaller number of windows the smallest."""
    if trained == 1 or size <= trained:
        return (trained,)
    counts = range(1, len(_starts(size, trained, overlap)))
    least = (math.ceil(size / (1 + (count - 1) * (1 - overlap)) / grain) * grain for count in counts)
    return tuple(sorted({trained, *(max(trained, n) for n in least)}))
