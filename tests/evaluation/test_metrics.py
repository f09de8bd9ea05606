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
from calque.evaluation.lesions import match_objects
from calque.evaluation.metrics import CALIBRATION, METRICS, Metric, metric_named, select
from calque.evaluation.pair import Pair

ALL = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
SPACING = (2.5, 0.7, 0.9)


def pair(predicted, truth, spacing=SPACING, tolerance=1.0) -> Pair:
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    sure = predicted.astype(np.float32)  # of what it predicts, and nothing else
    ml = float(np.prod(spacing)) / 1000
    return Pair(predicted, truth, spacing, ml, truth.size, tolerance, probability=sure)


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
    "boundary_iou": (0, 0, None),
    "cldice": (0, 0, None),
    "lesion_precision": (None, 0, None),
    "lesion_recall": (0, None, None),
    "lesion_f1": (0, 0, None),
    "panoptic_quality": (0, 0, None),
    "volume_predicted_ml": (0, VOLUME, 0),
    "volume_truth_ml": (VOLUME, 0, 0),
    "volume_error_ml": (-VOLUME, VOLUME, 0),
    "volume_error_relative": (-1, None, None),
    "ece": (1 - CLEAN, 1 - CLEAN, None),
    "brier": (1 - CLEAN, 1 - CLEAN, None),
}
PERFECT = {"higher": 1.0, "lower": 0.0, "zero": 0.0, "neither": VOLUME}


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
    assert metric(pair(SOME, SOME)) == pytest.approx(PERFECT[metric.better], abs=1e-12)


# Figures of probabilities are over the box of the structure, which padding would change.
IN_PLACE = pytest.mark.parametrize("metric", [m for m in METRICS.values() if m.name not in CALIBRATION])
# Thinning takes voxels off in an order of directions: a centreline depends on it by a voxel.
TURNED = pytest.mark.parametrize("metric", [m for m in METRICS.values() if m.needs != "skeletons"])


@IN_PLACE
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.01, 0.3, 0.95]))
def test_where_the_masks_lie_does_not_matter(metric: Metric, seed: int, density: float):
    first, second = mask(seed, density), mask(seed + 1, 0.3)
    here = pair(first, second)
    wide = [np.pad(m, ((1, 2), (3, 0), (0, 4))) for m in (first, second)]
    there = Pair(wide[0], wide[1], here.spacing, here.voxel_ml, here.voxels, here.tolerance_mm)
    assert metric(there) == pytest.approx(metric(here), rel=1e-12)


@TURNED
def test_turning_the_patient_does_not_matter(metric: Metric):
    first, second = mask(3, 0.3), mask(4, 0.2)
    value = metric(pair(first, second))
    for axes in itertools.permutations(range(3)):
        turned = pair(
            first.transpose(axes)[::-1], second.transpose(axes)[::-1], tuple(SPACING[a] for a in axes)
        )
        assert metric(turned) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    "name",
    ["dice", "iou", "hd", "hd95", "assd", "nsd", "nsd_area", "boundary_iou", "lesion_f1", "panoptic_quality"],
)
def test_symmetric(name: str):
    first, second = mask(5, 0.3), mask(6, 0.1)
    assert METRICS[name](pair(first, second)) == pytest.approx(METRICS[name](pair(second, first)))


@pytest.mark.parametrize(("one", "other"), [("precision", "recall"), ("lesion_precision", "lesion_recall")])
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


def test_percentiles_by_name():
    first, second = mask(3, 0.3), mask(4, 0.02)
    scored = pair(first, second)
    assert metric_named("hd50")(scored) < metric_named("hd99.5")(scored) <= METRICS["hd"](scored)
    assert metric_named("hd95") is METRICS["hd95"]
    assert metric_named("hd50")(scored) < METRICS["hd95"](scored) == select(["hd95.0"])[0](scored)
    for name in ("hd0", "hd100", "hd-5", "hd95x"):
        with pytest.raises(InputError, match="no such metric"):
            metric_named(name)


def test_objects_by_hand():
    truth, predicted = np.zeros((1, 9, 20), bool), np.zeros((1, 9, 20), bool)
    truth[0, 1:5, 1:5] = predicted[0, 1:5, 1:6] = True  # 16 of 20: found
    truth[0, 1:3, 8:12] = predicted[0, 2:4, 8:12] = True  # 4 of 12: too little
    truth[0, 7, 7] = predicted[0, 7, 15] = predicted[0, 8, 16] = (
        True  # missed; spurious, one object by corners
    )
    found = match_objects(predicted, truth, 0.5)
    assert (found.n_predicted, found.n_truth, found.ious) == (3, 3, (0.8,))
    scored = pair(predicted, truth)
    expected = {
        "lesion_precision": 1 / 3,
        "lesion_recall": 1 / 3,
        "lesion_f1": 1 / 3,
        "panoptic_quality": 0.8 / 3,
    }
    assert {name: METRICS[name](scored) for name in expected} == pytest.approx(expected)
    assert match_objects(predicted, truth, 0.3).ious == pytest.approx((0.8, 1 / 3))


def test_each_object_is_matched_once():
    truth, predicted = np.zeros((1, 3, 12), bool), np.zeros((1, 3, 12), bool)
    predicted[0, 1] = True  # one bar over both objects
    truth[0, 1, :4] = truth[0, 1, 5:] = True
    assert match_objects(predicted, truth, 0.1).ious == pytest.approx((7 / 12,))


def test_centreline_of_a_tube_that_was_predicted_thick_or_short():
    tube = np.zeros((9, 9, 30), bool)
    tube[3:6, 3:6, 2:28] = True
    thick = np.zeros_like(tube)
    thick[2:7, 2:7, 1:29] = True
    assert METRICS["cldice"](pair(thick, tube)) == 1.0  # Dice would fall to 0.5
    short = tube.copy()
    short[..., 15:] = False
    value = METRICS["cldice"](pair(short, tube))
    assert value == pytest.approx(2 / 3, abs=0.05)  # precision 1, recall one half


def test_boundary_iou_by_hand():
    truth = np.zeros((1, 12, 12), bool)
    truth[0, 1:11, 1:11] = True
    hollow = truth.copy()
    hollow[0, 5:7, 5:7] = False
    thin = pair(hollow, truth, (1.0, 1.0, 1.0), tolerance=0.0)
    assert METRICS["boundary_iou"](thin) == pytest.approx(36 / (36 + 8))  # the hole has a border of its own
    deep = pair(hollow, truth, (1.0, 1.0, 1.0), tolerance=9.0)
    assert METRICS["boundary_iou"](deep) == METRICS["iou"](deep)


def test_calibration_by_hand():
    truth = np.array([1, 1, 0, 0, 1, 0], bool).reshape(1, 1, 6)
    sure = np.array([0.91, 0.92, 0.93, 0.12, 0.13, 1.0]).reshape(1, 1, 6)
    scored = Pair(truth, truth, SPACING, 0.1, 6, 1.0, probability=sure)
    gaps = abs(0.91 + 0.92 + 0.93 - 2) + abs(0.12 + 0.13 - 1) + abs(1.0 - 0)
    assert METRICS["ece"](scored) == pytest.approx(gaps / 6)
    assert METRICS["brier"](scored) == pytest.approx(np.mean((sure - truth) ** 2))
    some = Pair(truth, truth, SPACING, 0.1, 6, 1.0, probability=sure, scored=truth)
    assert METRICS["brier"](some) == pytest.approx(np.mean((sure[truth] - 1) ** 2))
    with pytest.raises(InputError, match="needs probabilities"):
        METRICS["ece"](Pair(truth, truth, SPACING, 0.1, 6, 1.0))
