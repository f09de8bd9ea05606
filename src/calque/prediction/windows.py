"""Windows over an array: where they lie, how they are weighted, in which order rows are finished.

The scheme is nnU-Net's (Isensee et al., Nature Methods 2021, `sliding_window_prediction.py`): evenly spread
windows that cover everything, a Gaussian importance, logits averaged with it. Windows are visited along the
first axis, and rows that no later window touches are handed on at once: memory holds one slab of logits,
whatever the length of the scan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from calque.errors import GeometryError, InputError, ModelError
from calque.geometry import Shape
from calque.prediction.options import MirrorMode

Run = Callable[[torch.Tensor], torch.Tensor]
"""From windows (b, c, z, y, x) to logits (b, k, z, y, x)."""

Flips = tuple[int, ...]
"""Axes, 0 for z to 2 for x, along which a window is mirrored."""

_BATCH_VOXELS = 2**18  # smaller calls leave processors idle; larger ones only cost memory
_MAX_BATCH = 64


@dataclass(frozen=True)
class Tiling:
    """How an array is cut into windows.

    Args:
        patch: voxels (z, y, x) of a window.
        overlap: share of a window that the next one covers too, at least 0 and below 1.
        mirror: "off", "interleaved" (window number n has mirroring n modulo their number) or "full".
        mirror_axes: along which of (z, y, x) mirroring was part of training.
        batch: windows per call; None: chosen from the patch's size.
    """

    patch: Shape
    overlap: float = 0.5
    mirror: MirrorMode = "off"
    mirror_axes: tuple[bool, bool, bool] = (True, True, True)
    batch: int | None = None

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


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished rows of logits.

    Args:
        rows: of the array's first axis.
        logits: (k, rows, y, x), float32.
    """

    rows: slice
    logits: NDArray[np.float32]


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
    return tuple(round(k * (size - patch) / max(count - 1, 1)) for k in range(count))


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


def sliding_window(
    run: Run, array: NDArray[np.floating], outputs: int, tiling: Tiling
) -> NDArray[np.float32]:
    """Logits of a whole array, held at once.

    Args:
        run: the network.
        array: (c, z, y, x).
        outputs: how many logits per voxel the network gives.
        tiling: the windows.

    Returns:
        (outputs, z, y, x), float32.

    Raises:
        ModelError: the network gives another number of logits, another shape, or values that are not finite.
    """
    logits = np.empty((outputs, *array.shape[1:]), np.float32)
    for slab in slabs(run, array, outputs, tiling):
        logits[:, slab.rows] = slab.logits
    return logits


def slabs(run: Run, array: NDArray[np.floating], outputs: int, tiling: Tiling) -> Iterator[Slab]:
    """As `sliding_window`, but rows are given away as soon as they are finished.

    At most `patch[0]` rows (more only where several rows of windows share a call) are held, and a slab's
    array is the receiver's own.
    """
    shape = _shape(array.shape[1:])
    padding = [max(0, p - n) for n, p in zip(shape, tiling.patch, strict=True)]
    before = [p // 2 for p in padding]
    if any(padding):  # symmetric zeros: zero is the mean of a normalised image
        array = np.pad(array, [(0, 0), *((b, p - b) for b, p in zip(before, padding, strict=True))])
    inside = [slice(b, b + n) for b, n in zip(before, shape, strict=True)]
    for slab in _padded_slabs(run, array, outputs, tiling):
        low, high = max(slab.rows.start, inside[0].start), min(slab.rows.stop, inside[0].stop)
        if low < high:
            kept = slab.logits[:, low - slab.rows.start : high - slab.rows.start, inside[1], inside[2]]
            yield Slab(slice(low - before[0], high - before[0]), kept)


def _padded_slabs(run: Run, array: NDArray[np.floating], outputs: int, tiling: Tiling) -> Iterator[Slab]:
    shape = _shape(array.shape[1:])
    starts = window_starts(shape, tiling.patch, tiling.overlap)
    weights = [torch.from_numpy(w) for w in importance(tiling.patch)]
    total = [_coverage(n, s, w) for n, s, w in zip(shape, starts, importance(tiling.patch), strict=True)]
    plane = len(starts[1]) * len(starts[2])
    together = math.ceil(tiling.windows_per_call / plane)
    weight = (weights[0][:, None, None] * weights[1][:, None] * weights[2]).float()
    held = torch.zeros((outputs, 0, *shape[1:]))
    for first in range(0, len(starts[0]), together):
        group = starts[0][first : first + together]
        base, stop = group[0], group[-1] + tiling.patch[0]
        held = torch.cat([held, held.new_zeros((outputs, stop - base - held.shape[1], *shape[1:]))], dim=1)
        corners = list(itertools.product(group, starts[1], starts[2]))
        for corner, logits in _run_windows(run, array, outputs, tiling, corners, first * plane):
            z, y, x = (slice(c, c + p) for c, p in zip(corner, tiling.patch, strict=True))
            held[:, z.start - base : z.stop - base, y, x].addcmul_(logits, weight)
        last = first + together >= len(starts[0])
        finished = stop if last else starts[0][first + together]
        rows = slice(base, finished)
        share = total[0][rows, None, None] * total[1][:, None] * total[2]
        done = held[:, : finished - base] / torch.from_numpy(share.astype(np.float32))
        held = held[:, finished - base :].clone()  # a view would keep the finished rows in memory
        yield Slab(rows, done.numpy())


def _run_windows(
    run: Run,
    array: NDArray[np.floating],
    outputs: int,
    tiling: Tiling,
    corners: Sequence[tuple[int, ...]],
    number: int,
) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """Corner and float32 logits (k, z, y, x) of each window and mirroring; `number` is the first window's."""
    tasks = [
        (corner, flips, 1.0 / len(mirrorings))
        for n, corner in enumerate(corners, start=number)
        for mirrorings in [tiling.flips(n)]
        for flips in mirrorings
    ]
    for first in range(0, len(tasks), tiling.windows_per_call):
        batch = tasks[first : first + tiling.windows_per_call]
        logits = run(torch.stack([_cut(array, corner, tiling.patch, flips) for corner, flips, _ in batch]))
        _check(logits, (len(batch), outputs, *tiling.patch))
        for (corner, flips, share), one in zip(batch, logits, strict=True):
            yield corner, _mirror(one, flips).float() * share


def _cut(array: NDArray[np.floating], corner: tuple[int, ...], patch: Shape, flips: Flips) -> torch.Tensor:
    window = array[(slice(None), *(slice(c, c + p) for c, p in zip(corner, patch, strict=True)))]
    return _mirror(torch.from_numpy(np.array(window, dtype=np.float32)), flips)


def _mirror(window: torch.Tensor, flips: Flips) -> torch.Tensor:
    return window.flip([1 + axis for axis in flips]) if flips else window


def _coverage(size: int, starts: tuple[int, ...], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of weights along one axis; as windows form a lattice, the sum per voxel is the product of three."""
    total = np.zeros(size)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total


def _check(logits: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(logits.shape) != expected:
        raise ModelError(
            "The network gives another shape than it was built for",
            expected=expected,
            got=tuple(logits.shape),
        )
    if not torch.isfinite(logits).all():  # argmax would quietly call NaN the background
        raise ModelError(
            "The network gives values that are not finite",
            fix="predict with --precision f32; if that does not help, the model is damaged",
        )


def _shape(values: tuple[int, ...]) -> Shape:
    z, y, x = values
    return z, y, x
