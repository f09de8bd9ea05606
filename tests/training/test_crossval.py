"""Cross-validation: every patient is validated once; it goes on where it stopped; one budget for all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.runs import StopAt, plan_for

from calque.dataset import Dataset, open_dataset
from calque.errors import InputError
from calque.evaluation import Scores
from calque.model import Model
from calque.phantoms import write_phantoms
from calque.planning import Schedule
from calque.training import TrainOptions, cross_validate
from calque.training.crossval import Rounds, _used

THREE = TrainOptions(folds=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    return open_dataset(write_phantoms(folder, "mr_brain", 6, shape=(12, 20, 18), spacing=(8, 8, 8)))


def test_every_case_is_validated_once_and_the_folds_are_one_model(dataset: Dataset, tmp_path: Path) -> None:
    plan = plan_for(dataset, schedule=Schedule(steps=2))
    model = cross_validate(dataset, plan, tmp_path, THREE)
    assert len(model.members) == 3
    assert model.card.folds == ("0", "1", "2")
    scores = Scores.read(tmp_path / "scores.json")
    assert sorted(case.case for case in scores.cases) == sorted(case.id for case in dataset.cases)
    assert model.card.validated == 6
    for name, (low, high) in model.card.intervals.items():
        assert low <= model.card.scores[name] <= high
    assert Model.load(tmp_path / "model.calque").card == model.card
    with pytest.raises(InputError, match="cross-validation"):
        cross_validate(dataset, plan, tmp_path, THREE)
    again = THREE.model_copy(update={"resume": True, "folds": 2})
    with pytest.raises(InputError, match="another way"):
        cross_validate(dataset, plan, tmp_path, again)


def test_it_goes_on_where_it_was_stopped_and_refits(dataset: Dataset, tmp_path: Path) -> None:
    plan = plan_for(dataset, schedule=Schedule(steps=3))
    whole = cross_validate(dataset, plan, tmp_path / "whole", THREE, refit=True)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(dataset, plan, tmp_path / "cut", THREE, refit=True, progress=StopAt(5))
    resumed = THREE.model_copy(update={"resume": True})
    cut = cross_validate(dataset, plan, tmp_path / "cut", resumed, refit=True)
    assert len(whole.members) == 1
    assert whole.card.folds == ("all",)
    assert whole.card.validated == 6
    assert "cross-validation" in whole.card.notes
    assert "nobody has measured" not in whole.card.limits
    for name, tensor in whole.members[0].items():
        torch.testing.assert_close(cut.members[0][name], tensor, rtol=0, atol=0)


def test_what_time_is_left_is_shared_alike(dataset: Dataset) -> None:
    plan = plan_for(dataset, schedule=Schedule(seconds=100.0))
    rounds = Rounds(folds=4, refit=True)
    assert _used(plan, rounds, 0, elapsed=50.0) == pytest.approx(10.0)  # 450 s for five trainings
    assert _used(plan, rounds, 3, elapsed=320.0) == pytest.approx(10.0)
    assert _used(plan, rounds, 4, elapsed=350.0) == 0.0  # never more than its share
