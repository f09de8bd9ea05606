"""The whole stage: it repeats, resumes, refuses, and leaves a model behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from tests.training.runs import (
    STEPS,
    TWO_FOLDS,
    StopAt,
    assert_same_weights,
    plan_for,
    two_folds,
)
from tests.training.synthetic import make_plan

from calque.dataset import Dataset, open_dataset
from calque.errors import InputError, PlanError, ReadError, TrainingError
from calque.evaluation import Scores
from calque.io import read_labels
from calque.model import Model
from calque.phantoms import write_phantoms
from calque.planning import Augmentation, Optimiser, Schedule
from calque.training import train
from calque.training.ending import studied
from calque.training.history import read_history
from calque.training.run import RunFolder


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    run = tmp_path_factory.mktemp("run")
    return run, train(dataset, plan_for(dataset), run, TWO_FOLDS)


def test_what_a_run_leaves_behind(dataset: Dataset, finished: tuple[Path, Model]) -> None:
    run, model = finished
    folder = RunFolder(run).fold(0)
    scores = Scores.read(folder.scores)
    assert len(scores.cases) == 2
    assert scores.complete
    for case in scores.cases:
        truth = dataset.case(case.case).label
        assert truth is not None
        guess = read_labels(folder.validation / f"{case.case}.nii.gz", dataset.labels)
        assert guess.grid.isclose(read_labels(truth).grid)
    assert set(model.card.scores) == {f"Dice {name}" for name in dataset.labels.names}
    assert model.card.steps == STEPS
    assert folder.curves.stat().st_size > 1000
    assert {path.stem for path in folder.looks.glob("*.png")} == {case.case for case in scores.cases}
    assert folder.stable.exists()
    rows = read_history(folder.history)
    assert any(row.dice for row in rows)
    assert_same_weights(Model.load(RunFolder(run).model), model)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    dataset: Dataset, finished: tuple[Path, Model], tmp_path: Path
) -> None:
    again = train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS)
    assert_same_weights(finished[1], again)
    other = train(dataset, plan_for(dataset), tmp_path / "other", two_folds(seed=1))
    assert any(not torch.equal(finished[1].members[0][n], other.members[0][n]) for n in other.members[0])


@pytest.mark.parametrize("stop", [3, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 6))])
def test_interrupted_and_resumed_it_ends_with_the_same_weights(
    dataset: Dataset, finished: tuple[Path, Model], tmp_path: Path, stop: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, StopAt(stop))
    assert not RunFolder(tmp_path).model.exists()
    resumed = train(dataset, plan_for(dataset), tmp_path, two_folds(resume=True))
    assert_same_weights(finished[1], resumed)
    steps = [row.step for row in read_history(RunFolder(tmp_path).fold(0).history)]
    assert steps == sorted(steps)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_channels_last_in_half_precision_too(
    dataset: Dataset, tmp_path: Path, optimiser: Literal["adamw", "muon"]
) -> None:
    plan = plan_for(
        dataset,
        channels_last=True,
        precision="bf16",
        schedule=Schedule(steps=4),
        optimiser=Optimiser(name=optimiser),
    )
    whole = train(dataset, plan, tmp_path / "whole", TWO_FOLDS)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan, tmp_path / "cut", TWO_FOLDS, StopAt(2))
    assert_same_weights(whole, train(dataset, plan, tmp_path / "cut", two_folds(resume=True)))


def test_folds_come_together_as_an_ensemble(dataset: Dataset, tmp_path: Path) -> None:
    plan = plan_for(dataset, schedule=Schedule(steps=2))
    first = train(dataset, plan, tmp_path, two_folds(fold=0))
    both = train(dataset, plan, tmp_path, two_folds(fold=1))
    assert (len(first.members), len(both.members)) == (1, 2)
    assert both.card.folds == ("0", "1")
    with pytest.raises(InputError, match="another plan"):
        train(dataset, plan_for(dataset, batch=3), tmp_path, two_folds(fold="all"))


def test_all_cases_train_when_asked(dataset: Dataset, tmp_path: Path) -> None:
    model = train(dataset, plan_for(dataset, schedule=Schedule(steps=2)), tmp_path, two_folds(fold="all"))
    assert model.card.cases == len(dataset.cases)
    assert model.card.scores == {}


def test_a_run_is_not_overwritten(dataset: Dataset, finished: tuple[Path, Model]) -> None:
    run, model = finished
    before = RunFolder(run).model.read_bytes()
    with pytest.raises(InputError, match="trained here before"):
        train(dataset, plan_for(dataset), run, TWO_FOLDS)
    assert RunFolder(run).model.read_bytes() == before
    resumed = train(dataset, plan_for(dataset), run, two_folds(resume=True))  # nothing is left to do
    assert_same_weights(model, resumed)


def test_a_plan_for_other_data_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="other data"):
        train(dataset, make_plan(), tmp_path, TWO_FOLDS)


def test_a_budget_below_the_final_validation_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="validation at the end"):
        train(dataset, plan_for(dataset, schedule=Schedule(seconds=1e-3)), tmp_path, TWO_FOLDS)


def test_a_budget_that_leaves_no_step_makes_no_model(dataset: Dataset, tmp_path: Path) -> None:
    plan = plan_for(dataset, schedule=Schedule(seconds=1000))
    with pytest.raises(TrainingError, match="before the first step"):
        train(dataset, plan, tmp_path, two_folds(spent=999.999))
    assert not RunFolder(tmp_path).model.exists()


@pytest.mark.slow
def test_a_budget_in_seconds_trains_and_ends(dataset: Dataset, tmp_path: Path) -> None:
    plan = plan_for(dataset, schedule=Schedule(seconds=20))  # ample: the machine may be busy
    model = train(dataset, plan, tmp_path, TWO_FOLDS)
    assert model.card.steps > 0
    assert len(Scores.read(RunFolder(tmp_path).fold(0).scores).cases) == 2


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    dataset: Dataset, tmp_path: Path
) -> None:
    plan = plan_for(dataset)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan, tmp_path, TWO_FOLDS, StopAt(2))
    good = RunFolder(tmp_path).fold(0).checkpoint.read_bytes()
    explosive = plan.optimiser.model_copy(update={"name": "sgd", "rate": 1e30, "clip": 1e30})
    wild = plan_for(dataset, optimiser=explosive)
    with pytest.raises(TrainingError, match="not a number"):
        train(dataset, wild, tmp_path / "wild", TWO_FOLDS)
    kept = load_file(RunFolder(tmp_path / "wild").fold(0).checkpoint)
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert RunFolder(tmp_path).fold(0).checkpoint.read_bytes() == good


def test_a_damaged_checkpoint_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, StopAt(2))
    checkpoint = RunFolder(tmp_path).fold(0).checkpoint
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors"):
        train(dataset, plan_for(dataset), tmp_path, two_folds(resume=True))


def test_a_sick_case_is_named_before_training(dataset: Dataset, tmp_path: Path) -> None:
    sick = tmp_path / "sick.nii.gz"
    sick.write_bytes(dataset.cases[0].images[0].read_bytes()[:500])
    cases = (replace(dataset.cases[0], images=(sick,)), *dataset.cases[1:])
    broken = replace(dataset, cases=cases)
    with pytest.raises((InputError, ReadError), match=dataset.cases[0].id):
        train(broken, plan_for(dataset), tmp_path / "run", TWO_FOLDS)


def test_pictures_train_as_volumes_do(tmp_path: Path) -> None:
    data = open_dataset(write_phantoms(tmp_path / "data", "picture_2d", 4, shape=(1, 32, 32)))
    network = make_plan().network.model_copy(
        update={
            "dimensions": 2,
            "inputs": 3,
            "outputs": data.labels.outputs,
            "strides": ((1, 1, 1), (1, 2, 2)),
            "kernels": ((1, 3, 3), (1, 3, 3)),
        }
    )
    seen = make_plan().fingerprint
    plan = plan_for(
        data,
        spacing=(1.0, 1.0, 1.0),
        patch=(1, 32, 32),
        network=network,
        schedule=Schedule(steps=3),
        fingerprint=seen.model_copy(update={"intensities": 3 * seen.intensities}),
    )
    model = train(data, plan, tmp_path / "run", TWO_FOLDS)
    assert set(model.card.scores) == {f"Dice {name}" for name in data.labels.names}


def test_the_model_learns_from_validation_what_its_predictions_are_worth(tmp_path: Path) -> None:
    data = open_dataset(
        write_phantoms(tmp_path / "data", "mr_brain", 6, shape=(12, 20, 18), spacing=(8, 8, 8))
    )
    mirrored = Augmentation(mirror=(False, False, True))
    plan = plan_for(data, schedule=Schedule(steps=3), augmentation=mirrored)
    learned = train(data, plan, tmp_path / "run", TWO_FOLDS).card.learned
    assert [parity.precision for parity in learned.parity] == ["bf16"]
    assert {trial.mode for trial in learned.mirror} == {"off", "interleaved", "full"}
    assert learned.calibration is not None
    assert learned.calibration.cases == 3


def test_studying_takes_its_share_of_the_budget_or_is_left_out() -> None:
    assert studied(40, 0.2, 50.0) == 20
    assert studied(40, 10.0, 50.0) == 5
    assert studied(40, 20.0, 50.0) == 0  # two cases teach nothing
    assert studied(2, 0.1, 50.0) == 0
    assert studied(30, 100.0, None) == 20  # steps rule, not time
