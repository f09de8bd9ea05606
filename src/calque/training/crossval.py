"""Cross-validation: a fold after the other in one budget, then one model and one table of scores."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt

from calque.dataset import Dataset
from calque.errors import InputError
from calque.io import write_text_atomic
from calque.model import Model
from calque.planning import Plan
from calque.preparation import prepare
from calque.progress import SILENT, Progress
from calque.training.ensemble import ensemble, pooled_scores, refitted
from calque.training.options import TrainOptions
from calque.training.run import RunFolder
from calque.training.stages import train
from calque.value import Value


class Rounds(Value):
    """How far a cross-validation has come; RUN/rounds.json.

    Args:
        folds: in how many parts patients are dealt.
        refit: whether a network is trained on every case at the end.
        spent: seconds of the whole that are used up.
    """

    folds: PositiveInt
    refit: bool
    spent: NonNegativeFloat = 0.0

    @property
    def parts(self) -> int:
        """Trainings in all; each gets an equal share of what time is left."""
        return self.folds + self.refit


def cross_validate(  # noqa: PLR0913 - as `train`, and what comes after the folds
    dataset: Dataset,
    plan: Plan,
    run: Path | str,
    options: TrainOptions | None = None,
    *,
    refit: bool = False,
    start: Model | None = None,
    progress: Progress = SILENT,
) -> Model:
    """Train and validate every fold, then write RUN/model.calque and RUN/scores.json over all cases.

    The model is the ensemble of the folds, or with `refit` one network trained on every case; its scores are
    then those of the folds, which are said to be of other weights.

    Args:
        dataset: with masks.
        plan: of one training; its seconds are an equal share of the whole budget.
        run: the folder; see `calque.training.run`.
        options: folds, seed, resuming; the fold is not looked at.
        refit: whether to train once more, on everything.
        start: a model to begin with, as in `calque.train`.
        progress: shows each fold.

    Raises:
        InputError: the folder holds another run.
        TrainingError, PlanError, ResourceError: as `calque.train`.
    """
    options = options or TrainOptions()
    folder, started = RunFolder(Path(run)), time.monotonic()
    rounds = _begin(folder, options, refit)
    before = rounds.spent + options.spent
    prepare(dataset, plan, folder.prepared, progress=progress)
    names: list[int | str] = [*range(options.folds), *(["all"] if refit else [])]
    for position, name in enumerate(names):
        fold = folder.fold(name)
        if fold.model.exists():
            continue
        progress.say(f"Fold {name}: training {position + 1} of {rounds.parts}")
        elapsed = before + time.monotonic() - started
        begun = fold.checkpoint.exists()  # its own clock goes on
        spent = 0.0 if begun else _used(plan, rounds, position, elapsed)
        told = options.model_copy(update={"fold": name, "spent": spent, "resume": True})
        train(dataset, plan, run, told, progress, start=start)
        share = (plan.schedule.seconds or 0.0) * (position + 1)
        spent = max(before + time.monotonic() - started, share)
        write_text_atomic(_file(folder), rounds.model_copy(update={"spent": spent}).to_json())
    scores = pooled_scores(folder)
    if scores is not None:
        scores.write(folder.scores)
    model = refitted(folder) if refit else ensemble(folder)
    model.save(folder.model)
    return model


def _used(plan: Plan, rounds: Rounds, position: int, elapsed: float) -> float:
    """Seconds of a fold's budget that are gone before it begins: its share of preparation and of delays."""
    if plan.schedule.seconds is None:
        return 0.0
    left = plan.schedule.seconds * rounds.parts - elapsed
    share = left / (rounds.parts - position)
    return max(0.0, plan.schedule.seconds - share)


def _begin(folder: RunFolder, options: TrainOptions, refit: bool) -> Rounds:
    path = _file(folder)
    if path.exists():
        kept = Rounds.read(path)
        if not options.resume:
            raise InputError(
                "This folder holds a cross-validation",
                where=folder.path,
                fix="go on with --resume, or choose another folder with -o",
            )
        if (kept.folds, kept.refit) != (options.folds, refit):
            raise InputError(
                "This cross-validation was begun in another way",
                where=path,
                expected=f"{kept.folds} folds{', then a refit' if kept.refit else ''}",
                got=f"{options.folds} folds{', then a refit' if refit else ''}",
            )
        return kept
    if folder.folds() and not options.resume:
        raise InputError(
            "This folder holds a run already", where=folder.path, fix="choose another folder with -o"
        )
    rounds = Rounds(folds=options.folds, refit=refit)
    write_text_atomic(path, rounds.to_json())
    return rounds


def _file(folder: RunFolder) -> Path:
    return folder.path / "rounds.json"
