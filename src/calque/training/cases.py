"""Prepared cases that stay open while training draws from them."""

from __future__ import annotations

from typing import Protocol

from calque.preparation import PreparedCase

MOST_OPEN = 128
"""Each open case holds two memory maps, and systems allow a process 256 files or more."""
MOST_BYTES = 256 * 2**20
"""Of foreground indices, which unlike the maps take memory."""


class Loader(Protocol):
    """Anything that finds a prepared case by its name, such as a `Store`."""

    def load(self, case: str) -> PreparedCase:
        """The case, memory-mapped."""
        ...


class OpenCases:
    """Keeps cases open, as many as the bounds allow; the others are opened each time.

    The first ones stay: every case comes once an epoch in random order, so that throwing out the oldest would
    throw out what comes soonest. One thread at a time.

    Args:
        store: where they are.
        most: cases.
        room: bytes of foreground indices.
    """

    def __init__(self, store: Loader, most: int = MOST_OPEN, room: int = MOST_BYTES) -> None:
        self._store, self._most, self._room = store, most, room
        self._open: dict[str, PreparedCase] = {}

    def load(self, case: str) -> PreparedCase:
        """The case; raises what the store raises."""
        found = self._open.get(case)
        if found is None:
            found = self._store.load(case)
            size = sum(voxels.nbytes for voxels in found.foreground.values())
            if len(self._open) < self._most and size <= self._room:
                self._open[case] = found
                self._room -= size
        return found
