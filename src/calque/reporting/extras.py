"""Sections that have their own material: subgroups, calibration, agreement of volumes, model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calque.evaluation import Scores
from calque.evaluation.calibration import calibration_error, pooled
from calque.evaluation.volumes import agreements
from calque.reporting.agreement_charts import bland_altman, reliability_curves
from calque.reporting.numbers import duration
from calque.reporting.sections import Chart
from calque.reporting.tables import Cell, cells_of, group_metrics, group_value
from calque.reporting.voice import Voice

if TYPE_CHECKING:
    from calque.model.card import Card

_MOST_CLASSES = 12  # with a chart of their own
_MOST_LINES = 7  # in one chart


@dataclass(frozen=True)
class GroupRow:
    """A subgroup."""

    column: str
    value: str
    cases: str
    cells: tuple[Cell, ...]


def group_rows(scores: Scores, t: Voice) -> tuple[GroupRow, ...]:
    """The mean of classes in every subgroup."""
    return tuple(
        GroupRow(
            group.column,
            group_value(group.value, t),
            t.number(len(group.cases)),
            cells_of(group.foreground, group_metrics(scores), t),
        )
        for group in scores.groups
    )


def calibration_chart(scores: Scores, t: Voice) -> Chart | None:
    """Frequency over predicted probability, all cases pooled; None without probabilities."""
    lines, figures = [], []
    for label in scores.labels.classes[:_MOST_LINES]:
        found = [case.classes[label.name].reliability for case in scores.cases]
        known = [bins for bins in found if bins is not None]
        if not known:
            continue
        bins = pooled(known)
        lines.append((label.name, label.colour, bins))
        error = t.figure("ece", calibration_error(bins))
        figures.append(t("calibration.figure", name=label.name, error=error))
    if not lines:
        return None
    uri = reliability_curves(lines, (t("calibration.predicted"), t("calibration.observed")), t.tick)
    return Chart(uri, t("calibration.alt", figures="; ".join(figures)), "", tuple(figures))


def agreement_charts(scores: Scores, t: Voice) -> tuple[Chart, ...]:
    """Bland and Altman's plot of every class, where volumes were measured in two cases or more."""
    charts = []
    colours = {label.name: label.colour for label in scores.labels.classes}
    for name, found in list(agreements(scores).items())[:_MOST_CLASSES]:
        if found.lower_ml is None or name not in colours:
            continue
        numbers = {
            "n": t.count(found.n),
            "unit": t.volume,
            "bias": t.number(found.bias_ml, 2),
            "low": t.number(found.lower_ml, 2),
            "high": t.number(found.upper_ml, 2),
        }
        between = t.between("volume_error_ml", found.bias_low, found.bias_high)
        titles = (t("agreement.mean", unit=t.volume), t("agreement.difference", unit=t.volume))
        charts.append(
            Chart(
                bland_altman(found, colours[name], titles, t.tick),
                t("agreement.alt", name=name, **numbers),
                name,
                (t("agreement.note", interval=between, **numbers),),
            )
        )
    return tuple(charts)


def card_lines(card: Card, t: Voice) -> tuple[tuple[str, str], ...]:
    """What the model card says, what is empty left out."""
    lines = {
        "card.dataset": card.dataset,
        "card.cases": t.number(card.cases),
        "card.folds": ", ".join(card.folds),
        "card.steps": t.number(card.steps) if card.steps else "",
        "card.time": duration(card.seconds, t.lang) if card.seconds else "",
        "card.created": card.created,
        "card.software": f"Calque {card.calque}, torch {card.torch}",
        "card.seed": str(card.seed),
        "card.limits": card.limits,
        "card.notes": card.notes,
    }
    return tuple((t(key), value) for key, value in lines.items() if value)
