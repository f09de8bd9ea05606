"""Verbs on figures: evaluate, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.evaluation import Scores

MAIN_METRICS = ("dice", "iou", "hd95", "nsd", "volume_error_ml")

_CASES_SHOWN = 10


def evaluate(
    predicted: Annotated[Path, typer.Argument(metavar="PRED", help="A folder of masks, or one mask.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="The same, with the same names.")],
    metrics: Annotated[
        str | None, typer.Option(metavar="NAMES", help="By comma: dice,iou,hd95,nsd,volume_error_ml ...")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="MM", min=0, help="For the normalised surface distance.")
    ] = 1.0,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row for each case and class.")
    ] = None,
    json: Json = None,
) -> None:
    """Score predicted masks against true ones. Exit code 1 if a case is missing or cannot be scored.

    [dim]Example: calque evaluate predicted/ labelsTs/ --csv scores.csv[/dim]
    """
    from calque.evaluation import DEFAULT, write_csv
    from calque.evaluation import evaluate as evaluate_masks

    screen = Screen(json)
    names = DEFAULT if metrics is None else tuple(part.strip() for part in metrics.split(","))
    scores = evaluate_masks(predicted, truth, metrics=names, tolerance_mm=tolerance, progress=screen.progress)
    show_scores(screen, scores, MAIN_METRICS if metrics is None else names)
    if csv is not None:
        write_csv(scores, csv)
    screen.json(scores)
    if scores.findings.missing or scores.findings.failed:
        raise typer.Exit(1)


def report(
    source: Annotated[Path, typer.Argument(metavar="RUN|SCORES", help="A run, or scores as JSON.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML file.")],
    lang: Annotated[str, typer.Option(help="en or fr.")] = "en",
    truth: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With SCORES: true masks, for pictures.")
    ] = None,
    predicted: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With SCORES: predicted masks.")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="FOLDER", help="With SCORES: scans.")] = None,
) -> None:
    """Write one HTML file with curves, tables and pictures of the best, median and worst case.

    [dim]Example: calque report runs/liver -o report.html --lang fr[/dim]
    """
    from calque.reporting import report as write_report

    screen = Screen()
    with screen.progress.task("report"):
        write_report(source, output, lang=lang, truth=truth, predicted=predicted, images=images)
    screen.say(f"Report: {output}")


def show_scores(screen: Screen, scores: Scores, metrics: Sequence[str] = MAIN_METRICS) -> None:
    """A table of means with intervals, and what was not scored; JSON and CSV hold all metrics."""
    shown = [metric for metric in metrics if metric in scores.metrics] or scores.metrics
    summaries = scores.summaries | {"mean of classes": scores.foreground}
    rows = [(name, *(_figure(by_metric.get(m)) for m in shown)) for name, by_metric in summaries.items()]
    level = round(100 * scores.bootstrap.level)
    screen.table(
        f"{len(scores.cases)} cases: mean [{level} % interval, bootstrap by patient]",
        ("class", *shown),
        rows,
    )
    findings = scores.findings
    for what, cases in (("no prediction for", findings.missing), ("no truth for", findings.unexpected)):
        if cases:
            more = ", ..." if len(cases) > _CASES_SHOWN else ""
            screen.say(f"{what} {len(cases)} cases: {', '.join(cases[:_CASES_SHOWN])}{more}")
    for failure in findings.failed:
        screen.say(f"not scored: {failure.case}: {failure.error}")


def _figure(summary: object) -> str:
    from calque.evaluation.scores import Summary

    if not isinstance(summary, Summary) or summary.mean is None:
        return "-"
    if summary.low is None or summary.high is None:
        return _number(summary.mean)
    return f"{_number(summary.mean)} [{_number(summary.low)}, {_number(summary.high)}]"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"
