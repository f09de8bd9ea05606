"""How a node is doing, from its spool: also while it runs, and after it died."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from calque.errors import ReadError
from calque.node.queue import Queue
from calque.node.spool import Spool
from calque.value import Value


class SeriesStatus(Value):
    """One series. `reason` may quote what its files hold: not for logs."""

    key: str
    state: str
    instances: int
    bytes: int
    attempts: int
    reason: str
    changed: datetime


class DeliveryStatus(Value):
    """One result on its way to one destination."""

    series: str
    kind: str
    destination: str
    state: str
    attempts: int
    reason: str
    changed: datetime


class NodeStatus(Value):
    """A spool at one moment.

    Args:
        running: whether a node holds the spool.
        healthy: running, nothing failed, and no delivery has failed even once since it was last made.
        series: how many are in each state.
        deliveries: how many are in each state.
        free_bytes: of the spool's disk.
        all_series: in order of their last change.
        all_deliveries: in order of making.
    """

    running: bool
    healthy: bool
    series: dict[str, int]
    deliveries: dict[str, int]
    free_bytes: int
    all_series: tuple[SeriesStatus, ...]
    all_deliveries: tuple[DeliveryStatus, ...]


def node_status(folder: Path) -> NodeStatus:
    """Look at a spool.

    Raises:
        ReadError: it is no spool.
    """
    spool = Spool(folder)
    if not spool.queue.is_file():
        raise ReadError("This is no spool of a node", where=folder, expected="a folder with queue.sqlite")
    with closing(Queue(spool.queue)) as queue:
        series = tuple(_series(row) for row in queue.rows("series"))
        deliveries = tuple(_delivery(row) for row in queue.rows("delivery"))
    running = _running(folder)
    stuck = any(s.state == "failed" for s in series) or any(
        d.state == "failed" or (d.state == "waiting" and d.attempts) for d in deliveries
    )
    return NodeStatus(
        running=running,
        healthy=running and not stuck,
        series=dict(Counter(s.state for s in series)),
        deliveries=dict(Counter(d.state for d in deliveries)),
        free_bytes=spool.free_bytes(),
        all_series=series,
        all_deliveries=deliveries,
    )


def _series(row: dict[str, object]) -> SeriesStatus:
    return SeriesStatus.model_validate({name: _plain(name, row[name]) for name in SeriesStatus.model_fields})


def _delivery(row: dict[str, object]) -> DeliveryStatus:
    return DeliveryStatus.model_validate({n: _plain(n, row[n]) for n in DeliveryStatus.model_fields})


def _plain(name: str, value: object) -> object:
    return datetime.fromtimestamp(float(str(value)), UTC) if name == "changed" else value


def _running(folder: Path) -> bool:
    """Whether somebody holds the lock; looking does not take it."""
    lock = folder / "lock.sqlite"
    if not lock.is_file():
        return False
    with closing(sqlite3.connect(lock, timeout=0)) as base:
        try:
            base.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            return True
    return False
