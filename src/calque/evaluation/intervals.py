"""Intervals of means by patient: after Hall's transformation, or by drawing patients with replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from calque.evaluation.quantiles import normal_edge, normal_share, student_edge
from calque.evaluation.scores import Bootstrap

_BATCH = 256  # resamples at a time: memory stays small for any number of patients

Figures = NDArray[np.float64]


def intervals(values: Figures, patients: Sequence[str], how: Bootstrap) -> Figures:
    """Intervals of the mean over cases.

    Args:
        values: (cases, columns), NaN where there is none.
        patients: one per case.
        how: method, level, resamples, seed.

    Returns:
        (2, columns): lower and upper ends; NaN where there is no value. Every column sees the same resamples.
    """
    columns = values.shape[1]
    if not patients:
        return np.full((2, columns), np.nan)
    sums, counts = by_patient(values, patients)
    if how.method == "hall":
        found = [_hall(sums[:, k], counts[:, k], how.level) for k in range(columns)]
        return np.array(found, dtype=np.float64).T.reshape(2, columns)
    samples = np.concatenate(
        [_ratio(drawn @ sums, drawn @ counts) for drawn in resamples(len(sums), how)], axis=0
    )
    tail = 0.5 * (1.0 - how.level)
    ends = np.full((2, columns), np.nan)
    for k in np.flatnonzero(~np.isnan(samples).all(axis=0)):
        known = samples[:, k][~np.isnan(samples[:, k])]
        ends[:, k] = np.quantile(known, _shares(known, sums[:, k], counts[:, k], tail, how.method))
    return ends


def by_patient(values: Figures, patients: Sequence[str]) -> tuple[Figures, Figures]:
    """(patients, columns): sums of the known values of each patient's cases, and how many they are."""
    people, index = np.unique(np.array(patients), return_inverse=True)
    sums, counts = (np.zeros((len(people), values.shape[1])) for _ in range(2))
    np.add.at(sums, index, np.nan_to_num(values))
    np.add.at(counts, index, ~np.isnan(values))
    return sums, counts


def resamples(people: int, how: Bootstrap) -> Iterator[Figures]:
    """(batch, people): how often each patient is drawn, batch by batch."""
    generator = np.random.default_rng(how.seed)
    share = np.full(people, 1.0 / people)
    for start in range(0, how.resamples, _BATCH):
        size = min(_BATCH, how.resamples - start)
        yield generator.multinomial(people, share, size=size).astype(np.float64)


def _hall(sums: Figures, counts: Figures, level: float) -> tuple[float, float]:
    """Both ends for one column: Student's t, transformed so that the skewness of the patients is gone.

    A patient counts by what it moves the mean over cases.
    """
    known = counts > 0
    sums, counts, n = sums[known], counts[known], int(known.sum())
    if n == 0:
        return np.nan, np.nan
    mean = float(sums.sum() / counts.sum())
    moves = (sums - mean * counts) / counts.mean()
    square = float(np.mean(moves**2))
    if n == 1 or square <= 1e-24 * mean**2:  # nothing varies but by rounding
        return mean, mean
    skew = float(np.mean(moves**3)) / square**1.5
    error = float(np.sqrt(square / (n - 1)))
    edge = student_edge(n - 1, 0.5 * (1.0 - level))
    return mean - _hall_inverse(-edge, skew, n) * error, mean - _hall_inverse(edge, skew, n) * error


def _hall_inverse(t: float, skew: float, n: int) -> float:
    """Where Hall's cubic of the studentised mean has the value `t`."""
    root = float(np.sqrt(n))
    if abs(skew) < 1e-4:
        return t
    return 3.0 * root / skew * (float(np.cbrt(1.0 + skew * (t / root - skew / (6.0 * n)))) - 1.0)


def _ratio(total: Figures, count: Figures) -> Figures:
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _shares(samples: Figures, sums: Figures, counts: Figures, tail: float, method: str) -> Figures:
    """Which quantiles of the resampled means are the ends: (2,) shares."""
    known = counts > 0
    sums, counts, n = sums[known], counts[known], int(known.sum())
    if method == "percentile" or n < 2:
        return np.array([tail, 1.0 - tail])
    edge = np.sqrt(n / (n - 1)) * student_edge(n - 1, tail) if method == "bca_expanded" else normal_edge(tail)
    mean = sums.sum() / counts.sum()
    below = 0.5 * (np.mean(samples < mean) + np.mean(samples <= mean))  # ties count half
    bias = normal_edge(float(np.clip(below, 0.5 / len(samples), 1.0 - 0.5 / len(samples))))
    left_out = (sums.sum() - sums) / (counts.sum() - counts)  # the jackknife, patient by patient
    gaps = left_out.mean() - left_out
    spread = float((gaps**2).sum()) ** 1.5
    skew = float((gaps**3).sum()) / (6.0 * spread) if spread > 0 else 0.0
    z = bias + np.array([edge, -edge])
    scale = 1.0 - skew * z
    moved = np.divide(z, scale, out=np.copysign(np.full(2, np.inf), z), where=scale > 0)
    return np.array([normal_share(float(bias + end)) for end in moved])
