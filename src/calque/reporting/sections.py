"""The other sections of a report: charts, pictures, plan, data check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from calque.errors import CalqueError
from calque.evaluation import Scores
from calque.labels import Labels
from calque.planning import Plan
from calque.reporting.charts import curves, spread
from calque.reporting.numbers import duration
from calque.reporting.pictures import Drawn, draw
from calque.reporting.slices import choose_slices
from calque.reporting.source import CaseFiles, Material
from calque.reporting.tables import flags, ranked, ranking_metric
from calque.reporting.voice import Voice
from calque.value import Value

_SPREADS = ("dice", "nsd", "hd95", "volume_error_ml")
_MOST_ROWS = 24  # classes in a chart
_EXAMPLES = 3
_FLAGGED = 3  # cases with pictures besides the best, median and worst


@dataclass(frozen=True)
class Chart:
    """A picture that says in words what it shows."""

    uri: str
    alt: str
    title: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PicturedCase:
    """A case with its pictures, or the reason why there are none."""

    rank: str
    name: str
    score: str
    slices: tuple[Drawn, ...]
    error: str


@dataclass(frozen=True)
class PlanLine:
    """A decision."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class CheckRow:
    """Findings of one kind."""

    what: str
    severity: str
    count: str
    examples: str


@dataclass(frozen=True)
class CheckSection:
    """What the data check found."""

    lead: str
    rows: tuple[CheckRow, ...]


def spread_charts(scores: Scores, t: Voice) -> tuple[Chart, ...]:
    """How cases are spread, per class, for the metrics that say most."""
    charts = []
    for metric in (name for name in _SPREADS if name in scores.metrics):
        columns, figures = [], []
        for label in scores.labels.classes[:_MOST_ROWS]:
            found = [case.classes[label.name].values[metric] for case in scores.cases]
            values = [value for value in found if value is not None]
            columns.append((label.name, label.colour, values))
            s = scores.summaries[label.name][metric]
            numbers = {
                k: t.figure(metric, v) for k, v in (("median", s.median), ("q25", s.q25), ("q75", s.q75))
            }
            figures.append(t("distributions.figure", name=label.name, **numbers))
        if not any(values for _, _, values in columns):
            continue
        unit = t.unit(metric)
        title = t(f"metric.{metric}") + (f" ({unit})" if unit else "")
        limits = (0.0, 1.02) if not unit else None
        charts.append(
            Chart(
                spread(columns, limits, t.tick),
                t("distributions.alt", metric=title, figures="; ".join(figures)),
                title,
            )
        )
    return tuple(charts)


def pictured_cases(material: Material, t: Voice) -> tuple[PicturedCase, ...]:
    """The best, the median, the worst case, and up to three in which a class was missed or is spurious."""
    scores, metric = material.scores, ranking_metric(material.scores)
    order = [case for case in ranked(scores) if case.case in material.files]
    if not order:
        return ()
    places = {"best": len(order) - 1, "median": (len(order) - 1) // 2, "worst": 0}
    chosen = {place: rank for rank, place in places.items()}  # few cases: each once
    shown = [(chosen[place], order[place]) for place in sorted(chosen, reverse=True)]
    names = {case.case for _, case in shown}
    flagged = [case for case in order if case.case not in names and flags(case, t)]
    found = []
    for rank, case in (*shown, *(("flagged", case) for case in flagged[:_FLAGGED])):
        score = f"{t(f'metric.{metric}')} {t.figure(metric, scores.case_mean(case, metric))}"
        score = " · ".join(filter(None, (score, flags(case, t))))
        try:
            slices, error = _slices(material.files[case.case], scores.labels), ""
        except CalqueError as problem:  # a file that moved since: the figures stand, the report says why
            slices, error = (), str(problem)
        found.append(PicturedCase(rank, case.case, score, slices, error))
    return tuple(found)


def _slices(files: CaseFiles, labels: Labels) -> tuple[Drawn, ...]:
    truth, predicted = files.read(labels)
    image = files.read_scan(truth.grid)
    return tuple(draw(cut, labels) for cut in choose_slices(image, predicted, truth))


def curve_chart(material: Material, t: Voice) -> Chart | None:
    """Loss and Dice while training, of every fold."""
    if not material.histories:
        return None
    colours = {label.name: label.colour for label in material.scores.labels.classes}
    titles = (t("curves.loss"), t("curves.dice"), t("curves.minutes"))
    uri = curves(dict(material.histories), colours, titles, t.tick)
    rows = [row for rows in material.histories.values() for row in rows if row.dice]
    last: Mapping[str, float] = (rows[-1].dice or {}) if rows else {}
    figures = ", ".join(f"{name} {t.figure('dice', value)}" for name, value in last.items())
    notes = (
        t(
            "curves.note",
            fold=fold,
            steps=t.number(rows[-1].step),
            time=duration(rows[-1].seconds, t.lang),
        )
        for fold, rows in material.histories.items()
    )
    alt = t("curves.alt", figures=figures) if figures else t("curves.alt.none")
    return Chart(uri, alt, "", tuple(notes))


_NO_DECISION = {"version", "reasons", "fingerprint", "labels", "forecast", "dataset"}


def plan_lines(plan: Plan, t: Voice) -> tuple[PlanLine, ...]:
    """Every decision, those with a reason first."""
    values = {name: getattr(plan, name) for name in type(plan).model_fields if name not in _NO_DECISION}
    names = [*(n for n in values if n in plan.reasons), *(n for n in values if n not in plan.reasons)]
    others = [name for name in plan.reasons if name not in values]
    lines = [PlanLine(name, _brief(values[name], t), plan.reasons.get(name, "")) for name in names]
    return (*lines, *(PlanLine(name, "", plan.reasons[name]) for name in others))


def _brief(value: object, t: Voice) -> str:
    """A value of a plan, short enough for a table."""
    if isinstance(value, bool):
        return t("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        parts = [_brief(item, t) for item in value]
        numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
        if numbers and len(parts) == 2 and any(isinstance(item, float) for item in value):
            return t("between", low=parts[0], high=parts[1])
        return (" × " if numbers else ", ").join(parts) or t("none")
    if isinstance(value, Value):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return ", ".join(f"{n} {_brief(v, t)}" for n, v in fields.items() if v is not None)
    return str(value)


def check_section(material: Material, t: Voice) -> CheckSection | None:
    """Findings of the data check, by kind."""
    found = material.check
    if found is None:
        return None
    n = t.count(len(found.cases))
    if not found.findings:
        return CheckSection(t("check.ok", n=n), ())
    rows = []
    for name in found.summary:
        group = [finding for finding in found.findings if finding.name == name]
        cases = [finding.case for finding in group if finding.case is not None]
        more = ", …" if len(cases) > _EXAMPLES else ""
        examples = ", ".join(cases[:_EXAMPLES]) + more
        rows.append(CheckRow(group[0].what, group[0].severity, t.number(len(group)), examples))
    lead = t("check.found", n=n, errors=t.number(len(found.errors)), warnings=t.number(len(found.warnings)))
    return CheckSection(lead, tuple(rows))
