"""Keeping what a run has: states on disk, also where the disk is full for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from calque.errors import ResourceError
from calque.training.state import TrainingState, save_state

EARLY = 10.0
"""Seconds to the first checkpoint."""
MOST_SHARE = 0.05
"""Of the time that the first checkpoints may take, where writing is slow."""


class Keeper:
    """Writes beside training. What the disk does not take is tried again later; the last good file stays.

    Args:
        state: what is kept.
        checkpoint: where.
        seconds: between two checkpoints; the first come sooner, so that a kill costs half of a short run.
        say: tells the user.
    """

    def __init__(
        self, state: TrainingState, checkpoint: Path, seconds: float, say: Callable[[str], None]
    ) -> None:
        self.state, self._path, self._seconds, self._say = state, checkpoint, seconds, say
        self._last = time.monotonic()
        self._gap = EARLY
        self._failed: set[Path] = set()

    def after_step(self) -> None:
        """A checkpoint, where it is time for one."""
        begin = time.monotonic()
        if begin - self._last >= min(self._seconds, self._gap):
            self.attempt(self._path, self.save)
            self._last = time.monotonic()
            self._gap = max(2 * self._gap, (self._last - begin) / MOST_SHARE)

    def save(self) -> None:
        """A checkpoint now.

        Raises:
            ResourceError: the disk is full.
        """
        save_state(self.state, self._path)

    def attempt(self, path: Path, write: Callable[[], None]) -> None:
        """Write something to `path` that training can go on without; said once, and when it succeeds."""
        try:
            write()
        except ResourceError as problem:
            if path not in self._failed:
                self._failed.add(path)
                self._say(
                    f"{problem.what}: {path} is not written ({problem.got}). What was there stays, training "
                    "goes on, and it is tried again."
                )
            return
        if path in self._failed:
            self._failed.remove(path)
            self._say(f"There is room again: {path} is written.")
