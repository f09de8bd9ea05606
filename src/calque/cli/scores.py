"""Verbs on figures: evaluate, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.grouping import grouped
from calque.cli.labels import rule_of
from calque.cli.options import Json, Workers
from calque.cli.screen import Screen
from calque.cli.structures import LabelsOf, Priority, Structures, names_of

if TYPE_CHECKING:
    from calque.evaluation import Comparison, Rules, Scores
    from calque.evaluation.scores import Summary
    from calque.labels import Labels

MAIN_METRICS = ("dice", "iou", "hd95", "nsd", "volume_error_ml")

_CASES_SHOWN = 10

Interval = Literal["hall", "percentile", "bca", "bca_expanded"]


def parse_tolerance(text: str) -> float | Mapping[str, float]:
    """Millimetres of "1.5", or by class of "liver=2,lesion=0.5"."""
    try:
        if "=" not in text:
            return float(text)
        pairs = (part.rpartition("=") for part in text.split(","))
        return {name.strip(): float(mm) for name, _, mm in pairs}
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not millimetres such as 1.5, or liver=2,lesion=0.5") from None


Metrics = Annotated[
    str | None, typer.Option(metavar="NAMES", help="By comma: dice,iou,hd95,hd90,nsd,cldice ...")
]
Tolerance = Annotated[
    str, typer.Option(metavar="MM", help="Of NSD and boundary IoU: 1.5, or by class: liver=2,lesion=0.5.")
]
LesionIou = Annotated[
    float, typer.Option("--lesion-iou", min=0, max=0.999, metavar="SHARE", help="Objects match above it.")
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Bring predictions on other grids onto the truth's; else an error.")
]
Groups = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV: case or patient; annotated; subgroups by other columns."),
]


@dataclass(frozen=True)
class Measured:
    """What is measured."""

    metrics: Metrics = None
    tolerance: Tolerance = "1.0"
    lesion_iou: LesionIou = 0.5
    resample: Resample = False
    probabilities: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of CASE_probabilities.npy (predict) or nnU-Net's CASE.npz."),
    ] = None


@dataclass(frozen=True)
class Understood:
    """What masks mean, and where they lie."""

    structures: Structures = None
    priority: Priority = None
    labels: LabelsOf = None
    reference: Annotated[
        Path | None,
        typer.Option(metavar="SERIES", help="Of SEG or RTSTRUCT: the series below here; else beside them."),
    ] = None

    def known(self, rules: Rules) -> tuple[Labels | None, Rules]:
        """The labels of a model or a data set, and the rules with what its masks store."""
        rules = replace(
            rules,
            structures=names_of(self.structures),
            priority=names_of(self.priority),
            reference=self.reference,
        )
        if self.labels is None:
            return None, rules
        labels, own = rule_of(self.labels)
        return labels, replace(rules, coding=own.coding, priority=rules.priority or own.priority)


@dataclass(frozen=True)
class Paired:
    """Which masks belong together, and to whom."""

    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV: case, predicted, truth (image); in place of equal names."),
    ] = None
    groups: Groups = None


@grouped
def evaluate(
    predicted: Annotated[Path, typer.Argument(metavar="PRED", help="A folder of masks, or one mask.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="The same, with the same names.")],
    measured: Measured,
    understood: Understood,
    paired: Paired,
    interval: Annotated[
        Interval, typer.Option(help="Of means, by patient: Student's t after Hall, or bootstraps.")
    ] = "hall",
    workers: Workers = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row for each case and class.")
    ] = None,
    json: Json = None,
) -> None:
    """Score predicted masks against true ones, whatever made them, in any format that Calque reads.

    Exit code 1 if a case is missing, unexpected or cannot be scored.

    [dim]Example: calque evaluate predicted/ labelsTs/ --groups patients.csv --csv scores.csv[/dim]

    [dim]DICOM: calque evaluate out/ct.seg.dcm rt.dcm --reference ct/ --priority GTV-1,Lung-Left[/dim]
    """
    from calque.evaluation import DEFAULT, Rules, write_csv
    from calque.evaluation import evaluate as evaluate_masks
    from calque.evaluation.scores import Bootstrap

    screen = Screen(json)
    names = metric_names(measured.metrics)
    rules = Rules(
        names or DEFAULT,
        parse_tolerance(measured.tolerance),
        measured.lesion_iou,
        measured.resample,
        measured.probabilities,
    )
    labels, rules = understood.known(rules)
    scores = evaluate_masks(
        predicted,
        truth,
        rules,
        labels=labels,
        manifest=paired.manifest,
        groups=paired.groups,
        bootstrap=Bootstrap(method=interval),
        workers=workers,
        progress=screen.progress,
    )
    extra = ("ece", "brier") if measured.probabilities is not None else ()
    shown = (*(names or MAIN_METRICS), *extra)
    show_scores(screen, scores, shown)
    show_groups(screen, scores, shown)
    if csv is not None:
        write_csv(scores, csv)
    screen.json(scores)
    if not scores.complete:
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
    groups: Groups = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also FILE.pdf, by Chromium or Chrome.")] = False,
    json: Json = None,
) -> None:
    """Write one HTML file: intervals, subgroups, charts, pictures of what went wrong, plan, model card.

    [dim]Example: calque report runs/liver -o report.html --lang fr --pdf[/dim]
    """
    from calque.reporting import print_pdf
    from calque.reporting import report as write_report

    screen = Screen(json)
    with screen.progress.task("report"):
        write_report(
            source, output, lang=lang, truth=truth, predicted=predicted, images=images, groups=groups
        )
        printed = print_pdf(output) if pdf else None
    screen.say(f"Report: {output}" + (f" and {printed}" if printed else ""))
    screen.json({"report": output, "pdf": printed})


def metric_names(metrics: str | None) -> tuple[str, ...]:
    """Of "dice,hd95"; none of None."""
    return () if metrics is None else tuple(part.strip() for part in metrics.split(","))


def show_scores(screen: Screen, scores: Scores, metrics: Sequence[str] = MAIN_METRICS) -> None:
    """A table of means with intervals, and what was not scored; JSON and CSV hold all metrics."""
    shown = [metric for metric in metrics if metric in scores.metrics] or scores.metrics
    summaries = scores.summaries | {"mean of classes": scores.foreground}
    rows = [
        (name, *(_figure(m, by_metric.get(m), len(scores.cases)) for m in shown))
        for name, by_metric in summaries.items()
    ]
    level = round(100 * scores.bootstrap.level)
    screen.table(
        f"{count(len(scores.cases))}: mean [{level} % interval, by patient]",
        ("class", *shown),
        rows,
    )
    warn_few(screen, scores)
    if not scores.spacing_known:
        screen.say("nothing says how large a pixel is: lengths are in pixels, volumes in thousands of pixels")
    if scores.resampled:
        screen.say(f"resampled onto the grid of the truth: {_some(scores.resampled)}")
    for note, noted in _by_note(scores.notes).items():
        screen.say(f"note: {note} ({_some(noted)})" if len(scores.cases) > 1 else f"note: {note}")
    findings = scores.findings
    for what, cases in (("no prediction for", findings.missing), ("no truth for", findings.unexpected)):
        if cases:
            screen.say(f"{what} {_some(cases)}")
    for failure in findings.failed:
        screen.say(f"not scored: {failure.case}: {failure.error}")


def _by_note(notes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What is to be said -> the cases that it is to be said of."""
    found: dict[str, list[str]] = {}
    for case, texts in notes.items():
        for text in texts:
            found.setdefault(text, []).append(case)
    return found


def show_groups(screen: Screen, scores: Scores, metrics: Sequence[str]) -> None:
    """The mean of classes by subgroup."""
    shown = [metric for metric in metrics if metric in scores.metrics]
    if scores.groups:
        screen.table(
            "Subgroups: mean of classes",
            ("group", "cases", *shown),
            [
                (
                    f"{g.column}: {g.value}",
                    len(g.cases),
                    *(_figure(m, g.foreground.get(m), len(g.cases)) for m in shown),
                )
                for g in scores.groups
            ],
        )


def warn_few(screen: Screen, found: Scores | Comparison) -> None:
    """Say that intervals of so few patients may be too narrow, or why there are none."""
    if found.patients == 1:
        screen.say("no intervals: one patient")
    elif found.few_patients:
        screen.say(
            f"intervals may be too narrow ({found.patients} patients): what befalls fewer than "
            f"{found.unseen_share:.0%} of patients may not be among them"
        )


def count(cases: int) -> str:
    """How many cases."""
    return f"{cases} case" if cases == 1 else f"{cases} cases"


def _some(cases: Sequence[str]) -> str:
    more = ", ..." if len(cases) > _CASES_SHOWN else ""
    return f"{count(len(cases))}: {', '.join(cases[:_CASES_SHOWN])}{more}"


def _figure(metric: str, summary: Summary | None, cases: int) -> str:
    """Mean and interval; also of how many cases, where they are not all."""
    if summary is None or summary.mean is None:
        return "-"
    n = "" if summary.n == cases else f" n={summary.n}"
    if summary.low is None or summary.high is None:
        return f"{figure(metric, summary.mean)}{n}"
    low, high = figure(metric, summary.low), figure(metric, summary.high)
    return f"{figure(metric, summary.mean)} [{low}, {high}]{n}"


def figure(metric: str, value: float) -> str:
    """Three decimals of a ratio, two of millimetres and millilitres."""
    from calque.evaluation import metric_named

    text = f"{value:.{2 if metric_named(metric).unit else 3}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text
