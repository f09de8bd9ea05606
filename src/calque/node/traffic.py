"""What is open and what is arriving, over DICOM and HTTP together."""

from __future__ import annotations

import threading
from collections import defaultdict

from calque.node.limits import Limits


class Traffic:
    """Open callers (associations, requests), what each brought, and bytes of messages that are not complete.

    Safe for several threads.

    Args:
        limits: one caller's bytes, and all of them together, are bounded by these.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._brought: dict[int, set[str]] = defaultdict(set)
        self._bytes: dict[int, int] = defaultdict(int)

    def open(self, caller: object) -> int:
        """Count a caller in; returns how many are open."""
        with self._lock:
            self._open.add(id(caller))
            return len(self._open)

    def brought(self, caller: object, key: str) -> None:
        """It has brought something of a series."""
        with self._lock:
            self._brought[id(caller)].add(key)

    def released(self, caller: object) -> set[str]:
        """Series that this caller brought and no other open one did."""
        with self._lock:
            keys = self._brought.pop(id(caller), set())
            return keys - {key for others in self._brought.values() for key in others}

    def close(self, caller: object) -> None:
        """It has gone."""
        with self._lock:
            self._open.discard(id(caller))
            self._brought.pop(id(caller), None)
            self._bytes.pop(id(caller), None)

    def expect(self, caller: object, length: int) -> None:
        """Count what is about to be read; OSError, which ends the caller, if that is too much."""
        with self._lock:
            self._bytes[id(caller)] += length
            one, together = self._bytes[id(caller)], sum(self._bytes.values())
        if one > 2 * self.limits.instance_bytes or together > self.limits.arriving_bytes:
            raise OSError(f"a message of more than {one} bytes")

    def forget(self, caller: object) -> None:
        """What it brought is complete, or will never be."""
        with self._lock:
            self._bytes.pop(id(caller), None)
