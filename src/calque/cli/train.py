"""The verb train: check, plan, prepare, train, validate."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from calque.cli.data import describe, show_findings, show_plan
from calque.cli.extending import (
    AddFolder,
    Growth,
    MaybeData,
    WantedMore,
    WantedUntil,
    extend_run,
    parse_more,
    parse_until,
    require_alone,
    require_both,
    require_class,
)
from calque.cli.options import (
    Budget,
    ClassWeights,
    Json,
    Kind,
    LossName,
    Memory,
    Network,
    NetworkOptions,
    Outputs,
    Patients,
    Steps,
    parse_wishes,
)
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.dataset import CheckReport, Dataset
    from calque.model import Card, Model
    from calque.planning import Plan, Wishes
    from calque.training.run import RunFolder


def train(  # noqa: PLR0915 - one line for each thing that it does, in their order
    data: MaybeData = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run.")
    ] = None,
    budget: Budget = None,
    steps: Steps = None,
    memory: Memory = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="A plan, in place of a new one.")
    ] = None,
    kind: Kind = None,
    outputs: Outputs = "classes",
    loss: LossName = None,
    class_weights: ClassWeights = None,
    network: Network = None,
    network_options: NetworkOptions = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K|all", help="Which fold validates, by default 0; all: none does.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Without --fold: cross-validation, in one budget. Else patients are dealt in 5."
        ),
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="After cross-validation, one network trained on every case.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL|RUN",
            help="Fine-tune: begin with this model's plan and weights. With --extend: the run that goes on.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --steps, the same seed gives the same weights.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in RUN.")] = False,
    until: WantedUntil = None,
    more: WantedMore = None,
    add: AddFolder = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out cases that fail the check.")
    ] = False,
    holdout: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Names of cases or patients, one a line, that training must not see."
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(metavar="tensorboard|mlflow", help="Curves for other tools too, in the run's folder."),
    ] = None,
    patients: Patients = None,
    json: Json = None,
) -> None:
    """Train a model: check, plan, prepare, train, validate. Writes RUN/model.calque.

    [dim]Example: calque train scans/ -o runs/liver --budget 30m[/dim]
    [dim]Longer, with more cases: calque train --from runs/liver --add new_scans/ --extend 1h[/dim]
    """
    started = time.monotonic()
    number = _parse_fold(fold or "0")
    if more is not None or add is not None:
        require_alone(data, output, plan_file, until, resume)
        growth = Growth(start, parse_more(more, budget, steps), add, patients, number, seed)
        extend_run(
            growth, Screen(json), started, lambda fresh, seen: _usable(fresh, seen, skip_bad), show_result
        )
        return
    data, output = require_both(data, output)
    crossed = folds is not None and fold is None
    if refit and not crossed:
        raise typer.BadParameter("--refit follows a cross-validation: give --folds, and no --fold")
    wishes = parse_wishes(kind, outputs, loss, class_weights, network, network_options)
    asked = bool(budget or steps or memory) or wishes.decided
    beside_model = start is not None and bool(plan_file or memory or wishes.decided)
    _require_one_plan(twice=plan_file is not None and asked, beside_model=beside_model)

    from calque.dataset import check, open_dataset
    from calque.io import write_text_atomic
    from calque.model import Model
    from calque.training import TrainOptions, cross_validate, plan_finetuning, require_free
    from calque.training import train as train_dataset
    from calque.training.run import RunFolder

    screen = Screen(json)
    run = RunFolder(output)
    told: dict[str, Any] = {"until": parse_until(until), "track": track}
    options = TrainOptions(fold=number, folds=folds or 5, seed=seed, resume=resume, **told)
    require_free(output, options)
    dataset = open_dataset(data, patients)
    dataset = dataset if holdout is None else _without(dataset, holdout)
    require_class(options.until, dataset)
    describe(screen, dataset)
    found = check(dataset, progress=screen.progress)
    show_findings(screen, found)
    dataset = _usable(dataset, found, skip_bad)
    length = Length(budget, steps, memory).shared(options.folds + refit if crossed else 1)
    # a further fold follows the plan of the folds that are there, unless something else is asked for
    follows = run.plan.exists() and (resume or not (plan_file or asked))
    begin = None if start is None else Model.load(start)
    if begin is None or follows:
        plan = _plan(dataset, run.plan if follows else plan_file, length, wishes, screen)
    else:
        plan = plan_finetuning(dataset, begin, **length.time(), progress=screen.progress)
    show_plan(screen, plan)
    options = options.model_copy(update={"spent": time.monotonic() - started})
    fit = partial(cross_validate, refit=refit) if crossed else train_dataset
    model = fit(dataset, plan, output, options, progress=screen.progress, start=begin)
    write_text_atomic(run.check, found.to_json())  # not before: the folder might be another run's
    show_result(screen, run, run.scores if crossed else run.fold(number).scores, model)


def _require_one_plan(*, twice: bool, beside_model: bool) -> None:
    if twice:
        raise typer.BadParameter("--plan holds what these options say; give one or the other")
    if beside_model:
        raise typer.BadParameter("the model has a plan: give only --budget or --steps", param_hint="--from")


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


class Length(NamedTuple):
    """How long to train, and in how much memory."""

    budget: float | None
    steps: int | None
    memory: int | None

    def time(self) -> dict[str, Any]:
        """Arguments that say how long."""
        return {"budget": self.budget, "steps": self.steps}

    def shared(self, parts: int) -> Length:
        """Of one of several trainings in one budget."""
        from calque.planning.planner import DEFAULT_BUDGET

        if parts == 1 or self.steps is not None:
            return self
        return self._replace(budget=(self.budget or DEFAULT_BUDGET) / parts)


def _plan(dataset: Dataset, kept: Path | None, length: Length, wishes: Wishes, screen: Screen) -> Plan:
    """The plan in the file `kept`, else a new one."""
    from calque.errors import PlanError
    from calque.planning import Plan
    from calque.planning import plan as make_plan

    if kept is not None:
        return Plan.read(kept, error=PlanError)
    return make_plan(dataset, **length._asdict(), wishes=wishes, progress=screen.progress)


def _parse_fold(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdigit():
        raise typer.BadParameter(f"{text!r} is neither the number of a fold nor all", param_hint="--fold")
    return int(text)


def _usable(dataset: Dataset, found: CheckReport, skip_bad: bool) -> Dataset:
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
