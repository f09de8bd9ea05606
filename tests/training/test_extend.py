"""A finished run goes on from before its decay, with the same cases or more."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.runs import (
    TWO_FOLDS,
    Heard,
    StopAt,
    assert_same_weights,
    make_dataset,
    plan_for,
    two_folds,
)

from calque.dataset import Dataset, open_dataset
from calque.errors import DatasetError, InputError
from calque.evaluation import Scores, summarise
from calque.model import Model
from calque.planning import Schedule
from calque.training import More, extend, train
from calque.training.grow import join, settle
from calque.training.history import read_history
from calque.training.run import DatasetRecord, RunFolder, Split


def scored(run: Path, value: float) -> None:
    """The scores of the finished model, as if each class had this Dice everywhere."""
    path = RunFolder(run).fold(0).scores
    scores = Scores.read(path)
    cases = [
        case.model_copy(
            update={
                "classes": {
                    name: one.model_copy(update={"values": one.values | {"dice": value}})
                    for name, one in case.classes.items()
                }
            }
        )
        for case in scores.cases
    ]
    path.unlink()
    summarise(cases, scores.labels).write(path)


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train(dataset, plan_for(dataset, schedule=Schedule(steps=8, decay=0.5, warmup=0.1)), run, TWO_FOLDS)
    scored(run, 0.0)  # so that what comes after is better, if tests do not say otherwise
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_it_goes_on_from_before_the_decay(run: Path) -> None:
    heard = Heard()
    model = extend(run, More(steps=6), None, TWO_FOLDS, heard)
    assert model.card.steps == 5 + 6  # the decay of the first run began after step 5
    assert "Extended by 6 steps from step 5" in model.card.notes
    assert any("Extended by 6 steps" in line for line in heard.said)
    rows = read_history(RunFolder(run).fold(0).history)
    assert [row.step for row in rows] == sorted(row.step for row in rows)
    assert any("Extended" in (row.event or "") for row in rows)
    assert_same_weights(Model.load(RunFolder(run).model), model)


def test_a_model_that_was_better_before_is_kept_with_its_scores_and_the_other_one_beside_it(
    run: Path,
) -> None:
    fold, before = RunFolder(run).fold(0), Model.load(RunFolder(run).model)
    scored(run, 0.99)
    masks = {path.name: path.read_bytes() for path in fold.validation.iterdir()}
    heard = Heard()
    model = extend(run, More(steps=6), None, TWO_FOLDS, heard)
    assert_same_weights(model, before)
    assert_same_weights(Model.load(fold.model), before)
    assert {path.name: path.read_bytes() for path in fold.validation.iterdir()} == masks
    assert any("from before the extension is kept" in line and "0.99" in line for line in heard.said)
    assert "The longer one is in longer/" in model.card.notes
    assert Model.load(fold.path / "longer" / "model.calque").card.steps == 5 + 6
    assert Scores.read(fold.path / "longer" / "scores.json").cases
    longer = extend(run, More(steps=9), None, TWO_FOLDS)  # it can be tried again, longer
    assert_same_weights(longer, before)
    assert Model.load(fold.path / "longer" / "model.calque").card.steps > 5 + 6


def test_a_better_model_takes_the_place_and_the_one_from_before_is_there(run: Path) -> None:
    fold, before = RunFolder(run).fold(0), Model.load(RunFolder(run).model)
    model = extend(run, More(steps=6), None, TWO_FOLDS)
    assert "The extended model is kept" in model.card.notes
    assert_same_weights(Model.load(fold.path / "earlier" / "model.calque"), before)
    assert not (fold.path / "longer").exists()


def test_without_validation_it_is_said_that_nobody_knows(dataset: Dataset, tmp_path: Path) -> None:
    options = two_folds(fold="all")
    train(dataset, plan_for(dataset, schedule=Schedule(steps=4, decay=0.5)), tmp_path, options)
    model = extend(tmp_path, More(steps=2), None, options)
    assert "nobody has measured" in model.card.notes
    assert (RunFolder(tmp_path).fold("all").path / "earlier" / "model.calque").exists()


def test_interrupted_while_extending_it_can_be_resumed(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    whole = extend(run, More(steps=6), None, TWO_FOLDS)
    with pytest.raises(KeyboardInterrupt):
        extend(other, More(steps=6), None, TWO_FOLDS, StopAt(3))
    plan = plan_for(dataset, schedule=Schedule(steps=8, decay=0.5, warmup=0.1))
    assert_same_weights(whole, train(dataset, plan, other, two_folds(resume=True)))


def test_a_run_by_steps_can_be_extended_by_time(run: Path) -> None:
    model = extend(run, More(seconds=6), None, TWO_FOLDS)
    assert model.card.steps >= 5
    scored(run, 0.0)
    again = extend(run, More(seconds=4), None, TWO_FOLDS)
    assert again.card.notes.count("Extended") == 2


def test_an_extension_that_is_over_before_its_decay_is_what_the_next_one_goes_on_from(run: Path) -> None:
    heard = Heard()
    model = extend(run, More(seconds=1e-3), None, TWO_FOLDS, heard)  # as on a machine that is very busy
    assert model.card.steps == 5
    assert "No time was left for another step" in heard.said
    scored(run, 0.0)
    again = extend(run, More(steps=2), None, TWO_FOLDS)
    assert again.card.steps == 5 + 2
    assert again.card.notes.count("Extended") == 2


def test_a_run_whose_rate_never_fell_is_extended_from_its_end(dataset: Dataset, tmp_path: Path) -> None:
    options = two_folds(fold="all")
    train(dataset, plan_for(dataset, schedule=Schedule(steps=3, decay=0.0)), tmp_path, options)
    assert extend(tmp_path, More(steps=2), None, options).card.steps == 3 + 2


def test_new_cases_train_and_those_of_validation_patients_validate(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    split = Split.read(RunFolder(run).fold(0).split)
    fresh = make_dataset(tmp_path / "more", cases=3, seed=5)
    judge = dataset.case(split.validation[0]).patient
    cases = (fresh.cases[0], fresh.cases[1], replace(fresh.cases[2], patient=judge))
    cases = (*(replace(c, patient=f"new{k}") for k, c in enumerate(cases[:2])), cases[2])
    copied = replace(dataset.cases[0], id="a_copy", patient="somebody")
    heard = Heard()
    model = extend(run, More(steps=4), replace(fresh, cases=(*cases, copied)), TWO_FOLDS, heard)
    now = Split.read(RunFolder(run).fold(0).split)
    assert set(split.train) <= set(now.train)
    assert set(split.validation) <= set(now.validation)
    assert len(now.train) == len(split.train) + 2
    assert len(now.validation) == len(split.validation) + 1
    assert model.card.cases == len(now.train)
    assert "Cases were added: 3, of which 1 validate" in model.card.notes
    assert "1 were there before and are left out" in model.card.notes
    assert len(DatasetRecord.read(RunFolder(run).dataset).cases) == len(dataset.cases) + 3
    assert any("Cases were added" in line for line in heard.said)


def test_a_run_and_its_data_may_have_moved(dataset: Dataset, finished: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(dataset.root, tmp_path / "elsewhere"))
    run = Path(shutil.copytree(finished, tmp_path / "moved"))
    record = RunFolder(run).dataset
    record.write_text(record.read_text().replace(str(dataset.root), str(tmp_path / "nowhere")))
    with pytest.raises(InputError, match="not where they were") as caught:
        extend(run, More(steps=2), None, TWO_FOLDS)
    assert "calque train DATA --from RUN" in str(caught.value)
    assert RunFolder(run).fold(0).model.exists()
    data = open_dataset(here)
    with pytest.raises(InputError, match="not here"):
        extend(run, More(steps=2), None, TWO_FOLDS, data=data.only([data.cases[0].id]))
    model = extend(run, More(steps=2), None, TWO_FOLDS, data=data)
    assert model.card.steps == 5 + 2
    assert str(here) in record.read_text()


def test_the_same_folder_again_adds_nothing(dataset: Dataset) -> None:
    joined = join(dataset, dataset)
    digests = {case.id: case.id.removesuffix("_2") for case in joined.cases}
    grown = settle(dataset, joined, Split(train=("a",), validation=("b",)), digests)
    assert grown.added == ()
    assert len(grown.twice) == len(dataset.cases)
    assert grown.split == Split(train=("a",), validation=("b",))


def test_other_channels_or_classes_do_not_join(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="other channels"):
        join(dataset, replace(dataset, channels=("T2",)))
    with pytest.raises(DatasetError, match="has a mask"):
        join(dataset, replace(dataset, cases=(replace(dataset.cases[0], label=None),)))


def test_what_cannot_be_extended_is_refused(run: Path) -> None:
    fold = RunFolder(run).fold(0)
    with pytest.raises(InputError, match="not finished"):
        extend(run, More(steps=2), None, two_folds(fold=1))
    fold.stable.unlink()
    with pytest.raises(InputError, match="no state to go on from"):
        extend(run, More(steps=2), None, TWO_FOLDS)
    assert fold.model.exists()
    with pytest.raises(ValueError, match="either seconds or steps"):
        More()


def test_a_case_that_left_the_data_set_is_named_when_a_run_is_resumed(
    dataset: Dataset, tmp_path: Path
) -> None:
    plan = plan_for(dataset)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan, tmp_path, TWO_FOLDS, StopAt(2))
    fewer = dataset.only(case.id for case in dataset.cases[1:])
    with pytest.raises(InputError, match="not in the data set any more") as caught:
        train(fewer, plan, tmp_path, two_folds(resume=True))
    assert dataset.cases[0].id in str(caught.value)
