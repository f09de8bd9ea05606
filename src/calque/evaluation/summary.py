"""From cases to `Scores`: means, quartiles, intervals, worst cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calque import __version__
from calque.errors import InputError
from calque.evaluation.case import Tolerance, targets, tolerance_by_target
from calque.evaluation.metrics import DEFAULT, Metric, select
from calque.evaluation.pair import Pair, State
from calque.evaluation.scores import Bootstrap, CaseScore, ClassScore, Findings, Scores, Summary, case_mean
from calque.labels import Labels

_WORST = 3
_BATCH = 256  # resamples at a time: memory stays small for any number of patients

Figures = NDArray[np.float64]


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
    patients = [case.patient for case in full]
    tables = {name: [[c.classes[name].values[m.name] for m in chosen] for c in full] for name in names}
    states = {name: [c.classes[name].state for c in full] for name in names}
    means = [[case_mean(c, m.name, labels) for m in chosen] for c in full]
    overall = [_overall([c.classes[name].state for name in labels.names]) for c in full]
    every = [*tables.values(), means]
    intervals = _intervals(
        np.array(every, dtype=np.float64).reshape(len(every), len(full), len(chosen)), patients, how
    )
    ids = [case.case for case in full]
    lines = [
        {
            m.name: _summary(m, [row[k] for row in table], state, ids, patients, interval[:, k])
            for k, m in enumerate(chosen)
        }
        for table, state, interval in zip(every, [*states.values(), overall], intervals, strict=True)
    ]
    return Scores(
        calque=__version__,
        labels=labels,
        metrics=tuple(m.name for m in chosen),
        tolerance_mm=tolerance_by_target(tolerance_mm, labels),
        bootstrap=how,
        cases=tuple(full),
        summaries=dict(zip(names, lines[:-1], strict=True)),
        foreground=lines[-1],
        findings=findings or Findings(),
    )


def _completed(case: CaseScore, names: Sequence[str], metrics: Sequence[Metric]) -> CaseScore:
    """The same case with an entry for every name."""
    lacking = {m.name for m in metrics} - {m for score in case.classes.values() for m in score.values}
    if lacking and case.classes:
        raise InputError("This case was not scored with these metrics", where=case.case, got=sorted(lacking))
    none = np.zeros((1, 1, 1), bool)
    pair = Pair(none, none, spacing=(1.0, 1.0, 1.0), voxel_ml=1.0, voxels=1, tolerance_mm=0.0)
    nothing = ClassScore(state="absent", values={m.name: m(pair) for m in metrics})
    return case.model_copy(update={"classes": {name: case.classes.get(name, nothing) for name in names}})


def _overall(states: Sequence[State]) -> State:
    """Of a case, over its classes: absent only where all are."""
    return "absent" if all(state == "absent" for state in states) else "present"


def _summary(
    metric: Metric,
    values: Sequence[float | None],
    states: Sequence[State],
    cases: Sequence[str],
    patients: Sequence[str],
    interval: Figures,
) -> Summary:
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    none = [s for v, s in zip(values, states, strict=True) if v is None]
    counts = {
        "n": len(known),
        "undefined": sum(s != "absent" for s in none),
        "absent": sum(s == "absent" for s in none),
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
    metric: Metric, values: Sequence[float | None], states: Sequence[State], cases: Sequence[str]
) -> tuple[str, ...]:
    if metric.better == "neither":
        return ()
    ranked = []
    for value, state, case in zip(values, states, cases, strict=True):
        if value is not None:
            badness = -value if metric.better == "higher" else abs(value)
            ranked.append((badness, case))
        elif metric.better == "lower" and state != "absent":
            ranked.append((np.inf, case))
    return tuple(case for _, case in sorted(ranked, key=lambda item: -item[0])[:_WORST])


def _intervals(values: Figures, patients: Sequence[str], how: Bootstrap) -> Figures:
    """Percentile bootstrap of the mean by patient.

    Args:
        values: (tables, cases, metrics), NaN where there is none.
        patients: one per case.
        how: level, resamples, seed.

    Returns:
        (tables, 2, metrics): lower and upper ends; NaN where no resample holds a value. Every table and
        metric sees the same resamples.
    """
    tables, _, metrics = values.shape
    if not patients:
        return np.full((tables, 2, metrics), np.nan)
    people, index = np.unique(np.array(patients), return_inverse=True)
    flat = values.transpose(1, 0, 2).reshape(len(patients), -1)
    sums, counts = np.zeros((len(people), flat.shape[1])), np.zeros((len(people), flat.shape[1]))
    np.add.at(sums, index, np.nan_to_num(flat))
    np.add.at(counts, index, ~np.isnan(flat))
    generator = np.random.default_rng(how.seed)
    share = np.full(len(people), 1.0 / len(people))
    means = []
    for start in range(0, how.resamples, _BATCH):
        size = min(_BATCH, how.resamples - start)
        drawn = generator.multinomial(len(people), share, size=size).astype(np.float64)
        total = drawn @ counts
        means.append(np.divide(drawn @ sums, total, out=np.full(total.shape, np.nan), where=total > 0))
    tail = 50.0 * (1.0 - how.level)
    ends = _percentiles(np.concatenate(means), (tail, 100.0 - tail))
    return ends.reshape(2, tables, metrics).transpose(1, 0, 2)


def _percentiles(samples: Figures, at: tuple[float, float]) -> Figures:
    """(2, columns): percentiles of the numbers in each column; NaN for a column without any."""
    ends = np.full((2, samples.shape[1]), np.nan)
    some = ~np.isnan(samples).all(axis=0)
    if some.any():
        ends[:, some] = np.nanpercentile(samples[:, some], at, axis=0)
    return ends
