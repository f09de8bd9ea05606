"""`report`: from a run or scores to one HTML file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calque.errors import InputError
from calque.evaluation import Scores, metric_named
from calque.evaluation.groups import with_groups
from calque.evaluation.subjects import read_subjects
from calque.io import write_text_atomic
from calque.reporting.charts import as_css
from calque.reporting.extras import agreement_charts, calibration_chart, card_lines, group_rows
from calque.reporting.methods import intervals_said, tolerances_said
from calque.reporting.pictures import ERROR_COLOURS
from calque.reporting.rendering import render_page
from calque.reporting.reproduce import commands
from calque.reporting.sections import check_section, curve_chart, pictured_cases, plan_lines, spread_charts
from calque.reporting.source import Material, from_run, from_scores
from calque.reporting.tables import (
    case_heads,
    case_rows,
    every_line,
    group_metrics,
    ranking_metric,
    shown_metrics,
    summary_rows,
)
from calque.reporting.voice import Voice

_CARDS = ("dice", "nsd", "hd95")


@dataclass(frozen=True)
class Card:
    """A headline figure."""

    title: str
    value: str
    note: str


def report(  # noqa: PLR0913 - the options of the verb, one parameter each
    source: Path | str | Scores,
    output: Path | str,
    *,
    lang: str = "en",
    truth: Path | str | None = None,
    predicted: Path | str | None = None,
    images: Path | str | None = None,
    groups: Path | str | None = None,
) -> Path:
    """Write one self-contained HTML file: figures with intervals, charts, pictures, plan, how to reproduce.

    It needs nothing from outside and opens from a mail. A run knows its own files; for scores, give the
    folders of masks, and of scans, to have pictures.

    Args:
        source: a run's folder, a JSON file of `Scores`, or `Scores`.
        output: the file to write.
        lang: "en" or "fr".
        truth: folder of true masks, with scores only.
        predicted: folder of predicted masks, with scores only.
        images: folder of scans, with scores only.
        groups: a CSV file with a column case or patient; every further column makes subgroups.

    Returns:
        The path of the file.

    Raises:
        InputError: the source holds no scores, or the language is unknown.
        ReadError: a file cannot be read.
    """
    t, output = Voice(lang), Path(output)
    t("title")  # an unknown language is refused before anything is read
    folders = [None if path is None else Path(path) for path in (truth, predicted, images)]
    if not isinstance(source, Scores) and Path(source).is_dir():
        if any(folders):
            raise InputError(
                "A run knows its own files", where=source, fix="leave truth, predicted, images out"
            )
        material = from_run(Path(source))
    else:
        material = from_scores(source if isinstance(source, Scores) else Path(source), *folders)
    if groups is not None:
        material = replace(material, scores=with_groups(material.scores, read_subjects(groups)))
    write_text_atomic(output, render(material, output, t))
    return output


def render(material: Material, output: Path, t: Voice) -> str:
    """The page; everything that comes from files or names is escaped."""
    scores = material.scores
    t = replace(t, pixels=not scores.spacing_known)
    how = scores.bootstrap
    ranking = t(f"metric.{ranking_metric(scores)}")
    pictures = pictured_cases(material, t)
    context: dict[str, object] = {
        "name": material.name,
        "scored_with": scores.calque,
        "kicker": t("kicker.run" if material.run else "kicker.scores"),
        "lead": _lead(material, t),
        "cards": _cards(scores, t),
        "findings": _findings(scores, t),
        "shown": [metric_named(name) for name in shown_metrics(scores)],
        "summary": summary_rows(scores, t),
        "everything": every_line(scores, t),
        "interval_title": t("interval", level=t.level(how)).capitalize(),
        "intervals": intervals_said(scores, t),
        "spreads": spread_charts(scores, t),
        "pictures": pictures,
        "classes": [{"name": c.name, "colour": as_css(c.colour)} for c in scores.labels.classes],
        "error_colours": [(kind, as_css(colour)) for kind, colour in ERROR_COLOURS.items()],
        "case_heads": case_heads(scores, t),
        "case_rows": case_rows(scores, t),
        "cases_caption": t("table.caption", metric=ranking),
        "curves": curve_chart(material, t),
        "plan": plan_lines(material.plan, t) if material.plan else (),
        "check": check_section(material, t),
        "groups": group_rows(scores, t),
        "group_shown": [metric_named(name) for name in group_metrics(scores)],
        "calibration": calibration_chart(scores, t),
        "agreement": agreement_charts(scores, t),
        "card": card_lines(material.card, t) if material.card else (),
        "metrics": [metric_named(name) for name in scores.metrics],
        "tolerances": tolerances_said(scores, t),
        "scale": t("methods.pixels") if t.pixels else "",
        "matching": t("methods.objects", threshold=t.number(scores.lesion_iou, 2)),
        "resampled": t("methods.resampled", cases=", ".join(scores.resampled)) if scores.resampled else "",
        "commands": commands(material, output, t),
    }
    flat = any(cut.slice.plane == "picture" for case in pictures for cut in case.slices)
    context["pictures_note"] = t("pictures.note.flat" if flat else "pictures.note", metric=ranking)
    context["sections"] = _sections(context, t)
    return render_page("report.html", context, t)


def _sections(context: dict[str, object], t: Voice) -> list[tuple[str, str]]:
    """Anchors and names of the sections that are there."""
    optional = {
        "distributions": "spreads",
        "pictures": "pictures",
        "groups": "groups",
        "calibration": "calibration",
        "agreement": "agreement",
        "curves": "curves",
        "plan": "plan",
        "check": "check",
        "card": "card",
    }
    names = {"cases": "table"}
    order = (
        "summary",
        "groups",
        "distributions",
        "pictures",
        "cases",
        "agreement",
        "calibration",
        "curves",
        "plan",
        "check",
        "card",
        "methods",
        "reproduce",
    )
    return [(s, t(names.get(s, s))) for s in order if s not in optional or context[optional[s]]]


def _lead(material: Material, t: Voice) -> str:
    scores = material.scores
    n = t.count(len(scores.cases))
    people = len({case.patient for case in scores.cases})
    if people != len(scores.cases):
        n = f"{n} ({t.patients(people)})"
    if not material.plan:
        return t("lead.scores", n=n)
    network = material.plan.network
    kind = t(f"kind.{network.kind}")
    what = t("lead.network", kind=kind, dimensions=network.dimensions)
    folds = material.trained_on
    if len(folds) == 1:
        return t("lead.run", plan=what, train=t.count(next(iter(folds.values()))), dataset=material.name, n=n)
    return t("lead.folds", plan=what, folds=len(folds), dataset=material.name, n=n)


def _cards(scores: Scores, t: Voice) -> list[Card]:
    cards = []
    several = len(scores.labels.classes) > 1
    for name in [name for name in _CARDS if name in scores.metrics] or scores.metrics[:3]:
        summary, title = scores.foreground[name], t(f"metric.{name}")
        unit = t.unit(name)
        value = t.figure(name, summary.mean) + (f"\u202f{unit}" if unit else "")
        title = t("mean_of", metric=title) if several else title
        cards.append(Card(title, value, t.interval(name, summary, scores.bootstrap)))
    people = len({case.patient for case in scores.cases})
    cards.append(Card(t("cases.title"), t.number(len(scores.cases)), t.patients(people)))
    return cards


def _findings(scores: Scores, t: Voice) -> list[tuple[str, tuple[str, ...]]]:
    found = scores.findings
    failed = tuple(f"{failure.case}: {failure.error}" for failure in found.failed)
    groups = (("failed", failed), ("missing", found.missing), ("unexpected", found.unexpected))
    return [(t(f"findings.{name}"), cases) for name, cases in groups if cases]
