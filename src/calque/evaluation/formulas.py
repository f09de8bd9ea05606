"""The formulas of metrics: each a function of a `Pair` of which both masks hold something.

Definitions follow Metrics Reloaded (Maier-Hein, Reinke et al. 2024, doi:10.1038/s41592-023-02151-z); which
name, unit and direction each has, and what empty masks get, says `calque.evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calque.evaluation.calibration import brier as brier_score
from calque.evaluation.calibration import calibration_error
from calque.evaluation.pair import Pair


def percentile_hausdorff(percentile: float) -> Callable[[Pair], float]:
    """The larger of the two directed percentiles of border-voxel distances, linearly interpolated, in mm."""

    def distance(pair: Pair) -> float:
        both = pair.surfaces
        return max(_percentile(both.first, percentile), _percentile(both.second, percentile))

    return distance


def _percentile(values: NDArray[np.float64], percentile: float) -> float:
    """As `np.percentile`, to the last bit, without what it costs to be called."""
    if percentile >= 100.0:
        return float(values.max())
    place = percentile / 100.0 * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    parted = np.partition(values, (below, above))
    low, share = float(parted[below]), place - below
    gap = float(parted[above]) - low
    return low + gap * share if share < 0.5 else low + gap - gap * (1.0 - share)


def dice(pair: Pair) -> float:
    """Twice the shared voxels, of the voxels of both."""
    return 2.0 * pair.hits / (pair.n_predicted + pair.n_truth)


def iou(pair: Pair) -> float:
    """The shared voxels, of those in either mask."""
    return pair.hits / (pair.n_predicted + pair.n_truth - pair.hits)


def specificity(pair: Pair) -> float:
    """Of the voxels that the truth leaves out, the share that the prediction does; 1 where there are none."""
    negatives = pair.voxels - pair.n_truth
    return (negatives - (pair.n_predicted - pair.hits)) / negatives if negatives else 1.0


def assd(pair: Pair) -> float:
    """The mean of border-voxel distances in both directions, in mm."""
    both = pair.surfaces
    return float((both.first.sum() + both.second.sum()) / (len(both.first) + len(both.second)))


# Distances may carry a relative error of 3e-7 and tolerances are decimal fractions: a surface exactly at the
# tolerance agrees.
_SLACK = 1.0 + 1e-6


def nsd(pair: Pair) -> float:
    """The share of border voxels of both within the tolerance of the other's border."""
    both, limit = pair.surfaces, pair.tolerance_mm * _SLACK
    near = np.count_nonzero(both.first <= limit) + np.count_nonzero(both.second <= limit)
    return float(near / (len(both.first) + len(both.second)))


def nsd_area(pair: Pair) -> float:
    """The same share, of surface elements by their area."""
    both, limit = pair.elements, pair.tolerance_mm * _SLACK
    near = both.first_weights[both.first <= limit].sum() + both.second_weights[both.second <= limit].sum()
    return float(near / (both.first_weights.sum() + both.second_weights.sum()))


def boundary_iou(pair: Pair) -> float:
    """IoU of the voxels within the tolerance of each mask's own border."""
    here, there = pair.rims
    return float(np.count_nonzero(here & there) / np.count_nonzero(here | there))


def cldice(pair: Pair) -> float:
    """The harmonic mean of the shares of each centreline that lie in the other mask."""
    here, there = pair.skeletons
    precision = np.count_nonzero(here & pair.truth) / np.count_nonzero(here)
    recall = np.count_nonzero(there & pair.predicted) / np.count_nonzero(there)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def panoptic(pair: Pair) -> float:
    """The sum of IoUs of matched objects, over the mean number of objects."""
    found = pair.objects
    return sum(found.ious) / (0.5 * (found.n_predicted + found.n_truth))


def ece(pair: Pair) -> float | None:
    """The mean gap between probability and frequency; None where the class is in neither mask."""
    return None if pair.state == "absent" else calibration_error(pair.bins)


def brier(pair: Pair) -> float | None:
    """The mean squared gap between probability and truth; None where the class is in neither mask."""
    return None if pair.state == "absent" else brier_score(pair.chance, pair.truth, pair.scored)


def volume_error_ml(pair: Pair) -> float:
    """Predicted less true volume, in ml."""
    return (pair.n_predicted - pair.n_truth) * pair.voxel_ml
