"""`report_comparison`: models on the same truth, as one HTML file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calque.evaluation import metric_named
from calque.evaluation.comparison import MEAN, Comparison, Difference
from calque.io import write_text_atomic
from calque.reporting.agreement_charts import forest
from calque.reporting.extras import agreement_charts
from calque.reporting.methods import narrow_said, tolerances_said
from calque.reporting.rendering import render_page
from calque.reporting.reproduce import compare_command
from calque.reporting.sections import Chart
from calque.reporting.voice import Voice

_FEW = 0.05
_MOST_ROWS = 40  # in a chart


@dataclass(frozen=True)
class RankRow:
    """A model's place for one metric."""

    metric: str
    model: str
    best: bool
    cells: tuple[str, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """Two models, one metric, one class."""

    metric: str
    target: str
    pair: str
    firm: bool
    cells: tuple[str, ...]


def report_comparison(found: Comparison, output: Path | str, *, lang: str = "en") -> Path:
    """Write one self-contained HTML file: ranks and how firm they are, paired differences, volumes.

    Raises:
        InputError: the language is unknown.
    """
    t, output = Voice(lang), Path(output)
    t("title")  # an unknown language is refused before anything is drawn
    t = replace(t, pixels=not all(scores.spacing_known for scores in found.scores.values()))
    metrics = tuple(dict.fromkeys(rank.metric for rank in found.ranks))
    context: dict[str, object] = {
        "name": " · ".join(found.models),
        "lead": t("compare.lead", models=len(found.models), n=t.count(found.cases)),
        "left_out": found.left_out,
        "ranks": _rank_rows(found, t),
        "charts": _charts(found, metrics, t),
        "differences": _difference_rows(found, t),
        "volumes": [
            (t("compare.of", what=t("agreement"), which=model), agreement_charts(scores, t))
            for model, scores in found.scores.items()
        ],
        "metrics": [metric_named(name) for name in metrics],
        "how": t(
            "compare.how",
            method=t(f"bootstrap.{found.bootstrap.method}"),
            level=t.level(found.bootstrap),
            resamples=t.number(found.bootstrap.resamples),
            seed=found.bootstrap.seed,
        ),
        "narrow": narrow_said(found, t),
        "tolerances": tolerances_said(next(iter(found.scores.values())), t),
        "scale": t("methods.pixels") if t.pixels else "",
        "resampled": _resampled(found, t),
        "command": compare_command(found, output, t),
    }
    write_text_atomic(output, render_page("compare.html", context, t))
    return output


def _rank_rows(found: Comparison, t: Voice) -> tuple[RankRow, ...]:
    """The mean of classes, by metric, the best first."""
    rows = []
    for rank in sorted(
        (r for r in found.ranks if r.target == MEAN and r.rank is not None),
        key=lambda r: (found.scores[found.models[0]].metrics.index(r.metric), r.rank),
    ):
        summary = found.scores[rank.model].foreground[rank.metric]
        cells = (
            t.figure(rank.metric, rank.mean),
            t.between(rank.metric, summary.low, summary.high) if _signless(rank.metric) else "",
            t.number(rank.rank, 0 if rank.rank == int(rank.rank or 0) else 1),
            t.percent(rank.shares[0]),
            t.number(rank.n),
        )
        rows.append(RankRow(_title(rank.metric, t), rank.model, rank.rank == 1, cells))
    return tuple(rows)


def _signless(metric: str) -> bool:
    return metric_named(metric).better != "zero"


def _title(metric: str, t: Voice) -> str:
    unit = t.unit(metric)
    name = t(f"metric.{metric}") if _signless(metric) else t("compare.size", metric=t(f"metric.{metric}"))
    return f"{name} ({unit})" if unit else name


def _difference_rows(found: Comparison, t: Voice) -> tuple[DifferenceRow, ...]:
    rows = []
    for d in found.differences:
        cells = (
            t.figure(d.metric, d.mean),
            t.between(d.metric, d.low, d.high),
            _p(d.p, t),
            _p(d.p_holm, t),
            t.number(d.n),
            t.number(d.patients),
            t.number(d.left_out),
        )
        firm = d.p_holm is not None and d.p_holm < _FEW
        rows.append(DifferenceRow(_title(d.metric, t), _target(d, t), _pair(d), firm, cells))
    return tuple(rows)


def _target(d: Difference, t: Voice) -> str:
    return t("foreground") if d.target == MEAN else d.target


def _pair(d: Difference) -> str:
    return f"{d.first} − {d.second}"


def _p(value: float | None, t: Voice) -> str:
    if value is None:
        return t.number(None)
    return f"< {t.number(0.001, 3)}" if value < 0.001 else t.number(value, 3)


def _charts(found: Comparison, metrics: tuple[str, ...], t: Voice) -> tuple[Chart, ...]:
    """Of every metric: differences with intervals, the mean of classes first."""
    charts = []
    for metric in metrics:
        rows, said = [], []
        for d in found.differences:
            if d.metric == metric and d.mean is not None and d.low is not None and d.high is not None:
                name = _target(d, t)
                if len(found.models) > 2:
                    name = t("compare.of", what=name, which=_pair(d))
                rows.append((name, d.mean, d.low, d.high))
                said.append(f"{name} {t.figure(metric, d.mean)} ({t.between(metric, d.low, d.high)})")
        if rows:
            better = t(f"better.{metric_named(metric).better}")
            axis = _pair(found.differences[0]) if len(found.models) == 2 else t("compare.difference")
            alt = t("compare.alt", metric=_title(metric, t), figures="; ".join(said))
            title = f"{_title(metric, t)}, {better}"
            charts.append(Chart(forest(rows[:_MOST_ROWS], axis, t.tick), alt, title))
    return tuple(charts)


def _resampled(found: Comparison, t: Voice) -> str:
    """Of every model, which cases."""
    return " ".join(
        t("compare.of", what=model, which=t("methods.resampled", cases=", ".join(scores.resampled)))
        for model, scores in found.scores.items()
        if scores.resampled
    )
