"""Volumes that were just read, kept for the next stage of a command that reads the same files.

Checking, planning and preparing each look at every file. Small ones stay in memory between them, within
bounds; whoever gets a kept volume cannot write to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from calque.io.model import Volume

LIMIT = 512 * 2**20
"""Bytes of voxels, of all kept volumes together: none is kept once that is reached."""

Reader = Callable[[Path], Volume]
_Key = tuple[str, int, int, Reader]


class _Shelf:
    """Path, time of change, size and reader -> volume."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._volumes: dict[_Key, Volume] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, reader: Reader) -> Volume:
        """The volume that is kept, or else read now."""
        try:
            facts = path.stat()
        except OSError:  # not a plain file; the reader knows it, or says what is wrong
            return reader(path)
        key = (str(path), facts.st_mtime_ns, facts.st_size, reader)
        found = self._volumes.get(key)
        return found if found is not None else self._keep(key, reader(path))

    def _keep(self, key: _Key, volume: Volume) -> Volume:
        with self._lock:
            if self._used + volume.array.nbytes <= self._limit:
                self._used += volume.array.nbytes
                volume.array.setflags(write=False)
                self._volumes[key] = volume
        return volume


_shelves: list[_Shelf] = []


@contextmanager
def keep_volumes(limit: int = LIMIT) -> Iterator[None]:
    """Within, files that are read again and have not changed are not read again, on any thread."""
    shelf = _Shelf(limit)
    _shelves.append(shelf)
    try:
        yield
    finally:
        _shelves.remove(shelf)


def read_kept(path: Path, reader: Reader) -> Volume:
    """`reader(path)`, or what it gave before within `keep_volumes`."""
    return _shelves[-1].read(path, reader) if _shelves and path.is_file() else reader(path)
