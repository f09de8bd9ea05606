"""The durable queue: one row per series, per instance and per delivery, in SQLite.

A statement that returned is on the disk (write-ahead log, synchronous full). States of a series:

    arriving -> ready -> working -> done | failed | ignored;  done -> expired when its files were removed

A new instance brings it back to `arriving` from wherever it is and counts `version` up; work that was begun
for an older version is thrown away. What was `working` when the process died is `ready` again.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

Stored = Literal["new", "same", "other"]
"""An instance that is new; that is there already; whose UID is there already with other bytes."""

ATTEMPTS = 3
"""How often a series is begun, if the process dies each time."""

_TABLES = """
CREATE TABLE IF NOT EXISTS series (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, instances INTEGER NOT NULL, bytes INTEGER NOT NULL,
    version INTEGER NOT NULL, last REAL NOT NULL, released INTEGER NOT NULL, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL, changed REAL NOT NULL);
CREATE TABLE IF NOT EXISTS instance (
    sop TEXT PRIMARY KEY, series TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,
    file TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS instance_series ON instance (series);
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY, series TEXT NOT NULL, kind TEXT NOT NULL, destination TEXT NOT NULL,
    sop TEXT NOT NULL, result_key TEXT NOT NULL, file TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, due REAL NOT NULL, reason TEXT NOT NULL, made REAL NOT NULL,
    changed REAL NOT NULL,
    UNIQUE (sop, destination));
"""


class Instance(NamedTuple):
    """One stored instance; `file` is relative to the spool."""

    sop: str
    series: str
    digest: str
    bytes: int
    file: str


class Job(NamedTuple):
    """A series to work at, and which version of it."""

    key: str
    version: int
    files: tuple[str, ...]
    fingerprint: str


class Result(NamedTuple):
    """One object that was made; `result_key` is `series_key` of its own series."""

    kind: str
    destination: str
    sop: str
    result_key: str
    file: str


class Delivery(NamedTuple):
    """A result on its way to one destination."""

    id: int
    series: str
    kind: str
    destination: str
    file: str
    attempts: int
    made: float


class Queue:
    """The rows; safe for several threads.

    Args:
        path: of the database; made where it is not.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._base.row_factory = sqlite3.Row
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _all(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    # Arrival

    def recover(self) -> int:
        """After a start: nobody is working, no association is open. Returns how many series were cut off."""
        now = self._clock()
        with self._transaction() as base:
            base.execute(
                "UPDATE series SET state='failed', reason=?, changed=? WHERE state='working' AND attempts>=?",
                ("the node stopped each time it worked at this series", now, ATTEMPTS),
            )
            cut = base.execute("UPDATE series SET state='ready', changed=? WHERE state='working'", (now,))
            base.execute("UPDATE series SET last=?, released=0 WHERE state='arriving'", (now,))
            return cut.rowcount

    def known(self, sop: str) -> str | None:
        """The digest under which an instance is stored."""
        found = self._all("SELECT digest FROM instance WHERE sop=?", (sop,))
        return found[0]["digest"] if found else None

    def size(self, key: str) -> tuple[int, int]:
        """Instances and bytes of a series."""
        found = self._all("SELECT instances, bytes FROM series WHERE key=?", (key,))
        return (found[0]["instances"], found[0]["bytes"]) if found else (0, 0)

    def add(self, instance: Instance) -> tuple[Stored, str]:
        """Record an instance whose file lies in its place. Returns also the state in which its series was."""
        now = self._clock()
        with self._transaction() as base:
            there = base.execute("SELECT digest FROM instance WHERE sop=?", (instance.sop,)).fetchone()
            if there is not None:
                return ("same" if there["digest"] == instance.digest else "other"), ""
            series = base.execute("SELECT state FROM series WHERE key=?", (instance.series,)).fetchone()
            base.execute("INSERT INTO instance VALUES (?,?,?,?,?)", instance)
            base.execute(
                "INSERT INTO series VALUES (?,'arriving',1,?,1,?,0,0,'',?) ON CONFLICT (key) DO UPDATE SET "
                "state='arriving', instances=instances+1, bytes=bytes+excluded.bytes, version=version+1, "
                "last=excluded.last, released=0, attempts=0, reason='', changed=excluded.changed",
                (instance.series, instance.bytes, now, now),
            )
            base.execute(  # they were made of fewer instances
                "UPDATE delivery SET state='superseded', changed=? WHERE series=? AND state='waiting'",
                (now, instance.series),
            )
            return "new", "" if series is None else series["state"]

    def release(self, keys: Collection[str]) -> None:
        """Every association that brought something of these series has been released."""
        with self._transaction() as base:
            base.executemany(
                "UPDATE series SET released=1 WHERE state='arriving' AND key=?", [(key,) for key in keys]
            )

    def complete(self, quiet: float, settle: float) -> list[str]:
        """Make series ready that have been still for long enough (seconds); see `Patience`."""
        now = self._clock()
        with self._transaction() as base:
            still = base.execute(
                "UPDATE series SET state='ready', changed=? WHERE state='arriving' "
                "AND (last<=? OR (released AND last<=?)) RETURNING key",
                (now, now - quiet, now - settle),
            )
            return [row["key"] for row in still.fetchall()]

    # Work

    def take(self) -> Job | None:
        """The series that has been ready longest, now `working`; None if there is none."""
        with self._transaction() as base:
            row = base.execute(
                "UPDATE series SET state='working', attempts=attempts+1, changed=? WHERE key=(SELECT key "
                "FROM series WHERE state='ready' ORDER BY changed, key LIMIT 1) RETURNING key, version",
                (self._clock(),),
            ).fetchone()
            if row is None:
                return None
            found = base.execute(
                "SELECT sop, digest, file FROM instance WHERE series=? ORDER BY sop", (row["key"],)
            ).fetchall()
        content = hashlib.sha256("".join(f"{one['sop']} {one['digest']}\n" for one in found).encode())
        return Job(row["key"], row["version"], tuple(one["file"] for one in found), content.hexdigest())

    def finish(self, job: Job, state: str, reason: str = "", results: Sequence[Result] = ()) -> bool:
        """Record what became of `job`, with deliveries; False, keeping nothing, if the series has grown."""
        now = self._clock()
        with self._transaction() as base:
            done = base.execute(
                "UPDATE series SET state=?, reason=?, changed=? "
                "WHERE key=? AND state='working' AND version=?",
                (state, reason, now, job.key, job.version),
            )
            if done.rowcount == 0:
                return False
            base.executemany(
                "INSERT OR IGNORE INTO delivery (series, kind, destination, sop, result_key, file, state, "
                "attempts, due, reason, made, changed) VALUES (?,?,?,?,?,?,?,0,?,'',?,?)",
                [
                    (job.key, r.kind, r.destination, r.sop, r.result_key, r.file,
                     "waiting" if r.destination else "kept", now, now, now)
                    for r in results
                ],
            )  # fmt: skip
            return True

    def ours(self, key: str) -> bool:
        """Whether a series is one that this node made."""
        return bool(self._all("SELECT 1 FROM delivery WHERE result_key=? LIMIT 1", (key,)))

    def retry(self, key: str | None = None) -> int:
        """Failed series (or one) are ready again, failed deliveries due now. Returns how many of both."""
        now = self._clock()
        with self._transaction() as base:
            series = base.execute(
                "UPDATE series SET state='ready', attempts=0, reason='', changed=? "
                "WHERE state='failed' AND (? IS NULL OR key=?)",
                (now, key, key),
            )
            sent = base.execute(
                "UPDATE delivery SET state='waiting', attempts=0, due=?, made=?, reason='', changed=? "
                "WHERE state='failed' AND (? IS NULL OR series=?)",
                (now, now, now, key, key),
            )
            return series.rowcount + sent.rowcount

    # Deliveries

    def due(self, most: int = 50) -> list[Delivery]:
        """Deliveries whose time has come, oldest first, `most` for each destination: one that is down and has
        many must not keep others waiting.
        """
        rows = self._all(
            "SELECT id, series, kind, destination, file, attempts, made FROM (SELECT *, ROW_NUMBER() OVER "
            "(PARTITION BY destination ORDER BY due, id) AS place FROM delivery WHERE state='waiting' "
            "AND due<=?) WHERE place<=? ORDER BY due, id",
            (self._clock(), most),
        )
        return [Delivery(*row) for row in rows]

    def delivered(self, identity: int) -> None:
        """It has arrived."""
        self._set_delivery(identity, "sent", "", 0.0)

    def postpone(self, identity: int, reason: str, seconds: float | None) -> None:
        """It has failed: try again after `seconds`; None: never."""
        self._set_delivery(identity, "failed" if seconds is None else "waiting", reason, seconds or 0.0)

    def _set_delivery(self, identity: int, state: str, reason: str, seconds: float) -> None:
        now = self._clock()
        with self._transaction() as base:
            base.execute(
                "UPDATE delivery SET state=?, reason=?, due=?, changed=?, attempts=attempts+1 WHERE id=?",
                (state, reason, now + seconds, now, identity),
            )

    # Housekeeping

    def expire(self, seconds: float) -> list[str]:
        """Forget the instances of series that were finished so long ago and wait for no delivery."""
        now = self._clock()
        with self._transaction() as base:
            rows = base.execute(
                "UPDATE series SET state='expired', instances=0, bytes=0, changed=? WHERE changed<=? "
                "AND state IN ('done','ignored','failed') AND NOT EXISTS (SELECT 1 FROM delivery WHERE "
                "delivery.series=series.key AND (delivery.state='waiting' OR delivery.changed>?)) "
                "RETURNING key",
                (now, now - seconds, now - seconds),
            ).fetchall()
            keys = [row["key"] for row in rows]
            base.executemany("DELETE FROM instance WHERE series=?", [(key,) for key in keys])
            return keys

    def files(self) -> list[str]:
        """Of every recorded instance."""
        return [row["file"] for row in self._all("SELECT file FROM instance")]

    def rows(self, table: Literal["series", "delivery"]) -> list[dict[str, Any]]:
        """All rows, for `calque node status`."""
        order = {"series": "changed", "delivery": "id"}[table]
        return [dict(row) for row in self._all(f"SELECT * FROM {table} ORDER BY {order}")]  # noqa: S608
