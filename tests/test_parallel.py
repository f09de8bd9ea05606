"""`map_bounded`: in order, bounded, and one bad item stops nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from calque.parallel import Outcome, default_workers, map_bounded


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_outcomes_come_in_order(workers: int | None) -> None:
    gate = threading.Event()

    def slow_first(n: int) -> int:
        if n == 0 and workers != 1:
            gate.wait(10)
        else:
            gate.set()
        return n * n

    if default_workers() == 1 and workers is None:
        gate.set()
    outcomes = list(map_bounded(slow_first, range(20), workers))
    assert [o.item for o in outcomes] == list(range(20))
    assert [o.unwrap() for o in outcomes] == [n * n for n in range(20)]


def test_nothing_in_nothing_out() -> None:
    assert list(map_bounded(str, [])) == []


def test_an_item_keeps_its_own_error() -> None:
    outcomes = list(map_bounded(lambda n: 1 // n, [1, 0, -1], workers=2))
    assert [o.value for o in outcomes] == [1, None, -1]
    assert [type(o.error) for o in outcomes] == [type(None), ZeroDivisionError, type(None)]
    with pytest.raises(ZeroDivisionError):
        outcomes[1].unwrap()


def test_none_is_a_value() -> None:
    assert Outcome(1, None, None).unwrap() is None


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_is_taken_than_twice_the_workers(workers: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(50):
            taken += 1
            yield n

    for done, _ in enumerate(map_bounded(abs, items(), workers)):
        assert taken - done <= 2 * workers


def test_never_more_at_once_than_workers() -> None:
    lock = threading.Lock()
    now, most = 0, 0

    def work(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1

    list(map_bounded(work, range(30), workers=3))
    assert 1 <= most <= 3


def test_keyboard_interrupt_stops_all() -> None:
    started: list[int] = []

    def work(n: int) -> None:
        started.append(n)
        if n == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_bounded(work, range(1000), workers=1))
    assert len(started) < 10


def test_closing_early_drops_what_has_not_begun() -> None:
    started: list[int] = []
    stream = map_bounded(started.append, range(1000), workers=2)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert len(started) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]


def test_an_error_of_the_source_is_the_callers() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the list broke")

    with pytest.raises(OSError, match="the list broke"):
        list(map_bounded(abs, items(), workers=1))
