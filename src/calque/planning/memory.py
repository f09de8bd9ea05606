"""Freed memory stays in the process, or goes back to the system.

A training step frees and asks for the same hundreds of megabytes again. glibc gives large blocks back to the
kernel at once, and the kernel hands out fresh pages, zeroed one by one: page faults that take a tenth or more
of a step on a CPU (docs/log.md). Told to keep what is freed, the process peaks as high as before and faults
no more.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1

_MAPS = Path("/proc/self/maps")


def keep_freed_memory() -> bool:
    """Ask glibc to reuse freed blocks; True where it agreed, False on systems without glibc."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))


def give_back(*files: Path) -> None:
    """Let go what is freed, and pages of `files` that are mapped: they are read again if they are needed.

    Nothing happens on systems where it cannot be asked for.
    """
    if sys.platform != "linux":
        return
    system = ctypes.CDLL(None)
    if hasattr(system, "malloc_trim"):
        system.malloc_trim(0)
    wanted = {str(file.resolve()) for file in files}
    for line in _MAPS.read_text().splitlines() if wanted else ():
        place, *_, name = line.split(maxsplit=5)
        if name in wanted:
            start, stop = (int(end, 16) for end in place.split("-"))
            system.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), mmap.MADV_DONTNEED)
