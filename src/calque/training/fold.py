"""`train`: from a dataset and a plan to a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from calque.dataset import Dataset, kfold
from calque.errors import InputError, PlanError, TrainingError
from calque.io import write_text_atomic
from calque.model import Model
from calque.planning import Plan
from calque.prediction import PredictOptions, Predictor
from calque.prediction.learned import Learned
from calque.preparation import Store, prepare
from calque.progress import SILENT, Progress
from calque.training.ending import (
    CLOSING,
    FEWEST_STUDIED,
    Rehearsal,
    Rest,
    quick_cases,
    reserve,
    study_runs,
)
from calque.training.ensemble import ensemble, fold_card
from calque.training.finetune import transfer
from calque.training.grow import GROWN
from calque.training.keeper import Keeper
from calque.training.looks import Looks
from calque.training.memory import keep_freed_memory
from calque.training.options import TrainOptions
from calque.training.pace import Clock, CountedPace, Pace, TimedPace
from calque.training.partial import find_contents
from calque.training.recovery import Rescue, run_to_end
from calque.training.run import DatasetRecord, FoldFolder, RunFolder, Split
from calque.training.sampler import Sampler
from calque.training.state import TrainingState, fresh_state, load_state, save_state, tensors_of
from calque.training.track import open_tracker
from calque.training.until import Judge, Until
from calque.training.validate import QuickValidator, average_network, score_whole, study, validate
from calque.training.watch import Watch

if TYPE_CHECKING:
    from calque.evaluation import Scores


@dataclass(frozen=True)
class Setting:
    """What stays the same through a run of one fold."""

    dataset: Dataset
    plan: Plan
    options: TrainOptions
    folder: FoldFolder
    split: Split
    store: Store


def train(
    dataset: Dataset,
    plan: Plan,
    run: Path | str,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    *,
    start: Model | None = None,
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

    Returns:
        The model: all finished folds of this run.

    Raises:
        InputError: the folder holds another run, or a case cannot be prepared.
        PlanError: the plan does not fit the dataset.
        TrainingError: the loss is no number, or a checkpoint is damaged.
        ResourceError: the disk is full.
    """
    options = options or TrainOptions()
    clock = Clock(options.spent)
    folder = RunFolder(Path(run))
    require_free(run, options)
    plan = _settle_plan(folder, plan, options)
    _check_fit(dataset, plan)
    store = prepare(dataset, plan, folder.prepared, progress=progress)
    split = choose_split(dataset, options, store)
    setting = Setting(dataset, plan, options, folder.fold(options.fold), split, store)
    if not setting.folder.model.exists():
        _begin(setting)
        state = _train_weights(setting, clock, progress, start)
        _finish(setting, state, clock, progress)
    model = ensemble(folder)
    model.save(folder.model)
    return model


def choose_split(dataset: Dataset, options: TrainOptions, store: Store) -> Split:
    """Deal the annotated cases by patient; equal images stay together, rare classes are spread.

    A run that is resumed keeps its split.

    Raises:
        InputError: there is no such fold, or a case of the run is gone.
    """
    kept = RunFolder(store.folder.parent).fold(options.fold).split
    if options.resume and kept.exists():
        return _split_again(Split.read(kept), dataset, kept)
    if options.fold == "all":
        return Split(train=tuple(case.id for case in dataset.annotated), validation=())
    found = store.contents()
    folds = kfold(
        dataset,
        options.folds,
        seed=0,  # not the run's seed: folds of one dataset stay comparable
        alike={name: record.digest for name, record in found.items()},
        classes={name: record.classes for name, record in found.items()},
    )
    if options.fold >= len(folds):
        raise InputError("There is no such fold", expected=f"0 to {len(folds) - 1}, or all", got=options.fold)
    fold = folds[options.fold]
    return Split(train=fold.train, validation=fold.validation)


def _split_again(split: Split, dataset: Dataset, where: Path) -> Split:
    gone = {*split.train, *split.validation} - {case.id for case in dataset.annotated}
    if gone:
        raise InputError(
            "Cases of this run are not in the data set any more",
            where=where,
            got=", ".join(sorted(gone)[:10]),
            fix="give the data set that the run was started with, or train anew in another folder",
        )
    return split


def require_free(run: Path | str, options: TrainOptions) -> None:
    """Refuse to train over a fold that is there; to be asked before time is spent on checking and planning.

    Raises:
        InputError: the fold was begun or finished here, and `options.resume` is not set.
    """
    fold = RunFolder(Path(run)).fold(options.fold)
    if (fold.checkpoint.exists() or fold.model.exists()) and not options.resume:
        raise InputError(
            "This fold was trained here before",
            where=fold.path,
            fix="go on with --resume, or choose another folder with -o",
        )


def _settle_plan(folder: RunFolder, plan: Plan, options: TrainOptions) -> Plan:
    """The plan to follow; a folder holds one plan, so that its folds belong together."""
    if folder.plan.exists() and any(f.checkpoint.exists() for f in folder.folds()):
        kept = Plan.read(folder.plan, error=PlanError)
        if not options.resume and kept != plan:
            raise InputError(
                "This folder holds a run with another plan",
                where=folder.plan,
                fix=f"train with --plan {folder.plan}, or choose another folder with -o",
            )
        return kept
    return plan


def _check_fit(dataset: Dataset, plan: Plan) -> None:
    if plan.channels != dataset.channels or plan.labels.values != dataset.labels.values:
        raise PlanError(
            "The plan was made for other data",
            expected=f"channels {plan.channels}, label values {plan.labels.values}",
            got=f"channels {dataset.channels}, label values {dataset.labels.values}",
            fix="plan anew",
        )


def _begin(setting: Setting) -> None:
    """Write down what is about to be done."""
    run = RunFolder(setting.folder.path.parent)
    write_text_atomic(run.plan, setting.plan.to_json())
    write_text_atomic(run.dataset, DatasetRecord.of(setting.dataset).to_json())
    write_text_atomic(setting.folder.split, setting.split.to_json())


def _train_weights(setting: Setting, clock: Clock, progress: Progress, start: Model | None) -> TrainingState:
    plan, options, folder = setting.plan, setting.options, setting.folder
    keep_freed_memory()
    state = fresh_state(plan, options.seed, choose_device(options))
    if options.resume and folder.checkpoint.exists():
        load_state(state, folder.checkpoint)
        clock.before += state.seconds
    if state.schedule is not None:
        plan = plan.model_copy(update={"schedule": state.schedule})
        setting = replace(setting, plan=plan)
    rehearsal = _rehearsal(setting, state)
    pace = _pace(setting, state, clock, rehearsal)
    if start is not None and not folder.checkpoint.exists():
        _begin_with(start, setting, state, progress)
    contents = find_contents(setting.dataset, plan, setting.store)
    sampler = Sampler(setting.store, setting.split.train, plan, options.seed, contents)
    looked = quick_cases(plan, rehearsal)
    keeper = Keeper(state, folder.checkpoint, options.checkpoint_seconds, progress.say)
    show = Looks(folder.looks, plan, keeper.attempt)
    quick = QuickValidator(setting.store, setting.split.validation[:looked], plan, contents, show)
    rescue = Rescue(
        plan,
        options.seed,
        folder,
        lambda: _prepare_again(setting, progress),
    )
    with Watch(keeper, plan.labels, folder, quick, pace, progress) as watch:
        watch.tracker = open_tracker(options.track, folder.path)
        watch.follow(lambda share: _keep_reserve(setting, pace, rehearsal, share))
        until = _settle_until(setting)
        if until is not None:
            watch.judge = Judge(until, state, pace)
        run_to_end(state, sampler, pace, rescue, watch)
        pace.finish(state.step)
    if state.step == 0:
        raise TrainingError(
            "The budget was spent before the first step",
            where=folder.path,
            got=f"{clock.seconds():.0f} s for checking, planning and preparing",
            fix="give a larger --budget",
        )
    return state


def _begin_with(start: Model, setting: Setting, state: TrainingState, progress: Progress) -> None:
    """Take a model's weights over, and keep them: whoever goes back goes back to them."""
    found = transfer(state.network, setting.plan, start)
    for name, tensor in tensors_of(state.network).items():
        state.average[name].copy_(tensor.detach())
    state.story.append(f"Fine-tuned from a model of {start.card.dataset}: {found.words()}")
    progress.say(state.story[-1])
    save_state(state, setting.folder.checkpoint)


def _settle_until(setting: Setting) -> Until | None:
    """When this run ends early: what was asked for, else what a run that is resumed was begun with."""
    asked, kept = setting.options.until, setting.folder.until
    if asked is not None:
        write_text_atomic(kept, asked.to_json())
    elif kept.exists():
        asked = Until.read(kept)
    return asked


def _prepare_again(setting: Setting, progress: Progress) -> None:
    prepare(setting.dataset, setting.plan, setting.store.folder, progress=progress)


def _rehearsal(setting: Setting, state: TrainingState) -> Rehearsal:
    """Begun: whole validation cases are predicted and scored with the weights as they are."""
    plan, dataset, found = setting.plan, setting.dataset, setting.store.contents()
    sizes = {name: prod(found[name].prepared) for name in setting.split.validation}

    def score(name: str) -> None:
        score_whole(_predictor(plan, state), dataset.case(name), dataset.rule)

    rehearsal = Rehearsal(score, sizes, plan.schedule.seconds)
    rehearsal.begin()
    return rehearsal


def _pace(setting: Setting, state: TrainingState, clock: Clock, rehearsal: Rehearsal) -> Pace:
    """By steps or by the clock.

    Raises:
        PlanError: a new run has no time for anything but its validation.
    """
    plan = setting.plan
    if plan.schedule.steps is not None:
        return CountedPace(plan.schedule, state.knots, clock)
    kept = reserve(plan, rehearsal, len(setting.split.validation))
    if state.step == 0 and kept >= (plan.schedule.seconds or 0):
        raise PlanError(
            "The budget does not even suffice for the validation at the end",
            expected=f"more than {kept:.1f} s",
            got=f"{plan.schedule.seconds:.1f} s",
            fix="give a larger --budget, or more --folds (fewer cases validate then)",
        )
    guess = plan.forecast.step_seconds if plan.forecast else 1.0
    return TimedPace(plan.schedule, state.knots, clock, reserve=kept, guess=guess)


def _keep_reserve(setting: Setting, pace: Pace, rehearsal: Rehearsal, share: float) -> None:
    if isinstance(pace, TimedPace) and rehearsal.follow(share):
        pace.reserve = reserve(setting.plan, rehearsal, len(setting.split.validation))


def choose_device(options: TrainOptions) -> torch.device:
    """Where to train.

    Raises:
        InputError: CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise InputError(
            "There is no CUDA device", got="torch.cuda.is_available() is False", fix="--device cpu"
        )
    return torch.device("cuda" if available and options.device != "cpu" else "cpu")


def _predictor(plan: Plan, state: TrainingState) -> Predictor:
    options = PredictOptions(engine="torch", precision=plan.precision)  # no conversion for passing weights
    return Predictor(plan, [average_network(plan, state.average)], options)


def _finish(setting: Setting, state: TrainingState, clock: Clock, progress: Progress) -> None:
    """Validate, let the model learn what its own predictions are worth, and write it."""
    plan, dataset = setting.plan, setting.dataset
    scores: Scores | None = None
    learned = Learned()
    cases = setting.split.validation
    if cases:
        begin = time.monotonic()
        scores = validate(_predictor(plan, state), dataset, cases, setting.folder, progress)
        each = (time.monotonic() - begin) / len(cases)
        learned = _study(setting, state, clock, each, progress)
    weights = {name: tensor.detach().cpu() for name, tensor in state.average.items()}
    card = fold_card(setting, state, scores)
    if not any(line.startswith(GROWN) for line in state.story):  # its first steps saw other cases
        write_text_atomic(setting.folder.repeat, _repeatable(plan, state).to_json())
    Model(plan, (weights,), card.model_copy(update={"learned": learned})).save(setting.folder.model)


def _study(setting: Setting, state: TrainingState, clock: Clock, each: float, progress: Progress) -> Learned:
    """As many cases as the plan wishes, or in a budget as many as its rest suffices for."""
    plan, cases = setting.plan, setting.split.validation
    seconds = (state.schedule or plan.schedule).seconds
    end = None if seconds is None else seconds - CLOSING
    rest = Rest(clock, end, each, study_runs(plan))
    number = rest.cases(len(cases))
    if number == 0:
        return Learned()
    with progress.task("studying its predictions", number) as task:
        learned = study(plan, state.average, setting.dataset, cases[:number], task, enough=rest.enough)
    return learned if rest.begun >= FEWEST_STUDIED else Learned()


def _repeatable(plan: Plan, state: TrainingState) -> Plan:
    """The plan that gives the same weights again, whatever the clock says."""
    schedule = plan.schedule.model_copy(
        update={"seconds": None, "steps": state.step, "knots": tuple(state.knots)}
    )
    return plan.model_copy(update={"schedule": schedule})
