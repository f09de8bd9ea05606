"""The time after the last step is measured as the load changes, and the rest of a budget is used up."""

from __future__ import annotations

import pytest
from tests.training.synthetic import make_plan

from calque.planning import Schedule
from calque.training import ending, pace
from calque.training.ending import Rehearsal, Rest, Validation, quick_cases, reserve
from calque.training.pace import Clock


class Machine:
    """A clock that goes on by what a case costs."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds, self.done = 0.0, seconds, 0

    def monotonic(self) -> float:
        return self.now

    def score(self, name: str) -> None:
        self.now += self.seconds * int(name)
        self.done += 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(0.5)
    monkeypatch.setattr(ending, "time", made)
    monkeypatch.setattr(pace, "time", made)
    return made


SIZES = {str(n): 100 * n for n in (1, 2, 3, 4)}  # time goes with size


def test_validation_is_foretold_by_size_and_follows_the_load(machine: Machine) -> None:
    rehearsal = Rehearsal(machine.score, SIZES, budget=1000)
    rehearsal.begin()
    assert rehearsal.validation == pytest.approx(ending.MARGIN * 0.5 * (1 + 2 + 3 + 4))
    machine.seconds = 2.0
    assert not rehearsal.follow(0.3)
    assert rehearsal.follow(0.5)
    assert rehearsal.validation == pytest.approx(ending.MARGIN * 2.0 * 10)
    assert not rehearsal.follow(0.51)  # once a mark


def test_measuring_again_takes_a_fiftieth_of_the_budget_at_most(machine: Machine) -> None:
    rehearsal = Rehearsal(machine.score, SIZES, budget=40)
    rehearsal.begin()
    before = machine.now
    for share in ending.MARKS:
        rehearsal.follow(share)
    assert machine.now - before <= ending.REHEARSAL_SHARE * 40


def test_without_validation_cases_only_closing_is_kept(machine: Machine) -> None:
    rehearsal = Rehearsal(machine.score, {}, budget=100)
    rehearsal.begin()
    assert reserve(make_plan(schedule=Schedule(seconds=100)), rehearsal, 0) == ending.CLOSING
    assert machine.done == 0


def test_quick_validations_look_at_as_many_cases_as_their_share_allows(machine: Machine) -> None:
    rehearsal = Rehearsal(machine.score, SIZES, budget=1000)
    rehearsal.begin()
    assert rehearsal.each == pytest.approx(1.25)
    assert quick_cases(make_plan(schedule=Schedule(steps=10)), rehearsal) == ending.QUICK_CASES
    assert quick_cases(make_plan(schedule=Schedule(seconds=60)), rehearsal) == ending.FEWEST_QUICK
    assert quick_cases(make_plan(schedule=Schedule(seconds=3600)), rehearsal) == 9


@pytest.mark.parametrize("quicker", [1.0, 0.3, 1.2])
def test_the_rest_is_used_up_whatever_the_load_becomes(machine: Machine, quicker: float) -> None:
    rest = Rest(Clock(), end=60.0, each=0.5, runs=2)
    assert rest.cases(1000) == 1000
    while not rest.enough():
        machine.now += quicker * (3.0 if rest.begun <= 3 else 1.0)
    assert 60 - 1.5 * quicker <= machine.now <= 60 + quicker
    assert rest.begun > 30


def test_too_short_a_rest_is_not_begun(machine: Machine) -> None:
    assert Rest(Clock(), end=8.9, each=0.5, runs=2).cases(40) == 0
    assert Rest(Clock(), end=9.1, each=0.5, runs=2).cases(40) == 40
    assert Rest(Clock(), end=9.1, each=0.5, runs=2).cases(2) == 0
    assert Rest(Clock(), end=None, each=0.5, runs=2).cases(40) == ending.STUDIED_CASES


@pytest.mark.parametrize(("budget", "late"), [(60.0, 1.0), (60.0, 3.0), (300.0, 1.5), (300.0, 6.0)])
def test_validation_leaves_cases_out_rather_than_overrun(
    machine: Machine, budget: float, late: float
) -> None:
    """Each of 40 cases was foretold to take a fortieth of what is kept; it takes `late` times that."""
    each = 0.1 * budget / 40
    machine.now = budget - 0.1 * budget - ending.CLOSING
    clock = Clock(started=0.0)
    limit, done = Validation(clock, budget), 0
    while done < 40 and not limit.enough():
        machine.now += late * each
        done += 1
    assert machine.now + ending.CLOSING <= 1.02 * budget or done == ending.FEWEST_VALIDATED
    assert done == 40 if late == 1.0 else ending.FEWEST_VALIDATED <= done < 40
    assert late >= 2 or done > 20


def test_a_run_by_steps_validates_every_case_however_long_that_takes(machine: Machine) -> None:
    limit = Validation(Clock(), None)
    for _ in range(50):
        machine.now += 100
        assert not limit.enough()
