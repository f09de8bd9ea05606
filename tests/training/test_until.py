"""Runs end at a Dice or when their curve is flat, say what is left, and refuse conditions that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.runs import (
    TWO_FOLDS,
    Heard,
    StopAt,
    assert_same_weights,
    plan_for,
    two_folds,
)

from calque.dataset import Dataset
from calque.errors import InputError
from calque.planning import Schedule
from calque.training import Until, train
from calque.training.run import RunFolder
from calque.training.until import is_flat
from calque.training.validate import QuickValidator


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("dice 0.88", Until(dice=0.88)),
        ("  Dice .5 ".lower(), Until(dice=0.5)),
        ("dice left lung 0.9", Until(dice=0.9, label="left lung")),
        ("dice 1", Until(dice=1.0)),
        ("flat", Until()),
    ],
)
def test_conditions_are_read(text: str, until: Until) -> None:
    assert Until.parse(text) == until


@pytest.mark.parametrize("text", ["", "0.88", "dice", "dice high", "dice 88", "dice 0", "dice 88%", "hd95 2"])
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r'--until "dice 0\.88"'):
        Until.parse(text)


def test_the_figure_is_the_mean_or_that_of_one_class() -> None:
    dice = {"a": 0.5, "b": 0.7}
    assert Until(dice=0.1).value_of(dice) == pytest.approx(0.6)
    assert Until(dice=0.1, label="b").value_of(dice) == 0.7
    assert Until(dice=0.1, label="c").value_of(dice) is None
    with pytest.raises(InputError, match="a class that there is not"):
        Until(dice=0.1, label="c").require_label(("a", "b"))


def test_flat_is_when_the_last_third_brought_nothing() -> None:
    rising = [(10 * k, 0.1 * k) for k in range(1, 10)]
    assert not is_flat(rising)
    assert is_flat([(10 * k, min(0.1 * k, 0.5)) for k in range(1, 10)])
    assert not is_flat([(10 * k, 0.5) for k in range(1, 6)])  # too few looks
    noisy = [0.1, 0.4, 0.5, 0.49, 0.5, 0.48, 0.501, 0.5, 0.49]
    assert is_flat([(10 * k, v) for k, v in enumerate(noisy, start=1)])


def judged(monkeypatch: pytest.MonkeyPatch, per_look: float, most: float = 1.0) -> None:
    """Quick validations that rise by `per_look` each step of training, up to `most`."""

    def look(self: QuickValidator, average: object) -> dict[str, float]:
        value = min(most, per_look * look.seen)  # type: ignore[attr-defined]
        look.seen += 1  # type: ignore[attr-defined]
        return dict.fromkeys(self.plan.labels.names, value)

    look.seen = 1  # type: ignore[attr-defined]
    monkeypatch.setattr(QuickValidator, "__call__", look)


def test_at_the_dice_the_rate_falls_and_the_run_ends(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, per_look=0.1)
    plan = plan_for(dataset, schedule=Schedule(steps=60, decay=0.4))
    heard = Heard()
    model = train(dataset, plan, tmp_path / "run", two_folds(until=Until(dice=0.5)), heard)
    assert model.card.steps == 15  # seen at step 9, which is then 60 % of the run
    [said] = [line for line in heard.said if "reaches 0.5" in line]
    assert "at step 9" in said
    assert "--extend 45steps" in said
    assert said in model.card.notes
    folder = RunFolder(tmp_path / "run").fold(0)
    assert folder.stable.exists()
    again = train(dataset, plan.read(folder.repeat), tmp_path / "again", TWO_FOLDS)
    assert_same_weights(model, again)


@pytest.mark.parametrize("at", [6, pytest.param(12, marks=pytest.mark.slow)])
def test_an_early_end_survives_an_interruption_before_and_after_the_verdict(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    plan, options = (
        plan_for(dataset, schedule=Schedule(steps=60, decay=0.4)),
        two_folds(until=Until(dice=0.5)),
    )
    judged(monkeypatch, per_look=0.1)
    whole = train(dataset, plan, tmp_path / "whole", options)
    judged(monkeypatch, per_look=0.1)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan, tmp_path / "run", options, StopAt(at))
    resumed = train(dataset, plan, tmp_path / "run", two_folds(resume=True))  # until is remembered
    assert_same_weights(whole, resumed)


def test_a_flat_curve_ends_the_run_and_says_how_far_it_is(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, per_look=0.1, most=0.4)
    plan = plan_for(dataset, schedule=Schedule(steps=60, decay=0.4))
    heard = Heard()
    model = train(dataset, plan, tmp_path, two_folds(until=Until(dice=0.9)), heard)
    assert any("flat: Dice 0.400, 0.9 is not in sight" in line for line in heard.said)
    assert model.card.steps < 40
