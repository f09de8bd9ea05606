"""Agreement of predicted and true volumes (Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8)."""

from __future__ import annotations

import numpy as np

from calque.evaluation.intervals import intervals
from calque.evaluation.scores import Scores
from calque.value import Value

_NEEDS = ("volume_predicted_ml", "volume_truth_ml")
_WIDTH = 1.959963984540054  # standard deviations that hold 95 % of a normal distribution


class Agreement(Value):
    """Predicted minus true volume, over the cases that have the class in prediction or truth.

    Args:
        n: cases.
        patients: patients among them.
        bias_ml: mean difference.
        bias_low: lower end of its bootstrap interval by patient; None for fewer than two patients.
        bias_high: upper end.
        lower_ml: lower limit of agreement, mean - 1.96 standard deviations; None for one case.
        upper_ml: upper limit.
        means_ml: mean of both volumes, by case.
        differences_ml: predicted minus true volume, by case.
    """

    n: int
    patients: int
    bias_ml: float | None = None
    bias_low: float | None = None
    bias_high: float | None = None
    lower_ml: float | None = None
    upper_ml: float | None = None
    means_ml: tuple[float, ...] = ()
    differences_ml: tuple[float, ...] = ()


def agreements(scores: Scores) -> dict[str, Agreement]:
    """By class and region; empty where volumes were not among the metrics."""
    if not set(_NEEDS) <= set(scores.metrics):
        return {}
    return {name: _agreement(scores, name) for name in scores.summaries}


def _agreement(scores: Scores, name: str) -> Agreement:
    chosen = [case for case in scores.cases if case.classes[name].state not in ("absent", "unknown")]
    people = [case.patient for case in chosen]
    volumes = np.array(
        [[case.classes[name].values[need] for need in _NEEDS] for case in chosen], dtype=np.float64
    ).reshape(len(chosen), 2)
    gaps = volumes[:, 0] - volumes[:, 1]
    if not len(gaps):
        return Agreement(n=0, patients=0)
    low, high = (float(v) for v in intervals(gaps[:, None], people, scores.bootstrap)[:, 0])
    enough, spread = len(set(people)) > 1, float(gaps.std(ddof=1)) if len(gaps) > 1 else None
    bias = float(gaps.mean())
    return Agreement(
        n=len(gaps),
        patients=len(set(people)),
        bias_ml=bias,
        bias_low=low if enough else None,
        bias_high=high if enough else None,
        lower_ml=None if spread is None else bias - _WIDTH * spread,
        upper_ml=None if spread is None else bias + _WIDTH * spread,
        means_ml=tuple(volumes.mean(axis=1).tolist()),
        differences_ml=tuple(gaps.tolist()),
    )
