"""How often do 95 % intervals hold the true mean? A simulation: `python benchmarks/coverage.py [DATASETS]`.

For each way of making intervals, each sort of figure and each number of patients, data sets are drawn whose
true mean is known; the share of intervals that hold it is the coverage. It prints a table in Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calque.evaluation.intervals import intervals
from calque.evaluation.scores import Bootstrap

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

METHODS = ("percentile", "bca", "bca_expanded", "hall")
PATIENTS = (8, 10, 20, 50, 100, 200)


def _with_failures(share: float) -> Draw:
    def draw(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        failed = generator.random(shape) < share
        return np.where(failed, generator.beta(2, 4, shape), generator.beta(30, 4, shape))

    return draw


def _three_scans(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Rows are scans, three of each patient, who are alike."""
    patients = generator.beta(12, 2, (shape[0] // 3, shape[1]))
    return np.repeat(patients, 3, axis=0) + generator.normal(0, 0.03, shape)


FIGURES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda g, s: g.normal(0, 1, s), 0.0),
    "Dice, skewed: beta(12, 2)": (lambda g, s: g.beta(12, 2, s), 12 / 14),
    "Dice, three scans a patient": (_three_scans, 12 / 14),
    "distance: log-normal, sigma 0.5": (lambda g, s: g.lognormal(0, 0.5, s), float(np.exp(0.125))),
    "distance: log-normal, sigma 0.8": (lambda g, s: g.lognormal(0, 0.8, s), float(np.exp(0.32))),
    "distance: log-normal, sigma 1.2": (lambda g, s: g.lognormal(0, 1.2, s), float(np.exp(0.72))),
    "volume: gamma(1.5)": (lambda g, s: g.gamma(1.5, 1.0, s), 1.5),
    "Dice with 8 % failures": (_with_failures(0.08), 0.92 * 30 / 34 + 0.08 * 2 / 6),
    "Dice with 20 % failures": (_with_failures(0.2), 0.8 * 30 / 34 + 0.2 * 2 / 6),
}


def coverage(figure: str, patients: int, method: str, datasets: int, seed: int = 0) -> float:
    """Share of 95 % intervals that hold the true mean."""
    draw, mean = FIGURES[figure]
    scans = 3 if draw is _three_scans else 1
    values = draw(np.random.default_rng(seed), (patients * scans, datasets))
    people = [str(k // scans) for k in range(patients * scans)]
    low, high = intervals(values, people, Bootstrap(method=method, seed=seed + 1))
    return float(np.mean((low <= mean) & (mean <= high)))


def main(datasets: int) -> None:
    print(f"Coverage of 95 % intervals, in percent; {datasets} data sets each, 2000 resamples\n")
    print("| figure | method | " + " | ".join(f"n = {n}" for n in PATIENTS) + " |")
    print("|---|---|" + "---|" * len(PATIENTS))
    for figure in FIGURES:
        for method in METHODS:
            shares = [100 * coverage(figure, n, method, datasets) for n in PATIENTS]
            print(f"| {figure} | {method} | " + " | ".join(f"{s:.1f}" for s in shares) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
