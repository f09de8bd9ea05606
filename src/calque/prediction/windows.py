"""Windows over an array, run: in which order they are visited, and rows finished.

The scheme is nnU-Net's (Isensee et al., Nature Methods 2021, `sliding_window_prediction.py`): evenly spread
windows that cover everything, a Gaussian importance, logits averaged with it. Windows are visited along one
axis, and rows that no later window touches are handed on at once: memory holds one slab of logits, whatever
the length of the scan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from calque.errors import ModelError
from calque.prediction.mean import MOST, RunningMean
from calque.prediction.padding import Padded, Rows, Whole
from calque.prediction.tiling import Flips, Tiling, importance, window_starts

Run = Callable[[torch.Tensor], torch.Tensor]
"""From windows (b, c, z, y, x) to logits (b, k, z, y, x), which may be overwritten by the next call.

Engines whose last layer is apart give features instead, which are averaged in the same way.
"""

CHUNK_BYTES = 2**24  # of finished logits given away at once
MEMO_BYTES = 2**27  # of the logits of a window in which nothing is to be seen


class Watch(Protocol):
    """Whoever looks on while windows become rows, in the axes of the stream."""

    def window(self, corner: tuple[int, ...], logits: torch.Tensor) -> None:
        """Logits (k, z, y, x) of one window and mirroring, turned back."""
        ...

    def finished(self, rows: slice, logits: NDArray[np.float32]) -> None:
        """Rows (k, rows, y, x) that no later window touches."""
        ...


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished rows of logits.

    Args:
        rows: of the array's first axis.
        logits: (k, rows, y, x), float32.
    """

    rows: slice
    logits: NDArray[np.float32]


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


def slabs(
    run: Run,
    array: NDArray[np.floating] | Rows,
    outputs: int,
    tiling: Tiling,
    watch: Watch | None = None,
    rest: Callable[[], None] | None = None,
) -> Iterator[Slab]:
    """As `sliding_window`, but rows are given away as soon as they are finished.

    At most `patch[axis]` rows (more only where several rows of windows share a call) are held, and a slab's
    array is the receiver's own.

    Args:
        run: the network, on windows (b, c, z, y, x) whatever the axis of streaming.
        array: (c, z, y, x) with `tiling.axis` 0, or rows along `tiling.axis`.
        outputs: how many logits per voxel the network gives.
        tiling: the windows.
        watch: told of every window.
        rest: called when windows pause, so that rows that are finished find room: `Engine.rest`.
    """
    rows = Whole(array) if isinstance(array, np.ndarray) else array
    padded = Padded(rows, tiling.streamed(tiling.patch))
    inside = padded.inside
    for slab in _Stream(run, padded, tiling, outputs, watch, rest):
        low, high = max(slab.rows.start, inside[0].start), min(slab.rows.stop, inside[0].stop)
        if low < high:
            kept = slab.logits[:, low - slab.rows.start : high - slab.rows.start, inside[1], inside[2]]
            yield Slab(slice(low - inside[0].start, high - inside[0].start), kept)


@dataclass(frozen=True)
class _Task:
    """A window to run: its corner in streamed axes, its mirroring in (z, y, x), its share of the mean."""

    corner: tuple[int, ...]
    flips: Flips
    share: float


class _Stream:
    """Rows of windows one after the other, and the slab of logits that later windows still touch."""

    def __init__(
        self,
        run: Run,
        rows: Padded,
        tiling: Tiling,
        outputs: int,
        watch: Watch | None = None,
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._run, self._rows, self._outputs, self._tiling = run, rows, outputs, tiling
        self._watch, self._rest = watch, rest or _nothing
        self._patch = tiling.streamed(tiling.patch)
        self._starts = window_starts(rows.shape, self._patch, tiling.overlap)
        factors = importance(self._patch)
        self._weight = torch.from_numpy(
            (factors[0][:, None, None] * factors[1][:, None] * factors[2]).astype(np.float32)
        )
        self._mean: RunningMean | None = None
        plane = len(self._starts[1]) * len(self._starts[2])
        self._together = math.ceil(tiling.windows_per_call / plane)
        self._memo: dict[bytes, torch.Tensor] = {}

    def __iter__(self) -> Iterator[Slab]:
        starts, together = self._starts[0], self._together
        span = max(
            starts[min(k + together, len(starts)) - 1] + self._patch[0] - starts[k]
            for k in range(0, len(starts), together)
        )
        for first in range(0, len(starts), together):
            group = starts[first : first + together]
            base, stop = group[0], group[-1] + self._patch[0]
            part = self._rows.window_rows(base, stop)
            tasks = self._tasks(first, group)
            last = first + together >= len(starts)
            if last and first == 0 and len(tasks) == 1:
                yield from self._only(part, tasks[0])
                return
            for task, logits in self._windows(part, base, tasks):
                self._add(logits, base, span, task)
            self._rest()
            finished = stop if last else starts[first + together]
            assert self._mean is not None  # noqa: S101  (a group has windows)
            yield from self._finished(self._mean.held, base, finished)
            if not last:
                self._mean.shift(finished - base, stop - base)

    def _tasks(self, first: int, group: Sequence[int]) -> list[_Task]:
        axes, counts = self._tiling.axes, [len(s) for s in self._starts]
        tasks = []
        for place in itertools.product(range(len(group)), range(counts[1]), range(counts[2])):
            corner = (group[place[0]], self._starts[1][place[1]], self._starts[2][place[2]])
            lattice = dict(zip(axes, (first + place[0], place[1], place[2]), strict=True))
            size = dict(zip(axes, counts, strict=True))
            number = (lattice[0] * size[1] + lattice[1]) * size[2] + lattice[2]
            mirrorings = self._tiling.flips(number)
            tasks += [_Task(corner, flips, 1.0 / len(mirrorings)) for flips in mirrorings]
        return tasks

    def _windows(
        self, part: NDArray[np.float32], base: int, tasks: Sequence[_Task]
    ) -> Iterator[tuple[_Task, torch.Tensor]]:
        """Each task with its logits (k, z, y, x), still mirrored.

        A window of one value everywhere (air that normalisation clips, padding) is the same input wherever it
        lies and however it is mirrored: the network sees it once. Nothing changes but the time.
        """
        per_call, waiting = self._tiling.windows_per_call, []
        for task in tasks:
            window = self._cut(part, base, task)
            constant = _constant(window)
            if constant is not None and constant in self._memo:
                yield task, self._memo[constant]
                continue
            waiting.append((task, window, constant))
            if len(waiting) == per_call:
                yield from self._call(waiting)
                waiting = []
        if waiting:
            yield from self._call(waiting)

    def _call(
        self, batch: Sequence[tuple[_Task, torch.Tensor, bytes | None]]
    ) -> Iterator[tuple[_Task, torch.Tensor]]:
        logits = self._run(torch.stack([window for _, window, _ in batch]))
        _check(logits, (len(batch), self._outputs, *self._tiling.patch))
        for (task, _, constant), one in zip(batch, logits, strict=True):
            if constant is not None and not self._memo and 4 * one.numel() <= MEMO_BYTES:
                self._memo[constant] = one.clone()
            yield task, one

    def _cut(self, part: NDArray[np.float32], base: int, task: _Task) -> torch.Tensor:
        """(c, z, y, x), mirrored."""
        corner = (task.corner[0] - base, *task.corner[1:])
        place = tuple(slice(c, c + p) for c, p in zip(corner, self._patch, strict=True))
        window = torch.from_numpy(part[(slice(None), *place)])
        back = (0, *(1 + self._tiling.axes.index(a) for a in range(3)))
        window = window.permute(back)
        return (window.flip([1 + a for a in task.flips]) if task.flips else window).contiguous()

    def _add(self, logits: torch.Tensor, base: int, span: int, task: _Task) -> None:
        if self._mean is None:
            self._mean = RunningMean((self._outputs, span, *self._rows.shape[1:]), logits.dtype)
        corner = (task.corner[0] - base, *task.corner[1:])
        z, y, x = (slice(c, c + p) for c, p in zip(corner, self._patch, strict=True))
        if self._watch is not None:
            self._watch.window(task.corner, self._turned(logits, task))
        turned = (self._turned(one[None], task)[0] for one in logits)  # mirrored ones as a whole are a copy
        self._mean.add((z, y, x), turned, self._weight * task.share if task.share != 1.0 else self._weight)

    def _turned(self, logits: torch.Tensor, task: _Task) -> torch.Tensor:
        """Mirrored back, in streamed axes; a view where nothing was mirrored."""
        back = logits.flip([1 + a for a in task.flips]) if task.flips else logits
        return back.permute(0, *(1 + a for a in self._tiling.axes))

    def _only(self, part: NDArray[np.float32], task: _Task) -> Iterator[Slab]:
        """Where one window is all, there is no mean."""
        for _, logits in self._windows(part, 0, [task]):
            turned = self._turned(logits, task)
            if self._watch is not None:
                self._watch.window(task.corner, turned)
            self._rest()
            yield from self._finished(turned, 0, self._patch[0])

    def _finished(self, held: torch.Tensor, base: int, stop: int) -> Iterator[Slab]:
        row = 4 * self._outputs * self._rows.shape[1] * self._rows.shape[2]
        step = max(1, CHUNK_BYTES // row)
        for start in range(base, stop, step):
            rows = slice(start, min(start + step, stop))
            done = torch.empty((self._outputs, rows.stop - rows.start, *self._rows.shape[1:]))
            done.copy_(held[:, rows.start - base : rows.stop - base])
            if self._watch is not None:
                self._watch.finished(rows, done.numpy())
            yield Slab(rows, done.numpy())


def _nothing() -> None:
    """Where nobody wants to rest."""


def _constant(window: torch.Tensor) -> bytes | None:
    """The value of each channel where a window (c, z, y, x) has but one; None where it has more."""
    corner = window[:, 0, 0, 0]
    probe = window[:, window.shape[1] // 2, window.shape[2] // 2, window.shape[3] // 2]
    if not torch.equal(probe, corner) or not bool((window == corner[:, None, None, None]).all()):
        return None
    return corner.numpy().tobytes()


def _check(logits: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(logits.shape) != expected:
        raise ModelError(
            "The network gives another shape than it was built for",
            expected=expected,
            got=tuple(logits.shape),
        )
    # argmax would quietly call NaN the background; a sum that is finite has no term that is not
    if logits.dtype == torch.float32:
        sound = bool(torch.isfinite(logits.sum()) or torch.isfinite(logits).all())
    else:
        low, high = (float(end) for end in logits.aminmax())
        sound = low >= -MOST and high <= MOST  # false for NaN, too
    if not sound:
        raise ModelError(
            "The network gives values that are not finite, or too large for its precision",
            fix="predict with --precision f32; if that does not help, the model is damaged",
        )
