"""One instance at a time from the wire to the spool: checked, bounded, durable before the sender is told."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Collection
from io import BytesIO
from typing import NamedTuple

from calque.errors import CalqueError
from calque.io.atomic import write_bytes_atomic
from calque.node.limits import Limits
from calque.node.queue import Instance, Queue
from calque.node.spool import Spool, series_key

STORED = 0x0000
OUT_OF_RESOURCES = 0xA700
OTHER_OBJECT = 0xA900
NOT_UNDERSTOOD = 0xC000

_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


class Answer(NamedTuple):
    """The status of a C-STORE response, and the key of the series where something was stored."""

    status: int
    key: str | None = None


class Intake:
    """Takes instances; safe for several threads.

    Args:
        spool: where they lie.
        queue: where they are recorded.
        limits: what is refused.
        say: gets one line about what an operator should know; no identifiers are in it.
    """

    def __init__(self, spool: Spool, queue: Queue, limits: Limits, say: Callable[[str], None]) -> None:
        self._spool, self._queue, self._limits, self._say = spool, queue, limits, say
        self._disk = threading.Lock()
        self._planned = 0

    def store(self, data: bytes, sop: str, sop_class: str) -> Answer:
        """Store an encoded file (PS3.10); when this returns STORED, it is on the disk and recorded.

        Args:
            data: with preamble and file meta information.
            sop: SOPInstanceUID that the sender announced.
            sop_class: SOPClassUID that the sender announced.
        """
        if len(data) > self._limits.instance_bytes:
            return self._refuse(f"an instance of {len(data)} bytes is above the limit")
        identity = _identify(data)
        if identity is None:
            return self._refuse("an instance cannot be understood", NOT_UNDERSTOOD)
        if identity[:2] != (sop, sop_class):
            return self._refuse("an instance is not the one that was announced", OTHER_OBJECT)
        key = series_key(identity[2])
        digest = hashlib.sha256(memoryview(data)[_meta_bytes(data) :]).hexdigest()
        there = self._queue.known(sop)
        if there is not None:
            return self._again(key, "same" if there == digest else "other")
        instances, size = self._queue.size(key)
        if instances >= self._limits.series_instances or size + len(data) > self._limits.series_bytes:
            return self._refuse(f"series {key} is above the limit: {instances} instances, {size} bytes")
        return self._keep(data, Instance(sop, key, digest, len(data), ""))

    def release(self, keys: Collection[str]) -> None:
        """Everybody who brought something of these series has hung up."""
        self._queue.release(keys)

    def _keep(self, data: bytes, instance: Instance) -> Answer:
        if not self._reserve(len(data)):
            return self._refuse("the spool's disk is full")
        file = self._spool.instance_file(instance.series, instance.sop, instance.digest)
        try:
            write_bytes_atomic(file, data)
        except CalqueError as problem:
            return self._refuse(f"an instance cannot be written: {problem.what}")
        finally:
            self._reserve(-len(data))
        stored, before = self._queue.add(instance._replace(file=self._spool.relative(file)))
        if stored == "other":  # somebody sent the same UID with other bytes at the same moment
            file.unlink()
        if stored != "new":
            return self._again(instance.series, stored)
        if before in ("done", "failed", "working", "ready"):
            self._say(f"series {instance.series}: it has grown since it was {before}; it will be done anew")
        return Answer(STORED, instance.series)

    def _reserve(self, size: int) -> bool:
        """Count what is being written, so that many senders at once do not fill the disk together."""
        with self._disk:
            room = self._spool.free_bytes() - self._limits.free_bytes - self._planned
            if size > room:
                return False
            self._planned += size
            return True

    def _again(self, key: str, stored: str) -> Answer:
        if stored == "other":
            self._say(f"series {key}: an instance came again with other content; the first one is kept")
        return Answer(STORED, key)

    def _refuse(self, why: str, status: int = OUT_OF_RESOURCES) -> Answer:
        self._say(f"refused ({status:04X}): {why}")
        return Answer(status)


def _meta_bytes(data: bytes) -> int:
    """How long preamble and file meta information are: they may differ from one transfer to the next."""
    announced = data[132:140] == b"\x02\x00\x00\x00UL\x04\x00"  # (0002,0000) in explicit VR
    return 144 + int.from_bytes(data[140:144], "little") if announced else 0


def _identify(data: bytes) -> tuple[str, str, str] | None:
    """SOP instance, SOP class and series UIDs of an encoded file; None where it cannot be parsed."""
    from pydicom import dcmread

    names = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID")
    try:
        found = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=list(names))
        sop, sop_class, series = (str(found[name].value) for name in names)
    except Exception:  # pydicom raises a dozen kinds on bytes that are not DICOM; whichever: refused
        return None
    if not all(len(uid) <= 64 and _UID.fullmatch(uid) for uid in (sop, sop_class, series)):
        return None
    return sop, sop_class, series
