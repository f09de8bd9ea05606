"""The verb compare: several models on the same truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.grouping import grouped
from calque.cli.options import Json, Workers
from calque.cli.scores import (
    Groups,
    Interval,
    LesionIou,
    Metrics,
    Resample,
    Tolerance,
    count,
    figure,
    metric_names,
    parse_tolerance,
    warn_few,
)
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.evaluation import Comparison, Rules, Scores


@dataclass(frozen=True)
class Page:
    """The report."""

    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A report as HTML.")
    ] = None
    names: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Of the models, by comma; else their folders'.")
    ] = None
    lang: Annotated[str, typer.Option(help="Of the report: en or fr.")] = "en"

    def write(self, screen: Screen, found: Comparison, pdf: bool) -> None:
        """Where it was asked for."""
        from calque.reporting import print_pdf, report_comparison

        if self.output is not None:
            report_comparison(found, self.output, lang=self.lang)
            printed = print_pdf(self.output) if pdf else None
            screen.say(f"Report: {self.output}" + (f" and {printed}" if printed else ""))


@dataclass(frozen=True)
class Scored:
    """How folders of masks are scored."""

    metrics: Metrics = "dice,nsd,hd95,volume_predicted_ml,volume_truth_ml,volume_error_ml"
    tolerance: Tolerance = "1.0"
    lesion_iou: LesionIou = 0.5
    resample: Resample = False
    groups: Groups = None

    def rules(self) -> Rules:
        """As `evaluate` takes them."""
        from calque.evaluation import Rules

        return Rules(
            metric_names(self.metrics), parse_tolerance(self.tolerance), self.lesion_iou, self.resample
        )


@grouped
def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="A B ... TRUTH", help="Folders of masks, the truth last; or scores as JSON."),
    ],
    page: Page,
    scored: Scored,
    interval: Annotated[
        Interval | None, typer.Option(help="How intervals are made; by default as evaluate does.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also the report as PDF, by Chromium or Chrome.")
    ] = False,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Compare models: paired differences with intervals and tests, ranks and how firm they are, volumes.

    Exit code 1 if some model did not score a case that another did, or that the truth has.

    [dim]Example: calque compare ours/ theirs/ labelsTs/ -o comparison.html[/dim]
    """
    from calque.errors import InputError
    from calque.evaluation import Scores, evaluate
    from calque.evaluation import compare as compare_scores
    from calque.evaluation.scores import Bootstrap

    screen = Screen(json)
    if pdf and page.output is None:
        raise InputError("A PDF is printed from the report", fix="give -o FILE")
    ready = all(path.suffix == ".json" for path in paths)
    if ready and scored.groups is not None:
        raise InputError(
            "Scores as JSON know their patients", got=scored.groups, fix="evaluate with --groups"
        )
    how = None if interval is None else Bootstrap(method=interval)
    models: dict[str, Scores] = {}
    for name, path in zip(_names(paths if ready else paths[:-1], page.names), paths, strict=False):
        models[name] = (
            Scores.read(path)
            if ready
            else evaluate(
                path,
                paths[-1],
                scored.rules(),
                groups=scored.groups,
                bootstrap=how,
                workers=workers,
                progress=screen.progress,
            )
        )
    found = compare_scores(models, how)
    show_comparison(screen, found)
    page.write(screen, found, pdf)
    screen.json(found)
    if found.left_out or not all(scores.complete for scores in found.scores.values()):
        raise typer.Exit(1)


def _names(paths: list[Path], given: str | None) -> list[str]:
    """Of the models: given, or the last parts of their paths that tell them apart."""
    from calque.errors import InputError

    if given is not None:
        names = [part.strip() for part in given.split(",")]
        if len(names) != len(paths) or len(set(names)) != len(names):
            raise InputError("Give each model one name", expected=f"{len(paths)} different names", got=given)
        return names
    for depth in range(1, 1 + max((len(path.resolve().parts) for path in paths), default=0)):
        names = ["/".join(path.resolve().with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError("A model stands twice in this comparison", got=", ".join(map(str, paths)))


def show_comparison(screen: Screen, found: Comparison) -> None:
    """Ranks and differences of the mean of classes; JSON holds every class."""
    ranks = [rank for rank in found.ranks if rank.target == "" and rank.mean is not None]
    screen.table(
        f"{count(found.cases)} that every model scored: mean of classes",
        ("metric", "model", "n", "mean", "rank", "first in resamples"),
        [
            (
                _name(r.metric),
                r.model,
                r.n,
                figure(r.metric, r.mean or 0.0),
                f"{r.rank:g}",
                f"{100 * r.shares[0]:.0f} %",
            )
            for r in ranks
        ],
    )
    level = round(100 * found.bootstrap.level)
    screen.table(
        "Paired differences: Wilcoxon signed rank by patient, Holm's correction",
        ("metric", "difference", "n", f"mean [{level} % interval]", "p", "p corrected"),
        [
            (
                _name(d.metric),
                f"{d.first} - {d.second}",
                d.n,
                f"{figure(d.metric, d.mean)} [{figure(d.metric, d.low)}, {figure(d.metric, d.high)}]",
                "-" if d.p is None else f"{d.p:.2g}",
                "-" if d.p_holm is None else f"{d.p_holm:.2g}",
            )
            for d in found.differences
            if d.target == "" and d.mean is not None and d.low is not None and d.high is not None
        ],
    )
    warn_few(screen, found)
    if found.left_out:
        screen.say(f"left out, not scored by every model: {', '.join(found.left_out)}")


def _name(metric: str) -> str:
    """Errors with a sign are compared by their size."""
    from calque.evaluation import metric_named

    return f"|{metric}|" if metric_named(metric).better == "zero" else metric
