"""What need not end a run does not end it, is said, and leaves a trace; what must end it names its cause."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.runs import (
    STEPS,
    TWO_FOLDS,
    Heard,
    StopAt,
    assert_same_weights,
    make_dataset,
    plan_for,
    two_folds,
)

from calque.dataset import Dataset
from calque.errors import InputError, ReadError, ResourceError, TrainingError
from calque.model import Model, archive
from calque.planning import Schedule
from calque.training import keeper, loop, recovery, state, train
from calque.training.history import read_history
from calque.training.run import RunFolder
from calque.training.sampler import Sample, Sampler


@pytest.fixture(scope="module")
def plain(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(dataset, plan_for(dataset), tmp_path_factory.mktemp("plain"), TWO_FOLDS)


Step = Callable[..., torch.Tensor]


def spoil(monkeypatch: pytest.MonkeyPatch, at: int, times: int) -> None:
    """The gradient of step `at` is no number, so many times."""
    real, left = loop.check_finite, [times]

    def check(norm: torch.Tensor, step: int) -> None:
        if step == at and left[0] > 0:
            left[0] -= 1
            norm = norm * float("nan")
        real(norm, step)

    monkeypatch.setattr(loop, "check_finite", check)


def test_after_a_loss_that_is_no_number_it_goes_on_from_the_checkpoint_with_half_the_rate(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan_for(dataset), tmp_path / "run", TWO_FOLDS, StopAt(3))
    spoil(monkeypatch, at=5, times=1)
    heard = Heard()
    model = train(dataset, plan_for(dataset), tmp_path / "run", two_folds(resume=True), heard)
    assert any("back to step 3 and on with 0.5 times" in line for line in heard.said)
    folder = RunFolder(tmp_path / "run").fold(0)
    assert any("not a number" in (row.event or "") for row in read_history(folder.history))
    assert "not a number" in model.card.notes
    assert model.card.steps == STEPS
    again = train(dataset, plan_for(dataset).read(folder.repeat), tmp_path / "again", TWO_FOLDS)
    assert_same_weights(model, again)


def test_without_a_checkpoint_it_begins_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, at=4, times=2)
    heard = Heard()
    model = train(dataset, plan_for(dataset), tmp_path / "run", TWO_FOLDS, heard)
    assert any("back to step 0 and on with 0.25 times" in line for line in heard.said)
    monkeypatch.undo()
    half = plan_for(dataset).optimiser
    quarter = plan_for(dataset, optimiser=half.model_copy(update={"rate": half.rate / 4}))
    assert_same_weights(model, train(dataset, quarter, tmp_path / "quarter", TWO_FOLDS))


def test_killed_before_its_first_checkpoint_a_run_keeps_its_plan_and_its_seed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: object, **__: object) -> torch.Tensor:
        raise SystemExit  # nothing is written down after this, as after a kill

    whole = train(dataset, plan_for(dataset), tmp_path / "whole", two_folds(seed=7))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", dead)
        with pytest.raises(SystemExit):
            train(dataset, plan_for(dataset), tmp_path / "run", two_folds(seed=7))
    assert not RunFolder(tmp_path / "run").fold(0).checkpoint.exists()
    other = plan_for(dataset, schedule=Schedule(steps=STEPS + 3))
    again = train(dataset, other, tmp_path / "run", two_folds(resume=True, seed=1))
    assert_same_weights(again, whole)
    assert again.card.seed == 7


def test_the_first_checkpoints_come_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], []
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    keep = keeper.Keeper(None, tmp_path, 60.0, lambda _: None)  # type: ignore[arg-type]
    monkeypatch.setattr(keep, "save", lambda: written.append(now[0]))
    for second in range(300):
        now[0] = float(second)
        keep.after_step()
    assert written == [10, 30, 70, 130, 190, 250]


def test_it_gives_up_with_the_cause(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, at=1, times=recovery.TRIES + 1)
    with pytest.raises(TrainingError, match="however low") as caught:
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS)
    assert "step 1" in str(caught.value)
    assert "0.03125 times" in str(caught.value)
    assert isinstance(caught.value.__cause__, loop.DivergedError)


def test_images_that_hold_no_numbers_are_named(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Sampler.batch

    def sick(self: Sampler, step: int) -> list[Sample]:
        samples = real(self, step)
        samples[0].image[:] = np.nan
        return samples

    monkeypatch.setattr(Sampler, "batch", sick)
    with pytest.raises(TrainingError, match="values that are no numbers") as caught:
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS)
    assert str(caught.value.got) in {case.id for case in dataset.cases}


@pytest.mark.parametrize("problem", [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
])  # fmt: skip
def test_out_of_memory_the_batch_is_computed_in_parts(
    dataset: Dataset, plain: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    real, asked = loop._gradients, []

    def tight(*arguments: object, **more: object) -> torch.Tensor:
        images = arguments[2]
        assert isinstance(images, torch.Tensor)
        asked.append(len(images))
        if len(images) > 1:
            raise problem
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_gradients", tight)
    heard = Heard()
    model = train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, heard)
    assert asked == [2, *[1] * (2 * STEPS)]  # tried once, and then small
    assert any("in 2 parts" in line for line in heard.said)
    assert "memory ran out" in model.card.notes
    for name, tensor in plain.members[0].items():
        assert torch.allclose(tensor, model.members[0][name], atol=2e-2)


def test_memory_for_not_even_one_patch_is_an_error(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(loop, "_gradients", none)
    with pytest.raises(ResourceError, match="single patch"):
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS)


def test_other_faults_of_torch_are_not_taken_for_a_lack_of_memory(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(loop, "_gradients", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS)


def test_on_a_full_disk_training_goes_on_and_writes_later(
    dataset: Dataset, plain: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = state.save_file, [3]

    def full(*arguments: object) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(state, "save_file", full)
    heard = Heard()
    model = train(dataset, plan_for(dataset), tmp_path, two_folds(checkpoint_seconds=0), heard)
    assert sum("The disk is full" in line for line in heard.said) == 1
    assert sum("There is room again" in line for line in heard.said) == 1
    assert_same_weights(model, plain)


def test_a_disk_that_stays_full_is_an_error_and_the_last_state_stays(
    dataset: Dataset, plain: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, StopAt(3))
    good = RunFolder(tmp_path).fold(0).checkpoint.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_file(path: Path, *_: object) -> None:
        raise ResourceError("The disk is full", where=path)

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", full)
        patch.setattr(archive, "write", full_file)
        with pytest.raises(ResourceError, match="disk is full"):
            train(dataset, plan_for(dataset), tmp_path, two_folds(resume=True, checkpoint_seconds=0))
    assert RunFolder(tmp_path).fold(0).checkpoint.read_bytes() == good
    assert_same_weights(train(dataset, plan_for(dataset), tmp_path, two_folds(resume=True)), plain)


def test_where_no_checkpoint_fits_the_model_may(
    dataset: Dataset, plain: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, "save_file", full)
    heard = Heard()
    assert_same_weights(train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, heard), plain)
    assert any("checkpoint.safetensors is not written" in line for line in heard.said)
    assert RunFolder(tmp_path).model.exists()


class Vanish(Heard):
    """Removes every prepared case, and what `more` removes, after two steps."""

    def __init__(self, run: Path, more: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.run, self.more = run, more

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        super().advance(amount, note)
        if len(self.notes) == 2:
            for folder in (self.run / "prepared").iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder)
            self.more()


@pytest.mark.usefixtures("_never_open")
def test_prepared_cases_that_vanish_are_prepared_again(
    dataset: Dataset, plain: Model, tmp_path: Path
) -> None:
    heard = Vanish(tmp_path)
    model = train(dataset, plan_for(dataset), tmp_path, TWO_FOLDS, heard)
    assert any("prepared again" in line for line in heard.said)
    assert_same_weights(model, plain)


@pytest.mark.usefixtures("_never_open")
def test_where_the_images_vanish_too_the_user_sees_which(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    heard = Vanish(tmp_path / "run", lambda: shutil.rmtree(tmp_path / "data"))
    with pytest.raises((InputError, ReadError)) as caught:
        train(data, plan_for(data), tmp_path / "run", TWO_FOLDS, heard)
    assert data.cases[0].id in str(caught.value)


@pytest.fixture
def _never_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are opened anew for each patch, as those beyond the bounds are."""
    monkeypatch.setattr("calque.training.cases.OpenCases.load", lambda self, case: self._store.load(case))


def test_the_cause_of_a_failing_reader_is_what_the_user_sees(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Sampler.batch

    def failing(self: Sampler, step: int) -> list[Sample]:
        if step == 3:
            raise ZeroDivisionError("a fault of the reader")
        return real(self, step)

    monkeypatch.setattr(Sampler, "batch", failing)
    with pytest.raises(ZeroDivisionError, match="a fault of the reader") as caught:
        train(dataset, plan_for(dataset, schedule=Schedule(steps=6)), tmp_path, TWO_FOLDS)
    assert "the batch of step 3: " in caught.value.__notes__[0]
