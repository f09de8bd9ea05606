"""Whether probabilities mean what they say.

One class against the rest, over the voxels of the box that holds the class in prediction or truth, one voxel
wider: over a whole scan, background that nobody doubts would hide everything (Mehrtash et al. 2020,
doi:10.1109/TMI.2020.3006437). The figures depend on that box and compare models on the same cases only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.ops.nearest import Mask
from calque.value import Value

BINS = 15
"""Of equal width over [0, 1], as in Guo et al. 2017 (arXiv:1706.04599)."""


class Reliability(Value):
    """Voxels by bin of predicted probability.

    Args:
        counts: voxels.
        confidence: sum of their probabilities.
        hits: how many of them the truth gives to the class.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    hits: tuple[int, ...]


def reliability(probability: NDArray[np.floating], truth: Mask, scored: Mask | None = None) -> Reliability:
    """Bin the voxels of a class.

    Args:
        probability: (z, y, x) of the class, 0 to 1.
        truth: the same shape.
        scored: which voxels count; None: all.
    """
    values, hits = probability.ravel(), truth.ravel()
    if scored is not None:
        values, hits = values[scored.ravel()], hits[scored.ravel()]
    at = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
    counts, sums = np.bincount(at, minlength=BINS), np.bincount(at, weights=values, minlength=BINS)
    found = np.bincount(at[hits], minlength=BINS)
    return Reliability(
        counts=tuple(counts.tolist()), confidence=tuple(sums.tolist()), hits=tuple(found.tolist())
    )


def pooled(parts: list[Reliability]) -> Reliability:
    """Voxels of several cases together."""
    return Reliability(
        counts=tuple(np.sum([part.counts for part in parts], axis=0).tolist()),
        confidence=tuple(np.sum([part.confidence for part in parts], axis=0).tolist()),
        hits=tuple(np.sum([part.hits for part in parts], axis=0).tolist()),
    )


def calibration_error(bins: Reliability) -> float | None:
    """Expected calibration error: over bins, the gap of probability and frequency, weighted by voxels.

    None where no voxel was scored.
    """
    total = sum(bins.counts)
    gaps = (abs(sure - hits) for sure, hits in zip(bins.confidence, bins.hits, strict=True))
    return float(sum(gaps) / total) if total else None


def brier(probability: NDArray[np.floating], truth: Mask, scored: Mask | None = None) -> float | None:
    """Mean squared gap of probability and truth (Brier 1950); arguments as `reliability`."""
    squared = (probability.astype(np.float64) - truth) ** 2
    chosen = squared if scored is None else squared[scored]
    return float(chosen.mean()) if chosen.size else None
