"""The rate rises, stays and falls; progress is told by `pace`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calque.planning import Schedule
from calque.training.schedule import ema_decay, rate_factor


@given(warmup=st.floats(0, 0.5), decay=st.floats(0, 0.5), points=st.lists(st.floats(0, 1), min_size=2))
def test_rise_plateau_fall(warmup: float, decay: float, points: list[float]) -> None:
    schedule = Schedule(steps=100, warmup=warmup, decay=decay)
    points = sorted(points)
    rates = [rate_factor(p, schedule) for p in points]
    assert all(0 <= r <= 1 for r in rates)
    for (p, r), (q, s) in zip(
        zip(points, rates, strict=True), zip(points[1:], rates[1:], strict=True), strict=False
    ):
        if q < warmup:
            assert s >= r
        if p >= max(warmup, 1 - decay):
            assert s <= r + 1e-12
        if warmup <= p and 1 - q >= decay:
            assert r == s == 1


def test_it_ends_at_zero() -> None:
    assert rate_factor(1.0, Schedule(steps=10, decay=0.3)) == 0.0


def test_a_schedule_has_one_ruler() -> None:
    with pytest.raises(ValueError, match="either seconds or steps"):
        Schedule(steps=1, seconds=1)


def test_the_average_forgets_the_random_start() -> None:
    schedule = Schedule(steps=10, ema=0.99)
    assert ema_decay(schedule, 0) < 0.2
    assert ema_decay(schedule, 10**6) == 0.99
