"""Reading from a connection whose other end may be slow, but not for ever."""

from __future__ import annotations

import socket
import time
from io import RawIOBase
from typing import Any

SLOWEST = 10_000.0
"""Bytes a second that a request must bring, once it has lasted as long as silence is borne."""


class Paced(RawIOBase):
    """What a connection brings, if it is neither silent nor so slow that it would never end."""

    def __init__(self, connection: socket.socket, silence: float) -> None:
        self._connection, self._silence = connection, silence
        self.begin()

    def begin(self) -> None:
        """A request begins."""
        self._end = time.monotonic() + self._silence

    def readable(self) -> bool:
        """As `BufferedReader` asks."""
        return True

    def readinto(self, buffer: Any) -> int:
        """TimeoutError where nothing comes in time."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(min(left, self._silence))
        size = self._connection.recv_into(buffer)
        self._connection.settimeout(self._silence)  # of what is written
        self._end += size / SLOWEST
        return size
