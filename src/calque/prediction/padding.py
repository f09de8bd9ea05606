"""Rows of an array on their way to windows: made when they are needed, forgotten when they are passed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Shape


class Rows(Protocol):
    """An array that is made row by row: (c, rows, second axis, third axis)."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, then voxels along the axes in the order in which they are streamed."""
        ...

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """Some of the rows."""
        ...

    def chunk(self) -> int:
        """How many rows are worth asking for at once."""
        ...


class Whole:
    """An array that is there, as rows."""

    def __init__(self, array: NDArray[np.floating]) -> None:
        self._array = array
        c, z, y, x = (int(n) for n in array.shape)
        self.shape = (c, z, y, x)

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """See `Rows`."""
        return np.asarray(self._array[:, rows], dtype=np.float32)

    def chunk(self) -> int:
        """All of them."""
        return self.shape[1]


class Padded:
    """Rows with zeros around them where they are smaller than a window: zero is the mean of an image."""

    def __init__(self, rows: Rows, patch: Shape) -> None:
        self._rows = rows
        missing = [max(0, p - n) for n, p in zip(rows.shape[1:], patch, strict=True)]
        self._pad = [(m // 2, m - m // 2) for m in missing]
        z, y, x = (n + m for n, m in zip(rows.shape[1:], missing, strict=True))
        self.shape: Shape = (z, y, x)
        self.inside = [slice(a, a + n) for (a, _), n in zip(self._pad, rows.shape[1:], strict=True)]
        self._held = np.zeros((rows.shape[0], 0, y, x), np.float32)
        self._base = 0

    def window_rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """(c, stop - start, ...): windows only move forward, so that what lies before is forgotten."""
        have = self._base + self._held.shape[1]
        pieces = [self._held[:, start - self._base :]]
        while have < stop:
            until = min(max(stop, have + 1), have + max(1, self._rows.chunk()))
            pieces.append(self._made(have, until))
            have = until
        self._held, self._base = (
            np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0].copy(),
            start,
        )
        return self._held

    def _made(self, start: int, stop: int) -> NDArray[np.float32]:
        made = np.zeros((self._held.shape[0], stop - start, *self.shape[1:]), np.float32)
        low, high = max(start, self.inside[0].start), min(stop, self.inside[0].stop)
        if low < high:
            rows = self._rows(slice(low - self.inside[0].start, high - self.inside[0].start))
            made[:, low - start : high - start, self.inside[1], self.inside[2]] = rows
        return made
