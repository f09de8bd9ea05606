"""Labels decided cell by cell, against resampling every logit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from calque.errors import GeometryError, ModelError
from calque.heads import Decoder, Head
from calque.labels import Labels
from calque.nets import build
from calque.ops.resample import resample, taps
from calque.prediction.decide import decide
from calque.prediction.last_layer import Ensemble, LastLayer, carried, classes_of, last_layer_of
from calque.prediction.windows import Slab

from .test_engines import CONFIG, FLAT, SHAPE, windows

sizes = st.tuples(*[st.integers(1, 12)] * 3)


def in_slabs(array: np.ndarray, step: int):
    for first in range(0, array.shape[1], step):
        rows = slice(first, min(first + step, array.shape[1]))
        yield Slab(rows, array[:, rows].copy())


@settings(max_examples=120, deadline=None)
@given(
    shapes=st.tuples(sizes, sizes),
    orders=st.tuples(*[st.sampled_from([0, 1])] * 3),
    step=st.integers(1, 5),
    smooth=st.sampled_from([0.0, 1.5]),
    split=st.booleans(),
    regions=st.booleans(),
)
def test_labels_are_those_of_resampling_every_logit(shapes, orders, step, smooth, split, regions):
    source, target = shapes
    rng = np.random.default_rng(math.prod(source))
    array = rng.normal(size=(3, *source)).astype(np.float32)
    array = np.stack([gaussian_filter(one, smooth) for one in array]) if smooth else array
    weight = torch.from_numpy(rng.normal(size=(5, 3)).astype(np.float32))
    last = LastLayer(weight, torch.arange(5) / 10) if split else None
    dense = resample(array, target, orders)
    dense = dense if last is None else last(torch.from_numpy(dense)).numpy()
    decoder = decoder_of(len(dense), regions)
    found = list(decide(in_slabs(array, step), source, target, orders, decoder, last))
    assert [row for row, _ in found] == list(range(target[0]))
    classes = np.array(decoder.decisions)[np.stack([plane.numpy() for _, plane in found])]
    best, second = np.sort(dense, axis=0)[[-1, -2]]
    clear = np.abs(dense).min(0) > 1e-5 if regions else best - second > 1e-5
    np.testing.assert_array_equal(classes[clear], decoder.decide(dense)[clear])


def decoder_of(outputs: int, regions: bool) -> Decoder:
    """Classes, or regions within each other, of which two paint one class."""
    count = outputs - 1 + regions
    labels = Labels.from_names({f"class {k}": k for k in range(1, count + 1)})
    if not regions:
        return Decoder(labels=labels)
    paints = [1, *range(1, count)]
    return Decoder(
        labels=labels,
        heads=tuple(Head(name=f"r{k}", values=tuple(range(1, k + 1)), paints=k) for k in paints),
    )


def test_cubic_logits_are_not_decided_so():
    with pytest.raises(GeometryError, match="Cubic"):
        taps(4, 8, 3)


@settings(deadline=None, max_examples=30)
@given(
    outputs=st.sampled_from([2, 25, 254, 255, 256, 300]),
    size=st.integers(1, 70_000),
    seed=st.integers(0, 9),
    regions=st.booleans(),
)
def test_classes_are_the_decoders(outputs, size, seed, regions):
    array = np.random.default_rng(seed).integers(-2, 3, (outputs, size if outputs < 50 else 99))
    array, decoder = array.astype(np.float32), decoder_of(outputs, regions)
    np.testing.assert_array_equal(classes_of(torch.from_numpy(array), decoder), decoder.decide(array))


@pytest.mark.parametrize("config", [CONFIG, FLAT, FLAT.model_copy(update={"slices": 3})])
def test_a_last_layer_makes_the_logits_of_the_whole(config):
    nets = [build(config, seed=seed).eval() for seed in range(2)]
    x = windows(1, SHAPE if config is CONFIG else (2, 1, 12, 8))
    with torch.inference_mode():
        logits, features = Ensemble(nets)(x)[0], Ensemble(nets, split=True)(x)[0]
    assert features.shape[0] == 2 * config.features[0]
    np.testing.assert_allclose(last_layer_of(nets)(features), logits, atol=1e-5)


def test_features_are_carried_where_they_are_fewer_than_classes():
    many = CONFIG.model_copy(update={"outputs": 9})
    assert [carried(many, members, "f32") for members in (1, 2, 3)] == [4, 8, None]
    assert carried(CONFIG, 1, "f32") is None


def test_bf16_leaves_the_last_layer_out_where_it_costs_little():
    assert carried(CONFIG, 1, "bf16") == 4  # of 3 outputs
    assert carried(CONFIG, 2, "bf16") is None


def test_another_network_cannot_be_taken_apart():
    with pytest.raises(ModelError, match="apart"):
        last_layer_of([torch.nn.Identity()])
