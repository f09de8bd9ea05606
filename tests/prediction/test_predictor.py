"""Whatever the orientation and spacing, labels land where the intensities were."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from calque.errors import InputError, ModelError
from calque.geometry import Box, Grid, Reorientation
from calque.heads import Decoder
from calque.labels import Labels
from calque.nets import NetworkConfig, build
from calque.ops.resample import resample
from calque.prediction import PredictOptions, Predictor, scratch
from calque.prediction import restore as restoring
from calque.prediction.restore import Wanted, resampled, restore
from calque.prediction.windows import Slab
from calque.preparation import Placement

from ..preparation.synthetic import LABELS
from .fakes import Threshold, ball, image_on, random_grid, threshold_plan

KEPT = Reorientation((0, 1, 2), (False, False, False))
EXACT = PredictOptions(precision="f32", mirror="off", engine="torch")


def own_spacing(grid: Grid) -> tuple[float, float, float]:
    return grid.reorientation("SPL").grid(grid).spacing


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 17)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
    crop=st.sampled_from(["none", "nonzero"]),
    mirror=st.sampled_from(["off", "interleaved", "full"]),
)
def test_every_voxel_is_labelled_by_its_own_intensity(seed, shape, spacing, crop, mirror):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng, shape, spacing)
    classes = rng.integers(0, 3, size=shape)
    classes[tuple(rng.integers(0, n) for n in shape)] = 1  # an image of zeros is refused
    plan = threshold_plan(spacing=own_spacing(grid), crop=crop)
    options = EXACT.model_copy(update={"mirror": mirror})
    prediction = Predictor(plan, [Threshold()], options)(image_on(grid, classes.astype(np.float32)))
    assert prediction.label_map.grid == grid
    np.testing.assert_array_equal(prediction.label_map.array, plan.labels.to_values(classes))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), stretch=st.tuples(*[st.floats(0.6, 1.8)] * 3))
def test_a_ball_stays_where_it_is_when_it_is_resampled(seed, stretch):
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(0.7, 1.6, 3)
    shape = tuple(int(n) for n in np.ceil(24 / spacing) + rng.integers(0, 3, 3))
    grid = random_grid(rng, shape, tuple(spacing))
    centre = grid.to_world((np.array(shape) - 1) / 2 + rng.uniform(-1, 1, 3))
    image = image_on(grid, ball(grid, centre, 7.0))
    plan = threshold_plan(spacing=tuple(np.array(own_spacing(grid)) * stretch))
    predicted = Predictor(plan, [Threshold()], EXACT)(image).label_map.array > 0
    truth = image.array[0] > 0.5
    assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) > 0.9
    assert np.linalg.norm(grid.to_world(np.argwhere(predicted)).mean(axis=0) - centre) < 0.5


@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 1, 20), (3, 40, 2), (1, 1, 1)])
def test_one_slice_is_enough(shape):
    grid = Grid.from_parts(shape, (20.0, 1.0, 1.0))
    image = image_on(grid, np.ones(shape, np.float32))
    plan = threshold_plan(spacing=(1.0, 1.0, 1.0))
    assert (Predictor(plan, [Threshold()], EXACT)(image).label_map.array == 1).all()


def test_what_was_cropped_away_is_background():
    grid = Grid.from_parts((12, 12, 12), (1, 1, 1))
    array = np.zeros(grid.shape, np.float32)
    array[4:8, 4:8, 4:8] = 0.2
    plan = threshold_plan(crop="nonzero")
    options = EXACT.model_copy(update={"probabilities": True})
    prediction = Predictor(plan, [Threshold(shift=1.0)], options)(image_on(grid, array))
    assert (prediction.label_map.array == 1).sum() == 64
    np.testing.assert_array_equal(prediction.probabilities[:, 0, 0, 0], [1, 0, 0])


def test_folds_are_averaged_as_logits():
    grid = Grid.from_parts((8, 8, 8), (1, 1, 1))
    image = image_on(grid, np.full(grid.shape, 1.0, np.float32))
    options = EXACT.model_copy(update={"probabilities": True})
    folds = [Threshold(-0.75), Threshold(0.5)]
    prediction = Predictor(threshold_plan(), folds, options)(image)
    window = torch.ones(1, 1, 1, 1, 1)
    logits = np.mean([fold(window)[0].detach().numpy().ravel() for fold in folds], axis=0)
    np.testing.assert_allclose(prediction.probabilities[:, 3, 3, 3], softmax(logits), rtol=1e-5)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    source=st.tuples(st.integers(1, 30), st.integers(1, 6), st.integers(1, 6)),
    target=st.tuples(st.integers(1, 50), st.integers(1, 6), st.integers(1, 6)),
    orders=st.sampled_from([(1, 1, 1), (0, 1, 1), (1, 1, 0)]),
)
def test_slab_by_slab_gives_the_labels_of_the_whole(seed, source, target, orders):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, *source)).astype(np.float32)
    whole = resample(logits, target, orders)
    grid = Grid.from_parts(target, (1, 1, 1))
    placement = Placement(grid, grid, Box((0, 0, 0), target), grid.resized(source))
    cuts = sorted({0, source[0], *rng.integers(0, source[0] + 1, 4).tolist()})
    pieces = (Slab(slice(a, b), logits[:, a:b].copy()) for a, b in itertools.pairwise(cuts))
    streamed = restore(
        pieces, placement, Decoder(labels=LABELS), KEPT, orders=orders, wanted=Wanted(probabilities=True)
    )
    np.testing.assert_allclose(streamed.probabilities, softmax(whole, axis=0), atol=1e-5)
    best = np.sort(whole, axis=0)
    clear = best[-1] - best[-2] > 1e-5  # sums in another order may break a tie in another way
    np.testing.assert_array_equal(streamed.values[clear], LABELS.to_values(whole.argmax(axis=0))[clear])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_probabilities_in_files_are_those_in_memory(tmp_path, monkeypatch, axis):
    monkeypatch.setattr(scratch, "PAGE_BYTES", 2000)
    monkeypatch.setattr(restoring, "CHUNK_BYTES", 4 * 3 * 25 * 20 * 2)
    shape = [9, 9, 9]
    shape[axis] = 40
    grid = Grid.from_parts(tuple(shape), (1.0, 1.5, 0.8))
    image = image_on(grid, np.random.default_rng(0).normal(size=grid.shape).astype(np.float32))
    options = EXACT.model_copy(update={"probabilities": True, "entropy": True})
    plan = threshold_plan(spacing=(1.7, 1.3, 1.1), patch=(8, 8, 8))
    right = Predictor(plan, [Threshold()], options)(image)
    found = Predictor(plan, [Threshold()], options.model_copy(update={"scratch": tmp_path}))(image)
    assert len(list(tmp_path.glob(".calque-*/*.npy"))) == 2
    np.testing.assert_allclose(found.probabilities, right.probabilities, atol=1e-5)
    np.testing.assert_array_equal(found.entropy, right.entropy)
    np.testing.assert_array_equal(found.label_map.array, right.label_map.array)
    del found
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wanted", [{}, {"probabilities": True, "confidence": True}])
@pytest.mark.parametrize("members", [1, 2])
def test_many_classes_are_carried_as_features_and_give_the_same(monkeypatch, members, wanted):
    labels = Labels.from_names({f"class {k}": k for k in range(1, 12)})
    network = NetworkConfig(
        kind="plain", inputs=1, outputs=12, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
        kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
    )  # fmt: skip
    plan = threshold_plan(labels=labels, network=network, spacing=(1.7, 1.3, 1.1), patch=(8, 8, 8))
    grid = Grid.from_parts((21, 17, 30), (1.0, 1.5, 0.8))
    image = image_on(grid, np.random.default_rng(0).normal(size=grid.shape).astype(np.float32))
    networks = [build(network, seed=seed).eval() for seed in range(members)]
    options = EXACT.model_copy(update={**wanted, "mirror": "full"})
    split = Predictor(plan, networks, options)
    assert split.channels == 4 * members
    found = split(image)
    monkeypatch.setattr("calque.prediction.predictor.carried", lambda *_: None)
    whole = Predictor(plan, networks, options)
    assert whole.channels == 12
    right = whole(image)
    np.testing.assert_array_equal(found.label_map.array, right.label_map.array)
    assert found.confidence.keys() == right.confidence.keys()
    for name, one in right.confidence.items():
        assert found.confidence[name].agreement == pytest.approx(one.agreement, abs=1e-3)
    if right.probabilities is not None:
        np.testing.assert_allclose(found.probabilities, right.probabilities, atol=1e-5)


def test_rows_are_made_as_soon_as_they_can_be():
    pulled = []

    def logits() -> Iterator[Slab]:
        for start in range(0, 20, 5):
            pulled.append(start)
            yield Slab(slice(start, start + 5), np.ones((2, 5, 2, 2), np.float32))

    made = [
        (pulled[-1], slab.rows.stop)
        for slab in resampled(logits(), (20, 2, 2), (40, 2, 2), outputs=2, orders=(1, 1, 1))
    ]
    # twice as fine: the last row of a slab lies half way to the next one, and waits for it
    assert made == [(0, 9), (5, 19), (10, 29), (15, 40)]


def test_bf16_gives_the_same_mask_where_classes_are_far_apart():
    grid = Grid.from_parts((9, 9, 9), (1, 1, 1))
    classes = np.random.default_rng(0).integers(0, 3, grid.shape)
    predictor = Predictor(threshold_plan(), [Threshold()], PredictOptions(precision="bf16", engine="torch"))
    assert predictor.engine.precision == "bf16"
    predicted = predictor(image_on(grid, classes.astype(np.float32))).label_map.array
    np.testing.assert_array_equal(predicted, predictor.plan.labels.to_values(classes))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 4, 4, 4), np.float32), "number of channels"),
        (np.full((1, 4, 4, 4), np.nan, np.float32), "not numbers"),
        (np.zeros((1, 4, 4, 4), np.float32), "nothing but zeros"),
    ],
)
def test_bad_images_are_refused_by_name(array, message):
    image = image_on(Grid.from_parts((4, 4, 4), (1, 1, 1)), array)
    with pytest.raises(InputError, match=message):
        Predictor(threshold_plan(crop="nonzero"), [Threshold()], EXACT)(image)


def test_a_network_gone_wrong_gives_no_mask():
    image = image_on(Grid.from_parts((4, 4, 4), (1, 1, 1)), np.ones((4, 4, 4), np.float32))
    with pytest.raises(ModelError, match="not finite"):
        Predictor(threshold_plan(), [Threshold(float("nan"))], EXACT)(image)


def test_an_unknown_engine_lists_the_choices():
    with pytest.raises(InputError, match="torch"):
        Predictor(threshold_plan(), [Threshold()], PredictOptions(engine="abacus"))


def test_no_network_is_an_error():
    with pytest.raises(ModelError, match="no network"):
        Predictor(threshold_plan(), [])


def test_channels_last_gives_the_same_mask():
    from calque.nets import build

    plan = threshold_plan()
    image = image_on(Grid.from_parts((8, 8, 8), (1, 1, 1)), np.random.default_rng(1).normal(size=(8, 8, 8)))
    plain = Predictor(plan, [build(plan.network)], EXACT)(image)
    last = Predictor(plan.model_copy(update={"channels_last": True}), [build(plan.network)], EXACT)(image)
    np.testing.assert_array_equal(plain.label_map.array, last.label_map.array)
    assert len(np.unique(plain.label_map.array)) > 1
