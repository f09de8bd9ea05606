"""Many items through one function, on threads, with a bounded number in flight.

Threads and not processes: the heavy work (zlib, numpy, torch) releases the interpreter lock, nothing is
pickled, memory maps are shared, and there is no background worker that can die and hide the cause.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Output = TypeVar("Output")


@dataclass(frozen=True)
class Outcome(Generic[Item, Output]):
    """What became of one item: `value`, or the `error` that it raised."""

    item: Item
    value: Output | None
    error: Exception | None

    def unwrap(self) -> Output:
        """The value; raises the item's own error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def default_workers() -> int:
    """As many threads as the process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_bounded(
    function: Callable[[Item], Output], items: Iterable[Item], workers: int | None = None
) -> Iterator[Outcome[Item, Output]]:
    """Yield an `Outcome` per item, in order; at most twice `workers` items are held at a time.

    An item that raises does not stop the others. KeyboardInterrupt stops all: what has not begun is dropped.
    """
    workers = workers or default_workers()
    pool = ThreadPoolExecutor(max_workers=workers)
    waiting: deque[tuple[Item, Future[Output]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) >= 2 * workers:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(item: Item, future: Future[Output]) -> Outcome[Item, Output]:
    error = future.exception()
    if error is None:
        return Outcome(item, future.result(), None)
    if not isinstance(error, Exception):
        raise error
    return Outcome(item, None, error)
