"""A node in a thread with a maker that needs no model, and senders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from calque.node import Limits, Listening, Node, NodeOptions, Patience, Rules
from calque.node.rules import Destination, Rule, SeriesFacts
from calque.node.worker import Made

QUICK = Patience(quiet=1.5, settle=0.3, network=2, first_retry=0.2, longest_retry=0.5, stop=5)


class Copier:
    """Makes a result of each series: its first instance under a new UID, the same one for the same files."""

    def __init__(self, fail: Callable[[pydicom.Dataset], None] = lambda _: None) -> None:
        self.fail = fail
        self.calls = 0

    def facts(self, files: Sequence[Path]) -> SeriesFacts:
        data = pydicom.dcmread(files[0], stop_before_pixels=True)
        return SeriesFacts(modality=data.Modality, description=data.get("SeriesDescription", ""))

    def make(self, files: Sequence[Path], rule: Rule, folder: Path) -> tuple[Made, ...]:
        self.calls += 1
        data = pydicom.dcmread(min(files))
        self.fail(data)
        seed = [data.SeriesInstanceUID, str(len(files))]
        data.SeriesInstanceUID = generate_uid(entropy_srcs=["result", *seed])
        data.SOPInstanceUID = generate_uid(entropy_srcs=["object", *seed])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        folder.mkdir(parents=True, exist_ok=True)
        data.save_as(folder / "seg.dcm")
        return (Made("seg", folder / "seg.dcm", data.SOPInstanceUID, data.SeriesInstanceUID),)


class Running:
    """What a test sees of a node."""

    def __init__(self, maker: Copier, options: NodeOptions, tokens: dict[str, str] | None = None) -> None:
        self.options = options
        self.port = 0
        self.said: list[str] = []
        self.node = Node(options, maker, tokens, say=self.said.append)


@contextmanager
def running(
    spool: Path,
    maker: Copier | None = None,
    destinations: dict[str, Destination] | None = None,
    *,
    limits: Limits | None = None,
    listening: Listening | None = None,
    patience: Patience = QUICK,
    tokens: dict[str, str] | None = None,
) -> Iterator[Running]:
    options = NodeOptions(
        spool=spool,
        listening=listening or Listening(port=0),
        rules=Rules.simple(destinations or {}, ("seg",)),
        limits=limits or Limits(free_bytes=0),
        patience=patience,
    )
    seen = Running(maker or Copier(), options, tokens)
    ready = threading.Event()

    def told(port: int) -> None:
        seen.port = port
        ready.set()

    thread = threading.Thread(target=seen.node.run, args=(told,))
    thread.start()
    try:
        assert ready.wait(20), "the node did not start"
        yield seen
    finally:
        seen.node.stop()
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for `condition`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("it did not happen in time")
        time.sleep(0.02)


def send(port: int, files: Sequence[Path], *, calling: str = "SENDER", called: str = "CALQUE") -> list[int]:
    """C-STORE files in one association; their statuses, -1 where there was no answer, [] when rejected."""
    from pynetdicom import AE

    entity = AE(ae_title=calling)
    entity.dimse_timeout = entity.acse_timeout = 3
    contexts = set()
    for file in files:
        meta = pydicom.dcmread(file, stop_before_pixels=True).file_meta
        contexts.add((meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID))
    for sop_class, syntax in sorted(contexts):
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return []
    statuses = []
    for file in files:
        try:
            answer = association.send_c_store(pydicom.dcmread(file))
        except RuntimeError:  # it was broken off; asking before leaves a moment in between
            assert not association.is_established
            statuses.append(-1)
            continue
        statuses.append(answer.Status if "Status" in answer else -1)
    association.release()
    return statuses
