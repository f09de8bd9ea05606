"""Every metric: its laws, its value on empty masks, and figures from oracles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from calque.errors import InputError
from calque.evaluation.metrics import METRICS, Metric, select
from calque.evaluation.pair import Pair

ALL = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
SPACING = (2.5, 0.7, 0.9)


def pair(predicted, truth, spacing=SPACING, tolerance=1.0) -> Pair:
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    return Pair(predicted, truth, spacing, float(np.prod(spacing)) / 1000, truth.size, tolerance)


def mask(seed: int, density: float, shape=(6, 7, 8)):
    found = np.random.default_rng(seed).random(shape) < density
    found[1, 2, 3] = True
    return found


EMPTY, SOME = np.zeros((6, 7, 8), bool), mask(1, 0.2)

# What docs/decisions/empty-masks.md says, once more and by hand: missed, spurious, absent.
VOLUME = SOME.sum() * np.prod(SPACING) / 1000
CLEAN = 1 - SOME.sum() / SOME.size
EXPECTED_EMPTY = {
    "dice": (0, 0, None),
    "iou": (0, 0, None),
    "precision": (None, 0, None),
    "recall": (0, None, None),
    "specificity": (1, CLEAN, 1),
    "hd": (None, None, None),
    "hd95": (None, None, None),
    "assd": (None, None, None),
    "nsd": (0, 0, None),
    "nsd_area": (0, 0, None),
    "volume_predicted_ml": (0, VOLUME, 0),
    "volume_truth_ml": (VOLUME, 0, 0),
    "volume_error_ml": (-VOLUME, VOLUME, 0),
    "volume_error_relative": (-1, None, None),
}
PERFECT = {"": 1.0, "mm": 0.0, "ml": 0.0}


@ALL
def test_entry_describes_itself(metric: Metric):
    assert METRICS[metric.name] is metric
    assert metric.title
    assert metric.definition
    assert metric.unit in ("", "mm", "ml")


@ALL
def test_empty_masks(metric: Metric):
    found = (metric(pair(EMPTY, SOME)), metric(pair(SOME, EMPTY)), metric(pair(EMPTY, EMPTY)))
    assert found == pytest.approx(EXPECTED_EMPTY[metric.name])


@ALL
def test_perfect_prediction(metric: Metric):
    value = metric(pair(SOME, SOME))
    if metric.better == "neither":
        assert value == pytest.approx(VOLUME)
    else:
        assert value == (0.0 if metric.better == "zero" else PERFECT[metric.unit])


@ALL
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.01, 0.3, 0.95]))
def test_where_the_masks_lie_does_not_matter(metric: Metric, seed: int, density: float):
    first, second = mask(seed, density), mask(seed + 1, 0.3)
    here = pair(first, second)
    wide = [np.pad(m, ((1, 2), (3, 0), (0, 4))) for m in (first, second)]
    there = Pair(wide[0], wide[1], here.spacing, here.voxel_ml, here.voxels, here.tolerance_mm)
    assert metric(there) == pytest.approx(metric(here), rel=1e-12)


@ALL
def test_turning_the_patient_does_not_matter(metric: Metric):
    first, second = mask(3, 0.3), mask(4, 0.2)
    value = metric(pair(first, second))
    for axes in itertools.permutations(range(3)):
        turned = pair(
            first.transpose(axes)[::-1], second.transpose(axes)[::-1], tuple(SPACING[a] for a in axes)
        )
        assert metric(turned) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", ["dice", "iou", "hd", "hd95", "assd", "nsd", "nsd_area"])
def test_symmetric(name: str):
    first, second = mask(5, 0.3), mask(6, 0.1)
    assert METRICS[name](pair(first, second)) == pytest.approx(METRICS[name](pair(second, first)))


@pytest.mark.parametrize(("one", "other"), [("precision", "recall")])
def test_mirror_images_of_each_other(one: str, other: str):
    first, second = mask(5, 0.3), mask(6, 0.1)
    assert METRICS[one](pair(first, second)) == METRICS[other](pair(second, first))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    densities=st.tuples(*[st.sampled_from([0.0, 0.05, 0.5, 1.0])] * 2),
    tolerance=st.sampled_from([0.0, 0.7, 1.0, 2.5]),
)
def test_surface_metrics_equal_brute_force(seed, shape, densities, tolerance):
    generator = np.random.default_rng(seed)
    pairs = [generator.random(shape) < d for d in densities]
    for m in pairs:
        m[tuple(generator.integers(0, n) for n in shape)] = True
    edges = [np.argwhere(m & ~ndimage.binary_erosion(m)) * SPACING for m in pairs]
    gaps = cdist(*edges)
    there, back = gaps.min(axis=1), gaps.min(axis=0)
    both = np.concatenate([there, back])
    scored = pair(*pairs, tolerance=tolerance)
    expected = {
        "hd": both.max(),
        "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd": both.mean(),
        "nsd": np.mean(both <= tolerance + 1e-9),
    }
    for name, value in expected.items():
        assert METRICS[name](scored) == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_worked_by_hand():
    truth = np.zeros((3, 3, 6), bool)
    predicted = truth.copy()
    truth[1, 1, 0:4] = True
    predicted[1, 1, 2:5] = True
    scored = pair(predicted, truth, spacing=(2.0, 3.0, 0.5), tolerance=0.5)
    expected = {
        "dice": 4 / 7,
        "iou": 2 / 5,
        "precision": 2 / 3,
        "recall": 1 / 2,
        "specificity": 49 / 50,
        "hd": 1.0,  # from x = 0 to x = 2
        "hd95": 0.925,  # of 0, 0, 0.5, 1 at 0.95 * 3
        "assd": (1.0 + 0.5 + 0.5) / 7,
        "nsd": 6 / 7,
        "volume_predicted_ml": 0.009,
        "volume_truth_ml": 0.012,
        "volume_error_ml": -0.003,
        "volume_error_relative": -0.25,
    }
    assert {name: METRICS[name](scored) for name in expected} == pytest.approx(expected)


def test_area_weighted_nsd_differs_from_counted_voxels_by_definition():
    """Two plates, one voxel apart: voxels are 1 mm apart, but the elements between the plates coincide."""
    first, second = np.zeros((9, 12, 12), bool), np.zeros((9, 12, 12), bool)
    first[4, 1:11, 1:11] = second[5, 1:11, 1:11] = True
    near = pair(first, second, (1.0, 1.0, 1.0), tolerance=1.0)
    far = pair(first, second, (1.0, 1.0, 1.0), tolerance=0.5)
    assert METRICS["nsd"](near) == METRICS["nsd_area"](near) == 1.0
    assert METRICS["nsd"](far) == 0.0
    assert 0.4 < METRICS["nsd_area"](far) < 0.7


@pytest.mark.parametrize("step", [0.1, 0.3, 0.7, 1.1])
def test_a_surface_exactly_at_the_tolerance_agrees(step: float):
    first, second = np.zeros((3, 3, 9), bool), np.zeros((3, 3, 9), bool)
    first[1, 1, 2] = second[1, 1, 5] = True
    scored = pair(first, second, (step, step, step), tolerance=3 * step)
    assert METRICS["nsd"](scored) == 1.0


def test_unknown_metric_lists_the_choices():
    with pytest.raises(InputError, match="no such metric") as caught:
        select(["dice", "dicee"])
    assert "hd95" in str(caught.value)
    with pytest.raises(InputError, match="at least one"):
        select([])
    assert [m.name for m in select(["iou", "dice", "iou"])] == ["iou", "dice"]
