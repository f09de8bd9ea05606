"""From cases to `Scores`: means, quartiles, intervals, worst cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calque import __version__
from calque.errors import InputError
from calque.evaluation.case import targets, tolerance_by_target
from calque.evaluation.intervals import Figures, intervals
from calque.evaluation.metrics import DEFAULT, Metric, select
from calque.evaluation.pair import Pair
from calque.evaluation.rules import Tolerance
from calque.evaluation.scores import (
    Bootstrap,
    CaseScore,
    ClassScore,
    ClassState,
    Findings,
    Scores,
    Summary,
    case_mean,
)
from calque.labels import Labels

_WORST = 3
_NOTHING = ("absent", "unknown")


def summarise(
    cases: Sequence[CaseScore],
    labels: Labels,
    *,
    metrics: Sequence[str] = DEFAULT,
    tolerance_mm: Tolerance = 1.0,
    bootstrap: Bootstrap | None = None,
    findings: Findings | None = None,
) -> Scores:
    """Sum up cases that were scored with these labels, metrics and tolerance.

    A class that a case does not know (labels derived from its values) is absent there.

    Raises:
        InputError: a case lacks a metric, or a name stands twice.
    """
    chosen, names = select(metrics), tuple(targets(labels))
    full = [_completed(case, names, chosen) for case in cases]
    if len({case.case for case in full}) != len(full):
        raise InputError("Case names must be unique", got=[case.case for case in full])
    how = bootstrap or Bootstrap()
    summaries, foreground = summarise_lines(full, labels, chosen, how)
    return Scores(
        calque=__version__,
        labels=labels,
        metrics=tuple(m.name for m in chosen),
        tolerance_mm=tolerance_by_target(tolerance_mm, labels),
        bootstrap=how,
        cases=tuple(full),
        summaries=summaries,
        foreground=foreground,
        findings=findings or Findings(),
    )


def summarise_lines(
    cases: Sequence[CaseScore], labels: Labels, metrics: Sequence[Metric], how: Bootstrap
) -> tuple[dict[str, dict[str, Summary]], dict[str, Summary]]:
    """Summaries by class and metric, and of the mean of classes by metric; every case knows every class."""
    names = tuple(targets(labels))
    patients, ids = [case.patient for case in cases], [case.case for case in cases]
    tables = [[[c.classes[name].values[m.name] for m in metrics] for c in cases] for name in names]
    tables.append([[case_mean(c, m.name, labels) for m in metrics] for c in cases])
    states = [[c.classes[name].state for c in cases] for name in names]
    states.append([_overall([c.classes[name].state for name in labels.names]) for c in cases])
    shape = (len(tables), len(cases), len(metrics))
    flat = np.array(tables, dtype=np.float64).reshape(shape).transpose(1, 0, 2)
    ends = intervals(flat.reshape(len(cases), shape[0] * shape[2]), patients, how).reshape(
        2, len(tables), len(metrics)
    )
    low, high = np.array([m.limits for m in metrics]).T
    ends = np.clip(ends, low, high)
    lines = [
        {
            m.name: _summary(m, [row[k] for row in table], state, ids, patients, interval[:, k])
            for k, m in enumerate(metrics)
        }
        for table, state, interval in zip(tables, states, ends.transpose(1, 0, 2), strict=True)
    ]
    return dict(zip(names, lines[:-1], strict=True)), lines[-1]


def _completed(case: CaseScore, names: Sequence[str], metrics: Sequence[Metric]) -> CaseScore:
    """The same case with an entry for every name."""
    lacking = {m.name for m in metrics} - {m for score in case.classes.values() for m in score.values}
    if lacking and case.classes:
        raise InputError("This case was not scored with these metrics", where=case.case, got=sorted(lacking))
    none = np.zeros((1, 1, 1), bool)
    pair = Pair(none, none, (1.0, 1.0, 1.0), 1.0, 1, 0.0)
    nothing = ClassScore(state="absent", values={m.name: m(pair) for m in metrics})
    return case.model_copy(update={"classes": {name: case.classes.get(name, nothing) for name in names}})


def _overall(states: Sequence[ClassState]) -> ClassState:
    """Of a case, over its classes: absent, or unknown, only where all are."""
    found = set(states)
    if found == {"unknown"}:
        return "unknown"
    return "absent" if found <= {"absent", "unknown"} else "present"


def _summary(
    metric: Metric,
    values: Sequence[float | None],
    states: Sequence[ClassState],
    cases: Sequence[str],
    patients: Sequence[str],
    interval: Figures,
) -> Summary:
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    none = [s for v, s in zip(values, states, strict=True) if v is None]
    counts = {
        "n": len(known),
        "undefined": sum(s not in _NOTHING for s in none),
        "absent": sum(s == "absent" for s in none),
        "unknown": sum(s == "unknown" for s in none),
        "patients": len({p for v, p in zip(values, patients, strict=True) if v is not None}),
    }
    worst = _worst(metric, values, states, cases)
    if not len(known):
        return Summary(**counts, worst=worst)
    q25, median, q75 = (float(q) for q in np.percentile(known, (25, 50, 75)))
    low, high = (float(v) for v in interval)
    enough = counts["patients"] > 1
    return Summary(
        **counts,
        mean=float(known.mean()),
        std=float(known.std(ddof=1)) if len(known) > 1 else None,
        median=median,
        q25=q25,
        q75=q75,
        low=low if enough else None,
        high=high if enough else None,
        worst=worst,
    )


def _worst(
    metric: Metric, values: Sequence[float | None], states: Sequence[ClassState], cases: Sequence[str]
) -> tuple[str, ...]:
    if metric.better == "neither":
        return ()
    ranked = []
    for value, state, case in zip(values, states, cases, strict=True):
        if value is not None:
            badness = -value if metric.better == "higher" else abs(value)
            ranked.append((badness, case))
        elif metric.better == "lower" and state not in _NOTHING:
            ranked.append((np.inf, case))
    return tuple(case for _, case in sorted(ranked, key=lambda item: -item[0])[:_WORST])
