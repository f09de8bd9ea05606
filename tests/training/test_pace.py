"""Progress by count is exact; by the clock it follows time, ends on time and can be repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.planning import Knot, Schedule
from calque.training import pace as module
from calque.training.pace import Clock, CountedPace, TimedPace


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    turned = Time()
    monkeypatch.setattr(module, "time", turned)
    return turned


def drive(
    pace: TimedPace, time: Time, cost: Callable[[float], float], step: int = 0
) -> tuple[int, list[float]]:
    """Steps until the pace is done, each as long as `cost` says at that moment."""
    seen = []
    while not pace.done(step):
        seen.append(pace.progress(step))
        seconds = cost(time.now)
        time.now += seconds
        step += 1
        pace.stepped(step, seconds)
    return step, seen


@given(steps=st.integers(1, 5000), step=st.integers(0, 5000))
def test_by_count_progress_is_the_quotient(steps: int, step: int) -> None:
    pace = CountedPace(Schedule(steps=steps), [], Clock())
    assert pace.progress(step) == min(1.0, step / steps)
    assert pace.done(step) == (step >= steps)


@settings(deadline=None, max_examples=25)
@given(
    budget=st.floats(30, 300),
    first=st.floats(0.05, 0.6),
    second=st.floats(0.05, 0.6),
    change=st.floats(0, 1),
    guess=st.floats(0.05, 10),
    reserve=st.floats(0, 10),
)
def test_by_the_clock_it_ends_on_time_whatever_the_load(
    budget: float, first: float, second: float, change: float, guess: float, reserve: float
) -> None:
    turned = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", turned)
        pace = TimedPace(Schedule(seconds=budget), [], Clock(), reserve=reserve, guess=guess)
        _, seen = drive(pace, turned, lambda now: first if now < change * budget else second)
    assert abs(turned.now + reserve - budget) <= 0.5 * max(first, second) + 1e-6
    assert seen == sorted(seen)
    assert seen[-1] > 0.93
    assert len(pace.knots) < 2.2 * module.PIECES


def test_progress_follows_time(time: Time) -> None:
    pace = TimedPace(Schedule(seconds=1000), [], Clock(), guess=1.0)
    step = 0
    while not pace.done(step):
        seconds = 0.2 if time.now < 400 else 0.9
        time.now += seconds
        step += 1
        pace.stepped(step, seconds)
        assert pace.progress(step) == pytest.approx(time.now / 1000, abs=0.012)


def test_a_reserve_that_grows_shortens_the_run(time: Time) -> None:
    pace = TimedPace(Schedule(seconds=100), [], Clock(), reserve=5, guess=0.5)
    steps, _ = drive(pace, time, lambda now: 0.5 if now < 80 else setattr(pace, "reserve", 15) or 0.5)
    assert time.now == pytest.approx(85, abs=0.5)
    assert steps == pytest.approx(170, abs=1)


def test_an_earlier_sitting_counts_with_its_own_time(time: Time) -> None:
    first = TimedPace(Schedule(seconds=100), [], Clock(), guess=0.5)
    for step in range(1, 101):  # 50 s, then the machine is switched off for a day
        time.now += 0.5
        first.stepped(step, 0.5)
    time.now += 86400
    again = TimedPace(Schedule(seconds=100), first.knots, Clock(before=50.0), guess=0.5)
    assert again.progress(100) == pytest.approx(0.5, abs=0.02)
    start = time.now
    steps, seen = drive(again, time, lambda _: 1.0, step=100)  # another machine, half as quick
    assert time.now - start == pytest.approx(50, abs=1)
    assert steps == pytest.approx(150, abs=1)
    assert seen[0] == pytest.approx(0.5, abs=0.02)


def test_knots_repeat_what_the_clock_did(time: Time) -> None:
    pace = TimedPace(Schedule(seconds=200), [], Clock(), guess=3.0)
    steps, seen = drive(pace, time, lambda now: 0.3 + 0.4 * (now > 90))
    pace.finish(steps)
    again = CountedPace(Schedule(steps=steps, knots=tuple(pace.knots)), [], Clock())
    assert [again.progress(step) for step in range(steps)] == seen
    assert again.done(steps)
    assert not again.done(steps - 1)


def test_a_finished_run_stays_finished(time: Time) -> None:
    pace = TimedPace(Schedule(seconds=100), [], Clock(), guess=0.5)
    steps, _ = drive(pace, time, lambda _: 0.5)
    pace.finish(steps)
    assert TimedPace(Schedule(seconds=100), pace.knots, Clock(before=10.0)).done(steps)


@pytest.mark.parametrize("decay", [0.0, 0.4, 1.0])
def test_by_count_it_can_fall_early(decay: float) -> None:
    pace = CountedPace(Schedule(steps=1000, decay=decay), [], Clock())
    before = pace.progress(120)
    pace.fall(120)
    assert pace.end == {0.0: 121, 0.4: 200, 1.0: 1000}[decay]
    assert pace.progress(120) == max(before, 1 - decay)
    assert pace.progress(int(pace.end)) == 1.0


def test_by_the_clock_it_can_fall_early(time: Time) -> None:
    pace = TimedPace(Schedule(seconds=1000), [], Clock(), reserve=30, guess=0.5)
    for step in range(1, 601):
        time.now += 0.5
        pace.stepped(step, 0.5)
    pace.fall(600)
    drive(pace, time, lambda _: 0.5, step=600)
    assert time.now == pytest.approx(500, abs=1)
    assert pace.end == pytest.approx(530)


def test_a_turn_changes_what_follows_and_nothing_before() -> None:
    pace = CountedPace(Schedule(steps=10), [], Clock())
    pace.turn(4, factor=0.5, chunks=2)
    assert [pace.knot(step).factor for step in (0, 3, 4, 9)] == [1.0, 1.0, 0.5, 0.5]
    assert pace.progress(7) == pytest.approx(0.7)
    pace.turn(6, chunks=4)
    assert (pace.knot(8).factor, pace.knot(8).chunks) == (0.5, 4)


def test_knots_begin_at_the_start_and_go_with_steps() -> None:
    with pytest.raises(ValueError, match="rise from step 0"):
        Schedule(steps=4, knots=(Knot(step=1, left=3),))
    with pytest.raises(ValueError, match="go with steps"):
        Schedule(seconds=4, knots=(Knot(left=3),))
