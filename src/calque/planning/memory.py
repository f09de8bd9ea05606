"""Freed memory stays in the process.

A training step frees and asks for the same hundreds of megabytes again. glibc gives large blocks back to the
kernel at once, and the kernel hands out fresh pages, zeroed one by one: page faults that take a tenth or more
of a step on a CPU (docs/log.md). Told to keep what is freed, the process peaks as high as before and faults
no more.
"""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask glibc to reuse freed blocks; True where it agreed, False on systems without glibc."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
