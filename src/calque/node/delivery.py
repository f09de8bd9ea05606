"""Results on their way, tried again until they have arrived."""

from __future__ import annotations

import time
from collections.abc import Callable

from calque.node.limits import Patience
from calque.node.queue import Queue
from calque.node.sending import Sender
from calque.node.spool import Spool


class Courier:
    """Sends what is due.

    Args:
        spool: holds the files.
        queue: says what is due.
        sender: knows the way.
        patience: between attempts, and when to give up.
        say: gets one line per event, without identifiers.
    """

    def __init__(
        self, spool: Spool, queue: Queue, sender: Sender, patience: Patience, say: Callable[[str], None]
    ) -> None:
        self._spool, self._queue, self._sender = spool, queue, sender
        self._patience, self._say = patience, say

    def step(self) -> int:
        """Try everything that is due once; returns how many arrived."""
        arrived = 0
        down: set[str] = set()
        for delivery in self._queue.due():
            if delivery.destination in down:
                continue  # it has just failed; its turn comes in the next round
            problem = self._sender.send(self._spool.folder / delivery.file, delivery.destination)
            name = f"series {delivery.series}: {delivery.kind} to {delivery.destination}"
            if problem is None:
                self._queue.delivered(delivery.id)
                self._say(f"{name}: delivered")
                arrived += 1
                continue
            down.add(delivery.destination)
            too_late = time.time() - delivery.made > self._patience.give_up
            wait = None if too_late else self._patience.retry_after(delivery.attempts + 1)
            self._queue.postpone(delivery.id, problem, wait)
            self._say(f"{name}: {problem}; " + ("given up" if wait is None else f"again in {wait:.0f} s"))
        return arrived
