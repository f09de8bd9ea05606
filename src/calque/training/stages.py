"""`train`: one stage, or the two of a cascade.

The first stage of a cascade is trained twice, on halves of the patients that the second one trains with
(cross-fitting): each network predicts the half that it has not seen, and so the second stage learns from
predictions as it will meet them. What predicts later is the mean of both (docs/decisions/cascade.md).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from calque.dataset import Dataset
from calque.model import Model
from calque.nets.others import Maker
from calque.planning import Plan
from calque.planning.model import HALVES
from calque.progress import SILENT, Progress
from calque.training.ensemble import ensemble
from calque.training.first import First
from calque.training.fold import train_fold
from calque.training.given import with_network
from calque.training.options import TrainOptions
from calque.training.pace import Clock
from calque.training.run import RunFolder
from calque.training.setting import Setting, require_free, settle_plan
from calque.training.track import require_tracker


def train(  # noqa: PLR0913 - data, plan and place; what is told, shown, and begun with
    dataset: Dataset,
    plan: Plan,
    run: Path | str,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    *,
    start: Model | None = None,
    network: nn.Module | Maker | None = None,
) -> Model:
    """Prepare, train one fold, validate it, and write `RUN/model.calque`.

    With a schedule in steps, a CPU run with one seed and one number of threads repeats bit for bit, also
    after a kill and `resume`. With a schedule in seconds the whole call takes that time, with validation.

    Args:
        dataset: with masks.
        plan: every decision; with `resume`, the plan of the run is taken instead.
        run: the folder to write to; see `calque.training.run`.
        options: fold, seed, resuming.
        progress: shows preparation, training and validation.
        start: a model whose weights are where training begins, as far as they fit; its plan for this data is
            `calque.training.plan_finetuning`.
        network: in place of the plan's: a module, whose weights are where training begins, or a function that
            makes one from a `NetworkConfig`. It maps (b, c, z, y, x), of 2-D plans (b, c, y, x), to logits
            (b, k, ...) of the same size, or while training to several of them, finest first. The model file
            names it and holds its weights: `Model.load(path, network=...)` reads it again.

    Returns:
        The model: all finished folds of this run.

    Raises:
        InputError: the folder holds another run, or a case cannot be prepared.
        PlanError: the plan does not fit the dataset, or the network does not fit the plan.
        TrainingError: the loss is no number, or a checkpoint is damaged.
        ResourceError: the disk is full.
    """
    options = options or TrainOptions()
    clock = Clock(options.spent)
    require_free(run, options)
    require_tracker(options.track)
    if network is not None:
        plan = with_network(plan, network)
    plan = settle_plan(RunFolder(Path(run)), plan, options)
    before = (
        None if plan.first is None else partial(_first_stage, clock=clock, progress=progress, start=start)
    )
    return train_fold(dataset, plan, run, options, clock, progress, start=start, before=before)


def _first_stage(setting: Setting, clock: Clock, progress: Progress, start: Model | None) -> First:
    """Train what is not trained yet of the first stage, and let it look at every case."""
    plan, options, folder = setting.plan, setting.options, setting.folder
    run, begun = RunFolder(folder.path / "first"), clock.seconds()
    resumed = any(fold.checkpoint.exists() or fold.model.exists() for fold in run.folds())
    learned_from = setting.dataset.only(setting.split.train)
    kept = {"seed": options.seed, "device": options.device, "checkpoint_seconds": options.checkpoint_seconds}
    begin = None if start is None else start.first_stage
    for half in range(HALVES):
        progress.say(f"First stage, half {half + 1} of {HALVES}")
        told = TrainOptions.model_validate(
            {"fold": half, "folds": HALVES, "resume": True, "study": False, **kept}
        )
        train_fold(learned_from, _half(plan, half), run.path, told, Clock(), progress, start=begin)
    budget = sum(_half(plan, half).schedule.seconds or 0.0 for half in range(HALVES))
    if resumed and not folder.checkpoint.exists():
        # what earlier sittings spent on it is gone, though nobody wrote it down
        clock.before += max(0.0, budget - (clock.seconds() - begun))
    first = First(ensemble(run), run, folder.path / "seen")
    first.look(
        map(setting.dataset.case, (*setting.split.train, *setting.split.validation)), setting.store, progress
    )
    return first


def _half(plan: Plan, half: int) -> Plan:
    """What a half of the first stage follows: of a cascade that is repeated, its own way."""
    assert plan.first is not None  # noqa: S101 - for the type checker
    if not plan.halves:
        return plan.first
    return plan.first.model_copy(update={"schedule": plan.halves[half]})
