"""The verbs prepare (check, plan, prepare) and train (the same, then train and validate)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from calque.cli.beginning import Fit, Length, Planned, Source, begin_run, prepare_run, show_result, usable
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
from calque.cli.grouping import grouped
from calque.cli.options import (
    Budget,
    DataFolder,
    Holdout,
    Json,
    Patients,
    SkipBad,
    Steps,
    Wanted,
)
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.planning import Wishes


@dataclass(frozen=True)
class Planning:
    """How long, or a plan that was made before."""

    budget: Budget = None
    steps: Steps = None
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="A plan, in place of a new one.")
    ] = None

    def planned(self, wishes: Wishes, start: Path | None) -> Planned:
        """Where the plan comes from; what contradicts itself is refused."""
        asked = bool(self.budget or self.steps) or wishes.decided
        if self.plan_file is not None and asked:
            raise typer.BadParameter("--plan holds what these options say; give one or the other")
        if start is not None and (self.plan_file or wishes.decided):
            raise typer.BadParameter(
                "the model has a plan: give only --budget or --steps", param_hint="--from"
            )
        return Planned(self.plan_file, Length(self.budget, self.steps), wishes, start, asked)


@dataclass(frozen=True)
class Folds:
    """Which cases validate, and what comes after."""

    fold: Annotated[
        str | None, typer.Option(metavar="K|all", help="Which fold validates, by default 0; all: none does.")
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Without --fold: cross-validation, in one budget. Else patients are dealt in 5."
        ),
    ] = None
    refit: Annotated[
        bool, typer.Option("--refit", help="After cross-validation, one network trained on every case.")
    ] = False

    @property
    def number(self) -> int | Literal["all"]:
        """Of the fold that validates."""
        text = self.fold or "0"
        if text == "all":
            return "all"
        if not text.isdigit():
            raise typer.BadParameter(f"{text!r} is neither the number of a fold nor all", param_hint="--fold")
        return int(text)

    @property
    def crossed(self) -> bool:
        """Whether every fold is trained."""
        crossed = self.folds is not None and self.fold is None
        if self.refit and not crossed:
            raise typer.BadParameter("--refit follows a cross-validation: give --folds, and no --fold")
        return crossed


@dataclass(frozen=True)
class Sitting:
    """Where a run begins, and what makes it go on or end."""

    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL|RUN",
            help="Fine-tune: begin with this model's plan and weights. With --extend: the run that goes on.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="With --steps, the same seed gives the same weights.")] = 0
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in RUN.")] = False
    until: WantedUntil = None
    more: WantedMore = None
    add: AddFolder = None

    @property
    def extends(self) -> bool:
        """Whether a finished run goes on."""
        return self.more is not None or self.add is not None


@dataclass(frozen=True)
class Cases:
    """Which cases train."""

    skip_bad: SkipBad = False
    holdout: Holdout = None
    track: Annotated[
        str | None,
        typer.Option(metavar="tensorboard|mlflow", help="Curves for other tools too, in the run's folder."),
    ] = None
    patients: Patients = None


@grouped
def prepare(
    data: DataFolder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run.")],
    *,
    planning: Planning,
    wanted: Wanted,
    skip_bad: SkipBad = False,
    holdout: Holdout = None,
    patients: Patients = None,
    json: Json = None,
) -> None:
    """Check, plan and prepare, so that training can begin. Writes RUN/plan.json and RUN/prepared.

    [dim]Example: calque prepare scans/ -o runs/liver --steps 1000[/dim]
    [dim]Then, after a look at the plan: calque train scans/ -o runs/liver[/dim]
    """
    planned = planning.planned(wanted.wishes, None)
    prepare_run(Source(data, patients, holdout, skip_bad), planned, output, Screen(json))


@grouped
def train(
    data: MaybeData = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run.")
    ] = None,
    *,
    planning: Planning,
    wanted: Wanted,
    folds: Folds,
    sitting: Sitting,
    cases: Cases,
    json: Json = None,
) -> None:
    """Train a model: check, plan, prepare, train, validate. Writes RUN/model.calque.

    [dim]Example: calque train scans/ -o runs/liver --budget 30m[/dim]
    [dim]Longer, with more cases: calque train --from runs/liver --add new_scans/ --extend 1h[/dim]
    """
    started = time.monotonic() - time.process_time()  # starting Python counts, too
    if sitting.extends:
        require_alone(output, planning.plan_file, sitting.until, sitting.resume)
        more = parse_more(sitting.more, planning.budget, planning.steps)
        growth = Growth(sitting.start, more, sitting.add, cases.patients, folds.number, sitting.seed, data)
        checked = partial(usable, skip_bad=cases.skip_bad)
        extend_run(growth, Screen(json), started, checked, show_result)
        return
    data, output = require_both(data, output)
    crossed, planned = folds.crossed, planning.planned(wanted.wishes, sitting.start)

    from calque.training import TrainOptions

    told: dict[str, Any] = {"until": parse_until(sitting.until), "track": cases.track}
    kept = {"seed": sitting.seed, "resume": sitting.resume}
    options = TrainOptions(fold=folds.number, folds=folds.folds or 5, **kept, **told)
    source = Source(data, cases.patients, cases.holdout, cases.skip_bad)
    begin_run(source, planned, Fit(output, options, crossed, folds.refit), Screen(json), started)
