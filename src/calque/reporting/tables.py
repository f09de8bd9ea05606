"""Tables of scores: by class, every figure, by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calque.evaluation import Scores, metric_named
from calque.evaluation.scores import CaseScore, Summary
from calque.evaluation.subjects import NOT_GIVEN
from calque.reporting.charts import as_css
from calque.reporting.numbers import NOTHING
from calque.reporting.voice import Voice

_SHOWN = (
    "dice", "cldice", "nsd", "hd95", "assd", "precision", "recall", "lesion_f1", "volume_error_ml", "ece",
)  # fmt: skip
_FIRST = (
    "dice",
    "nsd",
    "hd95",
    "volume_error_ml",
    "ece",
    "cldice",
    "lesion_f1",
)  # where there is no room for all
_WIDTH = 7  # columns
_NARROW = 4
_PER_CLASS = ("dice", "hd95")
_FEW = 6  # classes with columns of their own in the table of cases


@dataclass(frozen=True)
class Cell:
    """A figure of the summary: its mean, interval and number of cases."""

    mean: str
    interval: str
    count: str


@dataclass(frozen=True)
class SummaryRow:
    """A class, a region, or the mean of classes."""

    name: str
    colour: str | None
    region: bool
    total: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Line:
    """Every figure of one metric of one class."""

    name: str
    metric: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    """A column of the table of cases."""

    name: str
    part: str
    unit: str
    number: bool


@dataclass(frozen=True)
class CaseCell:
    """A cell of the table of cases; `raw` is what sorts."""

    text: str
    number: bool = False
    raw: str = ""


@dataclass(frozen=True)
class CaseRow:
    """A case."""

    name: str
    cells: tuple[CaseCell, ...]


def shown_metrics(scores: Scores, width: int = _WIDTH) -> tuple[str, ...]:
    """The columns of the summary, at most `width`."""
    found = [name for name in _SHOWN if name in scores.metrics and (name != "lesion_f1" or _objects(scores))]
    kept = sorted(found, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))[:width]
    return tuple(name for name in found if name in kept) or scores.metrics[:width]


def group_metrics(scores: Scores) -> tuple[str, ...]:
    """The columns of the table of subgroups, which has three more."""
    return shown_metrics(scores, _NARROW)


def _objects(scores: Scores) -> bool:
    """Whether some class is more than one object somewhere: only then do figures of objects say more."""
    every = (score.values for case in scores.cases for score in case.classes.values())
    return any(values.get("lesion_f1") not in (None, 0.0, 1.0) for values in every)


def ranking_metric(scores: Scores) -> str:
    """What cases are ranked by: Dice, else the first metric of which more is better, else the first."""
    higher = [name for name in scores.metrics if metric_named(name).better == "higher"]
    return "dice" if "dice" in scores.metrics else (higher or list(scores.metrics))[0]


def ranked(scores: Scores) -> list[CaseScore]:
    """Cases with a value of the ranking metric, the lowest mean over classes first."""
    metric = ranking_metric(scores)
    known = [(value, case) for case in scores.cases if (value := scores.case_mean(case, metric)) is not None]
    return [case for _, case in sorted(known, key=lambda pair: pair[0])]


def summary_rows(scores: Scores, t: Voice) -> tuple[SummaryRow, ...]:
    """Classes, regions, and the mean of classes where there are several."""
    colours = {label.name: as_css(label.colour) for label in scores.labels.classes}
    rows = [
        SummaryRow(
            name, colours.get(name), name not in colours, False, cells_of(by_metric, shown_metrics(scores), t)
        )
        for name, by_metric in scores.summaries.items()
    ]
    if len(scores.labels.classes) > 1:
        rows.append(
            SummaryRow(
                t("foreground"), None, False, True, cells_of(scores.foreground, shown_metrics(scores), t)
            )
        )
    return tuple(rows)


def cells_of(by_metric: dict[str, Summary], metrics: Sequence[str], t: Voice) -> tuple[Cell, ...]:
    """Figures of one line, a cell for each metric."""
    cells = []
    for name in metrics:
        summary = by_metric[name]
        interval = t.between(name, summary.low, summary.high)
        cells.append(Cell(t.figure(name, summary.mean), interval, _count(summary, t)))
    return tuple(cells)


def _count(summary: Summary, t: Voice) -> str:
    """Cases with a value, and those without, where there are any."""
    left_out = ((summary.undefined, "undefined"), (summary.absent, "absent"), (summary.unknown, "unknown"))
    return ", ".join(
        [f"n = {t.number(summary.n)}", *(f"{t.number(k)} {t(w).lower()}" for k, w in left_out if k)]
    )


def every_line(scores: Scores, t: Voice) -> tuple[Line, ...]:
    """All metrics of all classes."""
    groups = {**scores.summaries, t("foreground"): scores.foreground}
    return tuple(
        Line(
            name,
            " ".join(filter(None, (t(f"metric.{metric}"), t.unit(metric)))),
            (
                t.figure(metric, s.mean),
                t.between(metric, s.low, s.high),
                t.figure(metric, s.std),
                t.figure(metric, s.median),
                t.between(metric, s.q25, s.q75),
                t.number(s.n),
                t.number(s.undefined),
                t.number(s.absent),
            ),
        )
        for name, by_metric in groups.items()
        for metric, s in by_metric.items()
    )


def case_heads(scores: Scores, t: Voice) -> tuple[Head, ...]:
    """Columns of the table of cases."""
    heads = [Head(t("case"), "", "", False)]
    if _has_patients(scores):
        heads.append(Head(t("patient"), "", "", False))
    columns = [(m, t("mean_part") if _several(scores) else "") for m in shown_metrics(scores)] + _columns(
        scores
    )
    heads += [Head(t(f"metric.{m}"), part, t.unit(m), True) for m, part in columns]
    if any(flags(case, t) for case in scores.cases):
        heads.append(Head(t("flags"), "", "", False))
    heads += [Head(column, "", "", False) for column in _grouping(scores, t)]
    return tuple(heads)


def case_rows(scores: Scores, t: Voice) -> tuple[CaseRow, ...]:
    """Every case, the lowest mean of the ranking metric first; cases without one at the end."""
    order = ranked(scores)
    names = {case.case for case in order}
    flagged = any(flags(case, t) for case in scores.cases)
    groups = _grouping(scores, t).values()
    rows = []
    for case in [*order, *(case for case in scores.cases if case.case not in names)]:
        cells = [CaseCell(case.patient)] if _has_patients(scores) else []
        cells += [_cell(m, scores.case_mean(case, m), t) for m in shown_metrics(scores)]
        cells += [_cell(m, case.classes[name].values[m], t) for m, name in _columns(scores)]
        cells += [CaseCell(flags(case, t))] if flagged else []
        cells += [CaseCell(members.get(case.case, "")) for members in groups]
        rows.append(CaseRow(case.case, tuple(cells)))
    return tuple(rows)


def flags(case: CaseScore, t: Voice) -> str:
    """Which classes were missed altogether, or predicted where there are none."""
    found = (
        t(f"flag.{score.state}", name=name)
        for name, score in case.classes.items()
        if score.state in ("missed", "spurious")
    )
    return ", ".join(found)


def group_value(value: str, t: Voice) -> str:
    """The name of a subgroup."""
    return t("groups.none") if value == NOT_GIVEN else value


def _grouping(scores: Scores, t: Voice) -> dict[str, dict[str, str]]:
    """Column -> case -> subgroup."""
    found: dict[str, dict[str, str]] = {}
    for group in scores.groups:
        found.setdefault(group.column, {}).update(dict.fromkeys(group.cases, group_value(group.value, t)))
    return found


def _cell(metric: str, value: float | None, t: Voice) -> CaseCell:
    text = NOTHING if value is None else t.figure(metric, value)
    return CaseCell(text, True, "" if value is None else repr(value))


def _columns(scores: Scores) -> list[tuple[str, str]]:
    """(metric, class or region) with columns of their own."""
    names = list(scores.summaries)
    if not 1 < len(names) <= _FEW:
        return []
    return [(metric, name) for metric in _PER_CLASS if metric in scores.metrics for name in names]


def _several(scores: Scores) -> bool:
    return len(scores.labels.classes) > 1


def _has_patients(scores: Scores) -> bool:
    return any(case.patient != case.case for case in scores.cases)
