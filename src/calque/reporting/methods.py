"""How figures were made, in words: intervals and how far to trust them, tolerances."""

from __future__ import annotations

from calque.evaluation import Comparison, Scores
from calque.reporting.voice import Voice


def intervals_said(scores: Scores, t: Voice) -> str:
    """How they were made, and that they may be too narrow."""
    how = scores.bootstrap
    said = t(
        "interval.hall" if how.method == "hall" else "interval.how",
        method=t(f"bootstrap.{how.method}"),
        level=t.level(how),
        resamples=t.number(how.resamples),
        seed=how.seed,
    )
    return " ".join(filter(None, (said, narrow_said(scores, t))))


def narrow_said(found: Scores | Comparison, t: Voice) -> str:
    """That intervals of so few patients may be too narrow, or why there are none; nothing for many."""
    if not found.few_patients:
        return ""
    if found.patients == 1:
        return t("interval.one")
    return t("interval.few", n=t.patients(found.patients), share=t.percent(found.unseen_share))


def tolerances_said(scores: Scores, t: Voice) -> str:
    """One for all classes, or by class."""
    values = set(scores.tolerance_mm.values())
    if len(values) == 1:
        text = f"{t.number(values.pop(), 1)}\u202f{t.length}"
    else:
        text = ", ".join(
            f"{name} {t.number(mm, 1)}\u202f{t.length}" for name, mm in scores.tolerance_mm.items()
        )
    return t("methods.tolerance", tolerances=text)
