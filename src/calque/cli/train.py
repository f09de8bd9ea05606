"""The verb train: check, plan, prepare, train, validate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from calque.cli.beginning import Fit, Length, Planned, Source, begin_run, show_result, usable
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


def train(
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
            growth, Screen(json), started, lambda fresh, seen: usable(fresh, seen, skip_bad), show_result
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

    from calque.training import TrainOptions

    told: dict[str, Any] = {"until": parse_until(until), "track": track}
    options = TrainOptions(fold=number, folds=folds or 5, seed=seed, resume=resume, **told)
    source = Source(data, patients, holdout, skip_bad)
    planned = Planned(plan_file, Length(budget, steps, memory), wishes, start, asked)
    begin_run(source, planned, Fit(output, options, crossed, refit), Screen(json), started)


def _require_one_plan(*, twice: bool, beside_model: bool) -> None:
    if twice:
        raise typer.BadParameter("--plan holds what these options say; give one or the other")
    if beside_model:
        raise typer.BadParameter("the model has a plan: give only --budget or --steps", param_hint="--from")


def _parse_fold(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdigit():
        raise typer.BadParameter(f"{text!r} is neither the number of a fold nor all", param_hint="--fold")
    return int(text)
