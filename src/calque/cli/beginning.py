"""What the verbs train and prepare do for a new run: check, plan, prepare; then train, show."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from calque.cli.data import describe, show_findings, show_plan
from calque.cli.extending import require_class
from calque.cli.options import cache_folder
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.dataset import CheckReport, Dataset
    from calque.model import Card, Model
    from calque.planning import Plan, Wishes
    from calque.training import TrainOptions, Until
    from calque.training.run import RunFolder


class Source(NamedTuple):
    """Which cases train: a folder, how it names patients, who is held out, whether bad ones are left out."""

    data: Path
    patients: str | None
    holdout: Path | None
    skip_bad: bool


class Length(NamedTuple):
    """How long to train."""

    budget: float | None
    steps: int | None

    def shared(self, parts: int) -> Length:
        """Of one of several trainings in one budget."""
        from calque.planning.planner import DEFAULT_BUDGET

        if parts == 1 or self.steps is not None:
            return self
        return self._replace(budget=(self.budget or DEFAULT_BUDGET) / parts)


class Planned(NamedTuple):
    """Where the plan comes from: a file, a length and wishes, or a model; `asked`: whether anything was."""

    file: Path | None
    length: Length
    wishes: Wishes
    start: Path | None
    asked: bool


class Fit(NamedTuple):
    """Where and how it is trained; `crossed`: every fold, then with `refit` once more on every case."""

    output: Path
    options: TrainOptions
    crossed: bool
    refit: bool


def begin_run(source: Source, planned: Planned, fit: Fit, screen: Screen, started: float) -> None:
    """Check, plan, prepare, train, validate; `started`: when the clock of the budget began."""
    from calque.io import keep_volumes, write_text_atomic
    from calque.model import Model
    from calque.training import cross_validate, require_free, require_tracker, train
    from calque.training.run import RunFolder

    run, options = RunFolder(fit.output), fit.options
    require_free(fit.output, options)
    require_tracker(options.track)
    with keep_volumes():
        dataset, found = _look_through(source, screen, options.until)
        begin = None if planned.start is None else Model.load(planned.start)
        plan = _settle(dataset, planned, fit, begin, screen)
    show_plan(screen, plan)
    options = options.model_copy(update={"spent": time.monotonic() - started})
    learn = partial(cross_validate, refit=fit.refit) if fit.crossed else train
    model = learn(dataset, plan, fit.output, options, progress=screen.progress, start=begin)
    write_text_atomic(run.check, found.to_json())  # not before: the folder might be another run's
    show_result(screen, run, run.scores if fit.crossed else run.fold(options.fold).scores, model)


def prepare_run(source: Source, planned: Planned, output: Path, screen: Screen) -> None:
    """Check, plan and prepare: all that training begins with."""
    from calque.io import keep_volumes, write_text_atomic
    from calque.preparation import prepare
    from calque.training import TrainOptions, require_free
    from calque.training.run import RunFolder

    run = RunFolder(output)
    require_free(output, TrainOptions())
    follows = run.plan.exists() and not (planned.file or planned.asked)
    kept = run.plan if follows else planned.file
    with keep_volumes():
        dataset, found = _look_through(source, screen)
        plan = _plan(dataset, kept, planned.length, planned.wishes, screen)
        show_plan(screen, plan)
        store = prepare(dataset, plan, run.prepared, progress=screen.progress)
    write_text_atomic(run.plan, plan.to_json())
    write_text_atomic(run.check, found.to_json())
    screen.say(f"Prepared: {len(store.cases)} cases. Next: calque train {source.data} -o {output}")
    screen.json({"plan": run.plan, "prepared": run.prepared, "cases": store.cases})


def _look_through(source: Source, screen: Screen, until: Until | None = None) -> tuple[Dataset, CheckReport]:
    """Open and check a data set; without its bad and held-out cases."""
    from calque.dataset import check, open_dataset

    dataset = open_dataset(source.data, source.patients)
    dataset = dataset if source.holdout is None else _without(dataset, source.holdout)
    require_class(until, dataset)
    describe(screen, dataset)
    found = check(dataset, progress=screen.progress)
    show_findings(screen, found)
    return usable(dataset, found, source.skip_bad), found


def _settle(dataset: Dataset, planned: Planned, fit: Fit, begin: Model | None, screen: Screen) -> Plan:
    from calque.training import plan_finetuning
    from calque.training.run import RunFolder

    kept = RunFolder(fit.output).plan
    length = planned.length.shared(fit.options.folds + fit.refit if fit.crossed else 1)
    # a further fold follows the plan of the folds that are there, unless something else is asked for
    follows = kept.exists() and (fit.options.resume or not (planned.file or planned.asked))
    if begin is None or follows:
        return _plan(dataset, kept if follows else planned.file, length, planned.wishes, screen)
    return plan_finetuning(dataset, begin, **length._asdict(), progress=screen.progress)


def _plan(dataset: Dataset, kept: Path | None, length: Length, wishes: Wishes, screen: Screen) -> Plan:
    """The plan in the file `kept`, else a new one."""
    from calque.errors import PlanError
    from calque.planning import Plan, Timing
    from calque.planning import plan as make_plan

    if kept is not None:
        return Plan.read(kept, error=PlanError)
    timing = Timing(cache=cache_folder(None))
    return make_plan(dataset, **length._asdict(), wishes=wishes, timing=timing, progress=screen.progress)


def show_result(screen: Screen, run: RunFolder, scores: Path, model: Model) -> None:
    """Where everything lies, how good it is, what comes next."""
    screen.say(f"Model: {run.model}")
    if scores.exists():
        screen.say(f"Scores of validation: {scores}")
        show_card(screen, model.card)
    else:
        screen.say("No case was kept for validation: nobody has measured how good it is.")
    screen.say(f"Next: calque report {run.path} -o report.html; calque predict {run.model} SCANS -o OUT")
    screen.json(
        {
            "model": run.model,
            "scores": scores if scores.exists() else None,
            "card": model.card,
        }
    )


def show_card(screen: Screen, card: Card) -> None:
    """Mean validation scores with their intervals."""
    rows = [
        (name, f"{value:.3f}", " to ".join(f"{end:.3f}" for end in card.intervals.get(name, ())))
        for name, value in card.scores.items()
    ]
    screen.table(f"Validation on {card.validated} cases", ("score", "mean", "95 % interval"), rows)


def usable(dataset: Dataset, found: CheckReport, skip_bad: bool) -> Dataset:
    """The data set without cases that fail the check; refused unless the user agreed to that."""
    from calque.errors import DatasetError

    bad = found.failing
    general = [f"{finding.what}: {finding.got}" for finding in found.errors if finding.case is None]
    if general or (bad and not skip_bad):
        raise DatasetError(
            "The data set has faults that training must not learn from",
            where=dataset.root,
            got="; ".join(general) or f"{len(bad)} cases: {', '.join(bad[:10])}",
            fix="mend them, or leave these cases out with --skip-bad; calque check lists them all",
        )
    return dataset.only(case.id for case in dataset.cases if case.id not in bad)


def _without(dataset: Dataset, holdout: Path) -> Dataset:
    """The data set without the cases or patients that the file names."""
    from calque.errors import InputError

    try:
        names = {line.strip() for line in holdout.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError("The file of held-out cases cannot be read", where=holdout, got=problem) from None
    unknown = names - {case.id for case in dataset.cases} - {case.patient for case in dataset.cases}
    if unknown:
        raise InputError("These are neither cases nor patients", where=holdout, got=sorted(unknown)[:10])
    return dataset.only(c.id for c in dataset.cases if c.id not in names and c.patient not in names)
