"""`train_fold`: from a dataset and a plan to the weights of one fold, and the model of all that are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calque.dataset import Dataset
from calque.errors import PlanError, TrainingError
from calque.io import write_text_atomic
from calque.model import Model
from calque.planning import Plan
from calque.planning.memory import keep_freed_memory
from calque.prediction import PredictOptions, Predictor
from calque.prediction.learned import Learned
from calque.preparation import prepare
from calque.progress import Progress
from calque.training.better import keep_earlier, weigh
from calque.training.ending import (
    CLOSING,
    FEWEST_STUDIED,
    Rehearsal,
    Rest,
    Validation,
    quick_cases,
    reserve,
    study_runs,
)
from calque.training.ensemble import ensemble, fold_card
from calque.training.finetune import transfer
from calque.training.first import First
from calque.training.grow import GROWN
from calque.training.keeper import Keeper
from calque.training.looks import Looks
from calque.training.options import TrainOptions
from calque.training.pace import Clock, CountedPace, Pace, TimedPace
from calque.training.partial import find_contents
from calque.training.recovery import Rescue, run_to_end
from calque.training.run import RunFolder
from calque.training.sampler import Sampler
from calque.training.setting import (
    Setting,
    check_fit,
    choose_device,
    choose_split,
    note_beginning,
    settle_options,
    settle_until,
)
from calque.training.state import TrainingState, fresh_state, load_state, save_state, tensors_of
from calque.training.track import open_tracker
from calque.training.until import Judge
from calque.training.validate import QuickValidator, average_network, score_whole, study, validate
from calque.training.watch import Watch

if TYPE_CHECKING:
    from calque.evaluation import Scores


Before = Callable[[Setting], First]
"""Makes the first stage of a cascade ready."""


def train_fold(  # noqa: PLR0913 - as `calque.train`, which says what they are
    dataset: Dataset,
    plan: Plan,
    run: Path | str,
    options: TrainOptions,
    clock: Clock,
    progress: Progress,
    *,
    start: Model | None = None,
    before: Before | None = None,
) -> Model:
    """Prepare, train one fold, validate it, and write `RUN/model.calque`: see `calque.train`.

    Args:
        dataset: with masks.
        plan: settled for this run.
        run: the folder to write to.
        options: fold, seed, resuming.
        clock: of the budget; it runs already.
        progress: shows preparation, training and validation.
        start: a model to begin with.
        before: of a cascade; called once the fold has its split.
    """
    folder = RunFolder(Path(run))
    check_fit(dataset, plan)
    store = prepare(dataset, plan, folder.prepared, progress=progress)
    options = settle_options(folder.fold(options.fold), options)
    split = choose_split(dataset, options, store)
    setting = Setting(dataset, plan, options, folder.fold(options.fold), split, store)
    if not setting.folder.model.exists():
        note_beginning(setting)
        if before is not None:
            setting = replace(setting, first=before(setting))
        state = _train_weights(setting, clock, progress, start)
        _finish(setting, state, clock, progress)
    model = ensemble(folder)
    model.save(folder.model)
    return model


def _train_weights(setting: Setting, clock: Clock, progress: Progress, start: Model | None) -> TrainingState:
    plan, options, folder = setting.plan, setting.options, setting.folder
    keep_freed_memory()
    state = fresh_state(plan, options.seed, choose_device(options))
    if options.resume and folder.checkpoint.exists():
        load_state(state, folder.checkpoint)
        clock.before += state.seconds
    elif options.resume and folder.history.exists():
        progress.say("No checkpoint was reached before: training begins again, with its own plan and seed")
    if state.schedule is not None:
        plan = plan.model_copy(update={"schedule": state.schedule})
        setting = replace(setting, plan=plan)
    rehearsal = _rehearsal(setting, state)
    pace = _pace(setting, state, clock, rehearsal)
    if start is not None and not folder.checkpoint.exists():
        _begin_with(start, setting, state, progress)
    contents = find_contents(setting.dataset, plan, setting.store)
    sampler = Sampler(setting.loader, setting.split.train, plan, options.seed, contents)
    looked = quick_cases(plan, rehearsal)
    keeper = Keeper(state, folder.checkpoint, options.checkpoint_seconds, progress.say)
    show = Looks(folder.looks, plan, keeper.attempt)
    quick = QuickValidator(setting.loader, setting.split.validation[:looked], plan, contents, show)
    rescue = Rescue(
        plan,
        options.seed,
        folder,
        lambda: _prepare_again(setting, progress),
    )
    with Watch(keeper, plan.labels, folder, quick, pace, progress) as watch:
        watch.tracker = open_tracker(options.track, folder.path)
        watch.follow(lambda share: _keep_reserve(setting, pace, rehearsal, share))
        until = settle_until(setting)
        if until is not None:
            watch.judge = Judge(until, state, pace)
        begun = state.step
        run_to_end(state, sampler, pace, rescue, watch)
        if isinstance(pace, TimedPace) and 0 < begun == state.step and pace.progress(begun) < 1:
            watch.event("No time was left for another step")
        pace.finish(state.step)
    if state.step == 0:
        kept = pace.reserve if isinstance(pace, TimedPace) else 0.0
        raise TrainingError(
            "The budget was spent before the first step",
            where=folder.path,
            got=f"{clock.seconds():.0f} s for all before, {kept:.0f} s kept for validation",
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


def _prepare_again(setting: Setting, progress: Progress) -> None:
    prepare(setting.dataset, setting.plan, setting.store.folder, progress=progress)


def _rehearsal(setting: Setting, state: TrainingState) -> Rehearsal:
    """Begun: whole validation cases are predicted and scored with the weights as they are."""
    plan, dataset, found = setting.plan, setting.dataset, setting.store.contents()
    sizes = {name: prod(found[name].prepared) for name in setting.split.validation}

    def score(name: str) -> None:
        score_whole(_predictor(setting, state), dataset.case(name), dataset.rule)

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
    kept = _reserve(setting, rehearsal)
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
        pace.reserve = _reserve(setting, rehearsal)


def _reserve(setting: Setting, rehearsal: Rehearsal) -> float:
    cases = len(setting.split.validation)
    return reserve(setting.plan, rehearsal, cases, study=setting.options.study)


def _predictor(setting: Setting, state: TrainingState) -> Predictor:
    plan, first = setting.plan, setting.first
    options = PredictOptions(engine="torch", precision=plan.precision)  # no conversion for passing weights
    network = average_network(plan, state.average)
    return Predictor(plan, [network], options, first=None if first is None else first.predictor)


def _finish(setting: Setting, state: TrainingState, clock: Clock, progress: Progress) -> None:
    """Validate, let the model learn what its own predictions are worth, and write it."""
    plan, dataset = setting.plan, setting.dataset
    scores: Scores | None = None
    learned = Learned()
    cases = setting.split.validation
    if cases:
        begin = time.monotonic()
        limit = Validation(clock, (state.schedule or plan.schedule).seconds)
        scores = validate(
            _predictor(setting, state), dataset, cases, setting.folder, progress, enough=limit.enough
        )
        done = len(scores.cases)
        each = (time.monotonic() - begin) / done
        if done < len(cases):
            state.story.append(f"The budget was spent: {done} of {len(cases)} validation cases were scored")
            progress.say(state.story[-1])
        learned = _study(setting, state, clock, each, progress)
    verdict = weigh(setting.folder, scores)
    if verdict is not None:
        state.story.append(verdict.sentence)
        progress.say(verdict.sentence)
    card = fold_card(setting, state, scores).model_copy(update={"learned": learned})
    if not any(line.startswith(GROWN) for line in state.story):  # its first steps saw other cases
        write_text_atomic(setting.folder.repeat, _repeatable(setting, state).to_json())
    weights = {name: tensor.detach().cpu() for name, tensor in state.average.items()}
    first = () if setting.first is None else setting.first.model.members
    model = Model(plan, (weights,), card, first)
    if verdict is not None and verdict.earlier:
        keep_earlier(setting.folder, model, verdict)
    else:
        model.save(setting.folder.model)


def _study(setting: Setting, state: TrainingState, clock: Clock, each: float, progress: Progress) -> Learned:
    """As many cases as the plan wishes, or in a budget as many as its rest suffices for."""
    plan, cases = setting.plan, setting.split.validation
    seconds = (state.schedule or plan.schedule).seconds
    end = None if seconds is None else seconds - CLOSING
    rest = Rest(clock, end, each, study_runs(plan))
    number = rest.cases(len(cases))
    if number == 0 or not setting.options.study:
        return Learned()
    with progress.task("studying its predictions", number) as task:
        learned = study(_predictor(setting, state), setting.dataset, cases[:number], task, enough=rest.enough)
    return learned if rest.begun >= FEWEST_STUDIED else Learned()


def _repeatable(setting: Setting, state: TrainingState) -> Plan:
    """The plan that gives the same weights again, whatever the clock says; of a cascade, in both stages."""
    length = {"seconds": None, "steps": state.step, "knots": tuple(state.knots)}
    changes: dict[str, Any] = {"schedule": setting.plan.schedule.model_copy(update=length)}
    if setting.first is not None:
        changes["halves"] = setting.first.schedules
    return setting.plan.model_copy(update=changes)
