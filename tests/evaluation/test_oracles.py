"""Metrics against the programs that the field trusts, on two hundred random and adversarial pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from calque.evaluation.calibration import calibration_error
from calque.evaluation.metrics import METRICS
from calque.evaluation.pair import Pair
from calque.ops import nearest
from calque.ops.distance import Surfaces, border

from .pairs import drawn

PAIRS = tuple(drawn())
TOLERANCES = (0.0, 0.9, 2.0)
CLOSE = 1e-6


def surfaces_of_deepmind(one):
    """What surface-distance computes; pictures in two dimensions."""
    oracle = pytest.importorskip("surface_distance")
    flat = one.truth.shape[0] == 1
    masks = (one.truth[0], one.predicted[0]) if flat else (one.truth, one.predicted)
    return oracle, oracle.compute_surface_distances(*masks, one.spacing[1:] if flat else one.spacing)


def as_deepmind(surfaces: Surfaces) -> dict[str, np.ndarray]:
    """Our surfaces in its form."""
    there, back = np.argsort(surfaces.second, kind="stable"), np.argsort(surfaces.first, kind="stable")
    return {
        "distances_gt_to_pred": surfaces.second[there],
        "distances_pred_to_gt": surfaces.first[back],
        "surfel_areas_gt": surfaces.second_weights[there],
        "surfel_areas_pred": surfaces.first_weights[back],
    }


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning")
def test_surfaces_equal_deepminds():
    """HD95, mean distances and NSD weighted by area, from our surfaces and from its own."""
    for one in PAIRS:
        oracle, theirs = surfaces_of_deepmind(one)
        scored = one.pair()
        ours = as_deepmind(scored.elements)
        for key, values in theirs.items():
            if key.startswith("distances"):
                np.testing.assert_allclose(ours[key], values, atol=CLOSE, err_msg=f"{one.name}: {key}")
            else:
                assert ours[key].sum() == pytest.approx(values.sum(), abs=CLOSE), f"{one.name}: {key}"
        expected = oracle.compute_average_surface_distance(theirs)
        assert oracle.compute_average_surface_distance(ours) == pytest.approx(expected, abs=CLOSE), one.name


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning")
def test_nsd_by_area_equals_deepminds():
    for one in PAIRS:
        oracle, theirs = surfaces_of_deepmind(one)
        for tolerance in TOLERANCES:
            expected = oracle.compute_surface_dice_at_tolerance(theirs, tolerance * (1 + 1e-6))
            value = METRICS["nsd_area"](one.pair(tolerance))
            assert value == pytest.approx(expected, abs=CLOSE), f"{one.name} at {tolerance} mm"


def exact(one) -> dict[str, float]:
    """In double precision, every border voxel against every other."""
    axes = tuple(axis for axis, n in enumerate(one.truth.shape) if n > 1)
    points = [np.argwhere(border(mask, axes)) * one.spacing for mask in (one.predicted, one.truth)]
    gaps = cdist(*points)
    there, back = gaps.min(axis=1), gaps.min(axis=0)
    return {
        "hd": max(there.max(), back.max()),
        "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd": float(np.concatenate([there, back]).mean()),
    }


def test_distances_equal_every_voxel_against_every_other():
    for one in PAIRS:
        scored = one.pair()
        for name, value in exact(one).items():
            assert METRICS[name](scored) == pytest.approx(value, abs=1e-9), f"{one.name}: {name}"


def test_by_transforms_where_trees_would_be_slow(monkeypatch):
    """The other way: exact where spacings have a common unit, else to the rounding of single precision."""
    monkeypatch.setattr(nearest, "_STEPS", (0,))  # nobody looks around
    monkeypatch.setattr(nearest, "_PAIRS", 0)
    monkeypatch.setattr(nearest, "_SMALL", 0)
    monkeypatch.setattr(nearest, "_FEW", 0)
    for reach in (0, 2):  # everything, or what is far, by a transform
        monkeypatch.setattr(nearest, "_DENSE", 10**6 if reach == 0 else 0)
        monkeypatch.setattr(nearest, "_REACH", reach)
        for one in PAIRS:
            scored = one.pair()
            unit = nearest.common_unit(one.spacing, one.truth.shape)
            for name, value in exact(one).items():
                error = 1e-9 if unit is not None else 3e-7 * value
                assert METRICS[name](scored) == pytest.approx(value, rel=0, abs=error), f"{one.name}: {name}"


@pytest.mark.filterwarnings("ignore")
def test_by_trees_where_nobody_looks_around(monkeypatch):
    monkeypatch.setattr(nearest, "_STEPS", (0,))
    monkeypatch.setattr(nearest, "_PAIRS", 0)
    for one in PAIRS:
        scored = one.pair()
        for name, value in exact(one).items():
            assert METRICS[name](scored) == pytest.approx(value, rel=0, abs=1e-9), f"{one.name}: {name}"


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")  # MONAI of itself
def test_distances_equal_monais():
    """MONAI keeps distances in single precision: two units in the last place are allowed on top of 1e-6 mm.

    Its percentile also weighs the two neighbours in single precision, which alone shifts HD95 by up to 5e-6
    mm on these pairs: the percentile is therefore taken of its distances here, and its own only to 1e-5.
    """
    monai = pytest.importorskip("monai.metrics")
    utils = pytest.importorskip("monai.metrics.utils")
    torch = pytest.importorskip("torch")
    for one in PAIRS:
        flat = one.truth.shape[0] == 1
        masks = [torch.from_numpy((m[0] if flat else m).copy()) for m in (one.predicted, one.truth)]
        given = [mask[None, None].float() for mask in masks]
        spacing = one.spacing[1:] if flat else one.spacing
        _, gaps, _ = utils.get_edge_surface_distance(*masks, spacing=spacing, symmetric=True)
        there, back = (gap.double().numpy() for gap in gaps)
        options = {"include_background": True, "spacing": spacing}
        expected = {
            "hd": monai.compute_hausdorff_distance(*given, **options),
            "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
            "assd": monai.compute_average_surface_distance(*given, symmetric=True, **options),
            "nsd": monai.compute_surface_dice(*given, class_thresholds=[0.9 * (1 + 1e-6)], **options),
        }
        scored = one.pair(0.9)
        for name, value in expected.items():
            number = float(value)
            close = CLOSE + 2 * float(np.spacing(np.float32(number)))
            assert METRICS[name](scored) == pytest.approx(number, rel=0, abs=close), f"{one.name}: {name}"
        rounded = float(monai.compute_hausdorff_distance(*given, percentile=95, **options))
        assert METRICS["hd95"](scored) == pytest.approx(rounded, rel=0, abs=1e-5), one.name


def test_overlap_equals_scikit_learns():
    oracle = pytest.importorskip("sklearn.metrics")
    for one in PAIRS:
        truth, predicted = one.truth.ravel(), one.predicted.ravel()
        expected = {
            "dice": oracle.f1_score(truth, predicted),
            "iou": oracle.jaccard_score(truth, predicted),
            "precision": oracle.precision_score(truth, predicted),
            "recall": oracle.recall_score(truth, predicted),
        }
        if not truth.all():
            expected["specificity"] = oracle.recall_score(~truth, ~predicted)
        scored = one.pair()
        for name, value in expected.items():
            assert METRICS[name](scored) == pytest.approx(value, abs=1e-12), f"{one.name}: {name}"


def test_calibration_equals_scikit_learns():
    oracle = pytest.importorskip("sklearn.metrics")
    curve = pytest.importorskip("sklearn.calibration").calibration_curve
    for k, one in enumerate(PAIRS):
        sure = np.random.default_rng(k).random(one.truth.shape)
        scored = Pair(one.predicted, one.truth, one.spacing, 1.0, one.truth.size, 1.0, probability=sure)
        brier = np.mean((one.truth - sure) ** 2)
        if not one.truth.all():
            brier = oracle.brier_score_loss(one.truth.ravel(), sure.ravel())
        assert METRICS["brier"](scored) == pytest.approx(brier, abs=1e-12)
        seen, said = curve(one.truth.ravel(), sure.ravel(), n_bins=15)
        counts = np.histogram(sure, bins=np.linspace(0, 1, 16))[0]
        expected = np.sum(np.abs(seen - said) * counts[counts > 0]) / one.truth.size
        assert METRICS["ece"](scored) == pytest.approx(expected, abs=1e-12), one.name
        assert calibration_error(scored.bins) == METRICS["ece"](scored)
