"""A clock for tests of what follows the time."""

from __future__ import annotations


class Ticking:
    """In place of the module `time`: each look takes a hundredth of a second, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    perf_counter = monotonic
