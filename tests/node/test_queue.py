"""The queue loses nothing, and makes nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from calque.node.queue import ATTEMPTS, Instance, Queue, Result


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> Queue:
    return Queue(tmp_path / "queue.sqlite", clock)


def instance(number: int, series: str = "s", digest: str = "d") -> Instance:
    return Instance(f"1.2.{series}.{number}", series, f"{digest}{number}", 10, f"{series}/{number}")


def ready(queue: Queue, clock: Clock, *, series: str = "s", count: int = 3) -> None:
    for number in range(count):
        queue.add(instance(number, series))
    clock.now += 100
    assert series in queue.complete(60, 10)


def state(queue: Queue, series: str = "s") -> str:
    return {row["key"]: row["state"] for row in queue.rows("series")}[series]


def test_a_series_is_complete_when_it_is_quiet(queue: Queue, clock: Clock) -> None:
    queue.add(instance(0))
    clock.now += 59
    assert queue.complete(60, 10) == []
    clock.now += 1
    assert queue.complete(60, 10) == ["s"]


def test_or_soon_after_its_associations_were_released(queue: Queue, clock: Clock) -> None:
    queue.add(instance(0))
    queue.release(["s"])
    clock.now += 9
    assert queue.complete(60, 10) == []
    queue.add(instance(1))  # another association goes on: the release no longer counts
    clock.now += 30
    assert queue.complete(60, 10) == []
    queue.release(["s"])
    assert queue.complete(60, 10) == ["s"]


def test_a_job_is_taken_once_and_its_fingerprint_is_its_content(
    queue: Queue, clock: Clock, tmp_path: Path
) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    assert job.files == ("s/0", "s/1", "s/2")
    assert queue.take() is None
    other = Queue(tmp_path / "other.sqlite", clock)
    for number in (2, 0, 1):
        other.add(instance(number))
    clock.now += 100
    other.complete(60, 10)
    again = other.take()
    assert again is not None
    assert again.fingerprint == job.fingerprint
    other.add(instance(3))
    clock.now += 100
    other.complete(60, 10)
    grown = other.take()
    assert grown is not None
    assert grown.fingerprint != job.fingerprint


def test_the_same_instance_again_changes_nothing(queue: Queue, clock: Clock) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    assert queue.finish(job, "done")
    assert queue.add(instance(1)) == ("same", "")
    assert queue.add(instance(1, digest="other")) == ("other", "")
    assert state(queue) == "done"


def test_a_series_that_grows_is_done_anew_and_older_work_is_thrown_away(queue: Queue, clock: Clock) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    assert queue.add(instance(3)) == ("new", "working")
    assert not queue.finish(job, "done", results=[Result("seg", "pacs", "9.1", "r", "f")])
    assert queue.rows("delivery") == []
    assert state(queue) == "arriving"
    clock.now += 100
    queue.complete(60, 10)
    job = queue.take()
    assert job is not None
    assert len(job.files) == 4
    assert queue.finish(job, "done", results=[Result("seg", "pacs", "9.2", "r", "f")])
    assert queue.add(instance(4)) == ("new", "done")
    assert [row["state"] for row in queue.rows("delivery")] == ["superseded"]


def test_nothing_is_lost_when_the_process_dies(tmp_path: Path, clock: Clock) -> None:
    first = Queue(tmp_path / "queue.sqlite", clock)
    ready(first, clock, series="working")
    ready(first, clock, series="ready")
    first.add(instance(0, "arriving"))
    assert first.take() is not None
    second = Queue(tmp_path / "queue.sqlite", clock)  # the first one is never closed
    assert second.recover() == 1
    assert state(second, "working") == state(second, "ready") == "ready"
    assert state(second, "arriving") == "arriving"


def test_a_series_that_kills_the_process_is_given_up(tmp_path: Path, clock: Clock) -> None:
    queue = Queue(tmp_path / "queue.sqlite", clock)
    ready(queue, clock)
    for _ in range(ATTEMPTS):
        assert queue.take() is not None
        queue = Queue(tmp_path / "queue.sqlite", clock)
        queue.recover()
    assert queue.take() is None
    assert state(queue) == "failed"
    assert queue.retry("other") == 0
    assert queue.retry() == 1
    assert queue.take() is not None


def test_a_result_is_delivered_once_to_each_destination(queue: Queue, clock: Clock) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    results = [Result("seg", name, "9.1", "r", "f") for name in ("pacs", "archive")]
    assert queue.finish(job, "done", results=[*results, *results])
    first, second = queue.due()
    queue.delivered(first.id)
    queue.postpone(second.id, "down", 30)
    assert queue.due() == []
    clock.now += 30
    assert [one.destination for one in queue.due()] == ["archive"]
    queue.postpone(second.id, "down", None)
    clock.now += 1e6
    assert queue.due() == []
    assert queue.ours("r")
    assert not queue.ours("s")


def test_files_are_forgotten_when_all_is_delivered_and_old(queue: Queue, clock: Clock) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    queue.finish(job, "done", results=[Result("seg", "pacs", "9.1", "r", "f")])
    clock.now += 1000
    assert queue.expire(500) == []
    queue.delivered(queue.due()[0].id)
    assert queue.expire(500) == []
    clock.now += 500
    assert queue.expire(500) == ["s"]
    assert queue.files() == []
    ready(queue, clock)  # the same series again: the same work, whose result is known by its UID
    job = queue.take()
    assert job is not None
    queue.finish(job, "done", results=[Result("seg", "pacs", "9.1", "r", "f")])
    assert queue.due() == []


def test_a_destination_that_is_down_does_not_keep_others_waiting(queue: Queue, clock: Clock) -> None:
    ready(queue, clock)
    job = queue.take()
    assert job is not None
    results = [Result("overlay", "down", f"9.{k}", "r", f"f{k}") for k in range(9)]
    queue.finish(job, "done", results=[*results, Result("overlay", "up", "9.0", "r", "f0")])
    assert [one.destination for one in queue.due(most=3)] == ["down", "down", "down", "up"]
