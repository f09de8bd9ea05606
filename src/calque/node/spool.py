"""The node's folder: instances by series, results, the queue, and a lock that one node holds.

    SPOOL/queue.sqlite   what there is to do and what was done
    SPOOL/lock.sqlite    held while a node runs, by the operating system, so that it dies with it
    SPOOL/series/KEY/    instances, each written aside, flushed and renamed
    SPOOL/results/KEY/   results that are to be delivered

Names are hashes: no identifier of a patient, study or series is in a path or in a log.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from calque.errors import InputError


def series_key(uid: str) -> str:
    """How a series is called in logs, paths and status: 16 hexadecimal digits."""
    return hashlib.sha256(f"series {uid}".encode()).hexdigest()[:16]


class Spool:
    """Paths below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = folder / "queue.sqlite"

    def prepare(self) -> None:
        """Make the folder, for nobody but its owner: it holds patients' scans."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def instance_file(self, key: str, sop: str, digest: str) -> Path:
        """Where an instance lies; other bytes under the same UID lie elsewhere."""
        name = hashlib.sha256(f"{sop} {digest}".encode()).hexdigest()[:32]
        return self.folder / "series" / key / f"{name}.dcm"

    def result_folder(self, key: str, fingerprint: str) -> Path:
        """Where the results for just these instances lie."""
        return self.folder / "results" / key / fingerprint[:16]

    def relative(self, file: Path) -> str:
        """As the queue records it: a spool may be moved."""
        return file.relative_to(self.folder).as_posix()

    def free_bytes(self) -> int:
        """Of its disk."""
        return shutil.disk_usage(self.folder).free

    def drop(self, key: str) -> None:
        """Remove a series' instances and results."""
        for kind in ("series", "results"):
            shutil.rmtree(self.folder / kind / key, ignore_errors=True)

    def sweep(self, recorded: Iterable[str]) -> int:
        """Remove instances that no row speaks of: their sender was never told that they are stored."""
        known = set(recorded)
        strange = [f for f in self.folder.glob("series/*/*") if self.relative(f) not in known]
        for file in strange:
            file.unlink()
        return len(strange)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the spool for this process.

        Raises:
            InputError: another node holds it.
        """
        self.prepare()
        with closing(sqlite3.connect(self.folder / "lock.sqlite", timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("PRAGMA locking_mode=EXCLUSIVE")
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as problem:
                raise InputError(
                    "Another node uses this spool",
                    where=self.folder,
                    got=problem,
                    fix="stop it, or give this one another --spool",
                ) from None
            yield
