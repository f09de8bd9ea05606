"""Models against each other on the same cases: paired differences, tests, ranks and how firm they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np

from calque.errors import InputError
from calque.evaluation.intervals import Figures, by_patient, intervals, resamples
from calque.evaluation.metrics import Metric, select
from calque.evaluation.scores import Bootstrap, Scores, case_mean, few, unseen_share
from calque.evaluation.summary import summarise
from calque.evaluation.volumes import Agreement, agreements
from calque.labels import Labels
from calque.value import Value

MEAN = ""
"""The target that is the mean over the classes of each case."""


class Difference(Value):
    """Two models, one metric, one class; over the cases in which both have a value.

    Errors with a sign (volume error) are compared by their size.

    Args:
        metric: name.
        target: class or region; "" is the mean of classes.
        first: name of a model.
        second: name of another.
        n: cases.
        patients: patients among them.
        left_out: cases in which one of the two has no value.
        mean: of first minus second, over cases.
        low: lower end of its interval by patient (`Comparison.bootstrap`); None for fewer than two patients.
        high: upper end.
        p: two-sided Wilcoxon signed-rank test of the patients' mean differences; None for fewer than two
            patients or without any difference.
        p_holm: corrected after Holm (1979) over all pairs of models and all targets of this metric.
    """

    metric: str
    target: str
    first: str
    second: str
    n: int
    patients: int
    left_out: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


class Rank(Value):
    """A model's place for one metric and target, over the cases in which every model has a value.

    Args:
        metric: name.
        target: class or region; "" is the mean of classes.
        model: name.
        n: cases.
        mean: over them.
        rank: 1 is best; ties share the mean of their places.
        shares: how often the model took place 1, 2, ... when patients were resampled.
    """

    metric: str
    target: str
    model: str
    n: int
    mean: float | None = None
    rank: float | None = None
    shares: tuple[float, ...] = ()


class Comparison(Value):
    """Two or more models on the same truth.

    Args:
        version: of this format.
        models: names, in the order given.
        cases: how many all of them scored.
        left_out: cases that some model did not score.
        bootstrap: how intervals were made and ranks resampled.
        differences: every pair of models.
        ranks: of every model.
        agreements: of predicted and true volume, by model and then by class.
        scores: by model.
    """

    version: Literal[1] = 1
    models: tuple[str, ...]
    cases: int
    left_out: tuple[str, ...]
    bootstrap: Bootstrap
    differences: tuple[Difference, ...]
    ranks: tuple[Rank, ...]
    agreements: dict[str, dict[str, Agreement]]
    scores: dict[str, Scores]

    @property
    def patients(self) -> int:
        """How many patients the compared cases are of."""
        left_out = set(self.left_out)
        return len({c.patient for c in self.scores[self.models[0]].cases if c.case not in left_out})

    @property
    def few_patients(self) -> bool:
        """Whether every interval may be too narrow: what is rare may not have happened yet."""
        return few(self.patients)

    @property
    def unseen_share(self) -> float:
        """The largest share of patients with an outcome that, with a chance of 5 %, none of these has."""
        return unseen_share(self.patients)


def compare(models: Mapping[str, Scores], bootstrap: Bootstrap | None = None) -> Comparison:
    """Compare models that were scored against the same truth in the same way.

    Args:
        models: scores by name, two or more.
        bootstrap: how intervals are made; by default as the first model's.

    Raises:
        InputError: fewer than two models, scores made in different ways, or no case in common.
    """
    models = _alike(models, bootstrap)
    names = tuple(models)
    first = models[names[0]]
    how = first.bootstrap
    shared = [c.case for c in first.cases if all(c.case in _names(scores) for scores in models.values())]
    if not shared:
        raise InputError("These models have no scored case in common", got=", ".join(names))
    every = dict.fromkeys(name for scores in models.values() for name in _names(scores))
    patients = [first.case(case).patient for case in shared]
    differences: list[Difference] = []
    ranks: list[Rank] = []
    for metric in select(first.metrics):
        if metric.better == "neither":
            continue
        tables = {target: _table(models, shared, metric, target) for target in (MEAN, *first.summaries)}
        found = [
            _difference(metric, target, (names[a], names[b]), table[:, [a, b]], patients, how)
            for target, table in tables.items()
            for a, b in combinations(range(len(names)), 2)
        ]
        differences += _corrected(found)
        for target, table in tables.items():
            ranks += _ranks(metric, target, names, table, patients, how)
    return Comparison(
        models=names,
        cases=len(shared),
        left_out=tuple(case for case in every if case not in set(shared)),
        bootstrap=how,
        differences=tuple(differences),
        ranks=tuple(ranks),
        agreements={name: agreements(scores) for name, scores in models.items()},
        scores=dict(models),
    )


def _alike(models: Mapping[str, Scores], bootstrap: Bootstrap | None) -> dict[str, Scores]:
    """The same scores, if they were made in the same way.

    Each then knows the classes that another found, and has intervals made in one way.
    """
    if len(models) < 2:
        raise InputError("A comparison needs two models or more", got=", ".join(models))
    ways = [(s.metrics, s.lesion_iou) for s in models.values()]
    classes = {label.name: label.value for s in models.values() for label in s.labels.classes}
    millimetres: dict[str, float] = {}
    for scores in models.values():
        millimetres |= scores.tolerance_mm
    if (
        any(way != ways[0] for way in ways)
        or any(s.labels.regions != next(iter(models.values())).labels.regions for s in models.values())
        or any(millimetres[name] != mm for s in models.values() for name, mm in s.tolerance_mm.items())
    ):
        raise InputError(
            "These scores were not made in the same way",
            expected="the same labels, metrics, tolerances and object threshold",
            fix="evaluate the models again with the same options",
        )
    first = next(iter(models.values()))
    how = bootstrap or first.bootstrap
    same = all(s.labels == first.labels for s in models.values())
    if same and all(s.bootstrap == how for s in models.values()):
        return dict(models)
    labels = first.labels if same else Labels.from_names(classes)
    return {
        name: summarise(
            s.cases,
            labels,
            metrics=s.metrics,
            tolerance_mm=millimetres,
            bootstrap=how,
            findings=s.findings,
        ).model_copy(update={"lesion_iou": s.lesion_iou, "resampled": s.resampled})
        for name, s in models.items()
    }


def _names(scores: Scores) -> set[str]:
    return {case.case for case in scores.cases}


def _table(models: Mapping[str, Scores], cases: Sequence[str], metric: Metric, target: str) -> Figures:
    """(cases, models), NaN where there is no value; signed errors by their size, for zero is best."""
    columns = []
    for scores in models.values():
        known = {case.case: case for case in scores.cases}
        chosen = [known[case] for case in cases]
        if target == MEAN:
            columns.append([case_mean(case, metric.name, scores.labels) for case in chosen])
        else:
            columns.append([case.classes[target].values[metric.name] for case in chosen])
    table = np.array(columns, dtype=np.float64).T
    return np.abs(table) if metric.better == "zero" else table


def _difference(
    metric: Metric,
    target: str,
    pair: tuple[str, str],
    table: Figures,
    patients: Sequence[str],
    how: Bootstrap,
) -> Difference:
    gap = table[:, 0] - table[:, 1]
    known = ~np.isnan(gap)
    people = [p for p, k in zip(patients, known, strict=True) if k]
    base = Difference(
        metric=metric.name,
        target=target,
        first=pair[0],
        second=pair[1],
        n=int(known.sum()),
        patients=len(set(people)),
        left_out=int((np.isnan(table).sum(axis=1) == 1).sum()),
        mean=float(gap[known].mean()) if known.any() else None,
    )
    if base.patients < 2:
        return base
    low, high = (float(v) for v in intervals(gap[known][:, None], people, how)[:, 0])
    sums, counts = by_patient(gap[known][:, None], people)
    each = (sums / counts)[:, 0]
    from scipy import stats  # slow to import, and for comparisons alone

    p = float(stats.wilcoxon(each).pvalue) if np.any(each != 0) else None
    return base.model_copy(update={"low": low, "high": high, "p": p})


def _corrected(found: Sequence[Difference]) -> list[Difference]:
    """With Holm's step-down correction over those that have a p."""
    order = sorted((k for k, d in enumerate(found) if d.p is not None), key=lambda k: found[k].p or 0.0)
    result, largest = list(found), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * (found[k].p or 0.0)))
        result[k] = found[k].model_copy(update={"p_holm": largest})
    return result


def _ranks(
    metric: Metric, target: str, names: Sequence[str], table: Figures, patients: Sequence[str], how: Bootstrap
) -> list[Rank]:
    """By the mean over the cases in which every model has a value."""
    known = np.asarray(~np.isnan(table).any(axis=1))
    part = table[known]
    if not len(part):
        return [Rank(metric=metric.name, target=target, model=name, n=0) for name in names]
    from scipy import stats

    sign = -1.0 if metric.better == "higher" else 1.0
    means = part.mean(axis=0)
    places = stats.rankdata(sign * means)
    sums, counts = by_patient(part, [p for p, k in zip(patients, known, strict=True) if k])
    counted = np.zeros((len(names), len(names)))
    for drawn in resamples(len(sums), how):
        again = stats.rankdata(sign * (drawn @ sums) / (drawn @ counts), axis=1, method="min").astype(int)
        for model in range(len(names)):
            counted[model] += np.bincount(again[:, model] - 1, minlength=len(names))
    shares = counted / how.resamples
    return [
        Rank(
            metric=metric.name,
            target=target,
            model=name,
            n=len(part),
            mean=float(means[k]),
            rank=float(places[k]),
            shares=tuple(float(s) for s in shares[k]),
        )
        for k, name in enumerate(names)
    ]
