"""Windows larger than those of training: fewest voxels, within memory, and only where they do no harm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import InputError, ResourceError
from calque.geometry import Grid
from calque.image import LabelMap
from calque.nets import build
from calque.prediction import (
    Learned,
    PredictOptions,
    Predictor,
    WindowTrial,
    learn_windows,
    merge_learned,
)
from calque.prediction.tiling import fewest, window_starts

from .fakes import Threshold, image_on, threshold_plan

TRIAL = WindowTrial(trained=0.9, fewest=0.8985, cases=40, patients=5, error=0.0004)
OPTIONS = PredictOptions(engine="torch", precision="f32", mirror="off")
GRID = Grid.from_parts((20, 30, 26), (1, 1, 1))
PLAN = threshold_plan(patch=(8, 16, 16))
sizes = st.tuples(*[st.integers(1, 90)] * 3)
trained_sizes = st.tuples(*[st.sampled_from([1, 8, 16, 24, 32])] * 3)


def computed(shape: tuple[int, ...], window: tuple[int, ...], overlap: float) -> int:
    padded = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    starts = window_starts(padded, window, overlap)  # type: ignore[arg-type]
    return math.prod(len(s) for s in starts) * math.prod(window)


@given(
    shape=sizes,
    trained=trained_sizes,
    times=st.sampled_from([1.0, 1.5, 2.0, 4.0]),
    overlap=st.sampled_from([0, 0.5]),
)
def test_no_window_of_its_kind_computes_fewer_voxels(shape, trained, times, overlap):
    most = int(times * math.prod(trained))
    window = fewest(shape, trained, (8, 8, 8), most, overlap)
    assert all(w >= t for w, t in zip(window, trained, strict=True))
    assert all(w % 8 == 0 or w == t for w, t in zip(window, trained, strict=True))
    assert math.prod(window) <= most
    others = itertools.product(
        *(
            (t, *range(t + 8 - t % 8, n + 8, 8)) if t > 1 else (1,)
            for n, t in zip(shape, trained, strict=True)
        )
    )
    least = min(computed(shape, o, overlap) for o in others if math.prod(o) <= most)
    assert computed(shape, window, overlap) == least


def test_the_thorax_is_one_window():
    assert fewest((134, 167, 167), (128, 128, 128), (32, 32, 32), 2 * 128**3) == (136, 168, 168)
    assert fewest((134, 167, 167), (128, 128, 128), (32, 32, 32), 128**3) == (128, 128, 128)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    mirror=st.sampled_from(["off", "full"]),
)
def test_a_network_that_sees_each_voxel_alone_gives_the_same_labels(seed, shape, mirror):
    image = image_on(
        Grid.from_parts(shape, (1, 1.2, 0.9)), np.random.default_rng(seed).random(shape) * 2 + 0.01
    )
    maps = [
        Predictor(PLAN, [Threshold()], OPTIONS.model_copy(update={"windows": w, "mirror": mirror}))(image)
        for w in ("trained", "fewest")
    ]
    np.testing.assert_array_equal(maps[0].label_map.array, maps[1].label_map.array)


def test_fewer_voxels_are_computed_and_forecast():
    plans = {w: of(w).forecast(GRID, 4) for w in ("trained", "fewest")}
    voxels = {w: plan.windows * math.prod(plan.window) for w, plan in plans.items()}
    assert plans["trained"].window == PLAN.patch
    assert voxels["fewest"] < voxels["trained"]


def of(windows: str, learned: Learned | None = None, **options: object) -> Predictor:
    told = OPTIONS.model_copy(update={"windows": windows, **options})
    return Predictor(PLAN, [Threshold()], told, learned=learned)


def test_a_limit_of_memory_makes_windows_smaller_and_at_last_refuses():
    grid = Grid.from_parts((64, 64, 64), (1, 1, 1))
    wide = threshold_plan(patch=(32, 32, 32))
    free, usual = (
        Predictor(wide, [Threshold()], OPTIONS.model_copy(update={"windows": w})).forecast(grid, 4)
        for w in ("fewest", "trained")
    )
    assert math.prod(free.window) > math.prod(usual.window)
    limits = (free.memory_bytes, (free.memory_bytes + usual.memory_bytes) // 2, usual.memory_bytes)
    found = [
        Predictor(wide, [Threshold()], OPTIONS.model_copy(update={"windows": "fewest", "memory": limit}))
        for limit in limits
    ]
    kept = [one.forecast(grid, 4) for one in found]
    assert [one.memory_bytes <= limit for one, limit in zip(kept, limits, strict=True)] == [True] * 3
    voxels = [math.prod(one.window) for one in kept]
    assert voxels == sorted(voxels, reverse=True)
    least = OPTIONS.model_copy(update={"windows": "fewest", "memory": usual.memory_bytes // 2})
    with pytest.raises(ResourceError, match="at least"):
        Predictor(wide, [Threshold()], least).forecast(grid, 4)


@pytest.mark.parametrize(
    ("trial", "windows"),
    [
        (None, "trained"),
        (TRIAL, "fewest"),
        (TRIAL.model_copy(update={"fewest": 0.8975}), "trained"),
        (TRIAL.model_copy(update={"patients": 4}), "trained"),
        (TRIAL.model_copy(update={"error": 0.0006}), "trained"),
        (WindowTrial(trained=0.9, fewest=0.9, cases=40), "trained"),
    ],
)
def test_auto_takes_larger_windows_only_where_validation_did_not_suffer(trial, windows):
    assert of("auto", Learned(windows=trial)).windows == windows
    assert of("trained", Learned(windows=trial)).windows == "trained"
    assert of("fewest", Learned(windows=trial)).windows == "fewest"
    assert of("auto", Learned(windows=trial), confidence=True).windows == "trained"


def test_networks_that_take_no_other_windows_are_named():
    odd = PLAN.model_copy(update={"network": PLAN.network.model_copy(update={"kind": "module:mine"})})
    with pytest.raises(InputError, match="windows"):
        Predictor(odd, [Threshold()], OPTIONS.model_copy(update={"windows": "fewest"}))
    assert Predictor(odd, [Threshold()], OPTIONS, learned=Learned(windows=TRIAL)).windows == "trained"
    assert learn_windows(odd, [Threshold()], [], OPTIONS) is None


def test_a_trial_compares_dice_where_windows_differ():
    image = image_on(GRID, (np.random.default_rng(0).random(GRID.shape) > 0.5).astype(np.float32))
    small = image_on(Grid.from_parts((8, 16, 16), (1, 1, 1)), np.ones((8, 16, 16), np.float32))
    pairs = [
        (i, LabelMap(PLAN.labels.to_values(i.array[0].astype(np.uint8)), i.grid, PLAN.labels))
        for i in (image, small)
    ]
    found = learn_windows(PLAN, [Threshold()], pairs, OPTIONS)
    assert found == WindowTrial(trained=1.0, fewest=1.0, cases=1, patients=1)
    assert learn_windows(PLAN, [Threshold()], pairs[1:], OPTIONS) is None


def test_cases_of_one_patient_count_once_and_borders_of_nothing_do_not():
    image = image_on(GRID, (np.random.default_rng(0).random(GRID.shape) > 0.5).astype(np.float32))
    hollow = np.zeros(GRID.shape, np.float32)
    hollow[:8, :16, :16] = 1  # what is kept of it fills one window
    cases = [
        (i, LabelMap(PLAN.labels.to_values(i.array[0].astype(np.uint8)), i.grid, PLAN.labels), patient)
        for i, patient in ((image, "a"), (image, "a"), (image, "b"), (image_on(GRID, hollow), "c"))
    ]
    cropping = PLAN.model_copy(update={"crop": "nonzero"})
    found = learn_windows(cropping, [Threshold()], cases, OPTIONS)
    assert found == WindowTrial(trained=1.0, fewest=1.0, cases=3, patients=2, error=0.0)


def test_folds_must_all_have_tried():
    other = WindowTrial(trained=0.8, fewest=0.8, cases=2, patients=2, error=0.0003)
    both = merge_learned([Learned(windows=TRIAL), Learned(windows=other)]).windows
    assert both is not None
    assert (both.trained, both.cases, both.patients) == (pytest.approx(0.85), 42, 7)
    assert both.error == pytest.approx(0.00025)
    assert merge_learned([Learned(windows=TRIAL), Learned()]).windows is None


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_real_network_streams_larger_windows(kind):
    """Odd sizes through strides of two: every voxel is labelled, and mirroring by hand agrees."""
    plan = threshold_plan(
        patch=(8, 16, 16), network=PLAN.network.model_copy(update={"kind": kind, "outputs": 3})
    )
    image = image_on(Grid.from_parts((11, 37, 19), (1, 1, 1)), np.random.default_rng(1).random((11, 37, 19)))
    network = build(plan.network, seed=3).eval()
    predictor = Predictor(plan, [network], OPTIONS.model_copy(update={"windows": "fewest"}))
    assert predictor(image).label_map.array.shape == (11, 37, 19)
    assert predictor.forecast(image.grid, 4).window != plan.patch
