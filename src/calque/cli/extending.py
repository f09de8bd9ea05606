"""The options of train that end a run early or make it longer, and what they do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from calque.cli.data import describe, show_findings
from calque.cli.options import parse_duration
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.dataset import CheckReport, Dataset
    from calque.model import Model
    from calque.training import More, Until
    from calque.training.run import RunFolder

MaybeData = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        help="Folder of the data set; with --extend only where it has moved.",
        show_default=False,
    ),
]
WantedUntil = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="CONDITION",
        help='End sooner: at "dice 0.88", "dice CLASS 0.9", or when the curve is "flat".',
    ),
]
WantedMore = Annotated[
    str | None, typer.Option("--extend", metavar="TIME", help="How much longer: 1h, or 500steps.")
]
AddFolder = Annotated[
    Path | None, typer.Option("--add", metavar="FOLDER", help="New cases that join the run's data set.")
]


class Growth(NamedTuple):
    """How a run is to go on."""

    run: Path | None
    more: More
    add: Path | None
    patients: str | None
    fold: int | Literal["all"]
    seed: int
    data: Path | None = None


def require_alone(*given: object) -> None:
    """Refuse options that a run which goes on has already."""
    if any(given):
        raise typer.BadParameter(
            "a run that goes on has its folder and its plan: "
            "with --extend there is no -o, --plan, --until or --resume"
        )


def require_both(data: Path | None, output: Path | None) -> tuple[Path, Path]:
    """What a new run needs."""
    if data is None or output is None:
        raise typer.BadParameter("give the folder of the data set and -o RUN, or --from RUN to extend a run")
    return data, output


def require_class(until: Until | None, dataset: Dataset) -> None:
    """Refuse a condition on a class that there is not, before time is spent."""
    if until is not None:
        until.require_label(dataset.labels.names)


def extend_run(
    growth: Growth,
    screen: Screen,
    started: float,
    usable: Callable[[Dataset, CheckReport], Dataset],
    show: Callable[[Screen, RunFolder, Path, Model], None],
) -> None:
    """The verb train with --from: check what is new, train on, show the result."""
    if growth.run is None:
        raise typer.BadParameter("say which run goes on: --from RUN")

    from calque.dataset import check, open_dataset
    from calque.training import TrainOptions, extend
    from calque.training.run import RunFolder

    fresh: Dataset | None = None
    if growth.add is not None:
        fresh = open_dataset(growth.add, growth.patients)
        describe(screen, fresh)
        found = check(fresh, progress=screen.progress)
        show_findings(screen, found)
        fresh = usable(fresh, found)
    options = TrainOptions(fold=growth.fold, seed=growth.seed, spent=time.monotonic() - started)
    moved = None if growth.data is None else open_dataset(growth.data, growth.patients)
    model = extend(growth.run, growth.more, fresh, options, screen.progress, moved)
    run = RunFolder(growth.run)
    show(screen, run, run.fold(growth.fold).scores, model)


def parse_more(text: str | None, budget: float | None, steps: int | None) -> More:
    """How much longer: --extend 1h, --extend 500steps, or --budget and --steps."""
    from calque.training import More

    if sum(given is not None for given in (text, budget, steps)) != 1:
        raise typer.BadParameter("say how much longer, in one way: --extend 1h")
    if text is None:
        return More(seconds=budget, steps=steps)
    counted = re.fullmatch(r"(\d+)\s*steps?", text.strip())
    if counted and int(counted[1]) > 0:
        return More(steps=int(counted[1]))
    return More(seconds=parse_duration(text))


def parse_until(text: str | None) -> Until | None:
    """The condition, if there is one."""
    from calque.training import Until

    return None if text is None else Until.parse(text)
