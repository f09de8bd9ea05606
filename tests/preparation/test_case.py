"""Preparing one image and its mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import GeometryError, InputError, LabelError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.planning import Normalisation
from calque.preparation import prepare_image, prepare_labels
from calque.preparation.normalise import normalise

from .synthetic import LABELS, make_plan


def make_image(shape=(10, 12, 14), spacing=(1.0, 1.0, 1.0), channels=("MR",), seed=0) -> Image:
    array = np.random.default_rng(seed).normal(50, 9, (len(channels), *shape))
    return Image(array, Grid.from_parts(shape, spacing, (3.0, -7.0, 11.0)), channels)


def test_crops_to_what_is_not_zero_in_any_channel() -> None:
    array = np.zeros((2, 10, 11, 12), np.int16)
    array[0, 3, 4, 5] = -7
    array[1, 6, 4, 9] = 2
    image = Image(array, Grid.from_parts((10, 11, 12), (1, 1, 1)), ("a", "b"))
    prepared = prepare_image(image, make_plan(("a", "b")))
    assert prepared.placement.box.start == (3, 4, 5)
    assert prepared.placement.box.stop == (7, 5, 10)
    assert prepared.array.shape == (2, 4, 1, 5)
    whole = prepare_image(image, make_plan(("a", "b"), crop="none"))
    assert whole.array.shape == (2, 10, 11, 12)


def test_zscore_has_mean_zero_and_deviation_one_per_channel() -> None:
    image = make_image(channels=("a", "b"))
    array = prepare_image(image, make_plan(("a", "b"))).array
    assert array.dtype == np.float32
    np.testing.assert_allclose(array.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(array.std(axis=(1, 2, 3)), 1, atol=1e-5)


def test_a_constant_channel_becomes_zeros() -> None:
    np.testing.assert_array_equal(normalise(np.full((2, 2, 2), 1.7e6), Normalisation(scheme="zscore")), 0)


def test_ct_clips_and_uses_constants() -> None:
    rule = Normalisation(scheme="ct", low=-100, high=200, mean=50, std=25)
    np.testing.assert_allclose(normalise(np.array([[[-1000, 50, 900]]]), rule), [[[-6, 0, 6]]])
    np.testing.assert_array_equal(normalise(np.array([[[3, 4]]]), Normalisation(scheme="none")), [[[3, 4]]])


@given(codes=st.sampled_from(["SPL", "RAI", "PSR", "LAS", "ILP"]), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_every_voxel_keeps_its_place_whatever_the_file_order(codes: str, seed: int) -> None:
    image = make_image((6, 7, 8), (2.0, 1.5, 1.0), seed=seed)
    turned = image.reoriented(image.grid.reorientation(codes))
    plan = make_plan(spacing=(1.3, 1.1, 0.9))
    one, other = prepare_image(image, plan), prepare_image(turned, plan)
    np.testing.assert_allclose(one.array, other.array, atol=1e-5)
    assert one.placement.prepared.isclose(other.placement.prepared)
    assert other.placement.original == turned.grid


def test_shape_follows_the_spacing() -> None:
    prepared = prepare_image(make_image((10, 20, 21), (3.0, 0.5, 0.5)), make_plan(spacing=(1.5, 1.0, 0.7)))
    assert prepared.array.shape[1:] == (20, 10, 15) == prepared.placement.prepared.shape


def test_thick_slices_are_repeated_not_blended() -> None:
    plan = make_plan(spacing=(1.0, 1.0, 1.0), separate_z=True)
    array = prepare_image(make_image((4, 6, 6), (2.0, 1.0, 1.0)), plan).array
    np.testing.assert_array_equal(array[0, 0::2], array[0, 1::2])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite(value: float) -> None:
    image = make_image()
    image.array[0, 1, 2, 3] = value
    with pytest.raises(InputError, match="1 of 1680 in channel MR"):
        prepare_image(image, make_plan())


def test_refuses_zeros_and_wrong_channels() -> None:
    grid = Grid.from_parts((4, 4, 4), (1, 1, 1))
    with pytest.raises(InputError, match="nothing but zeros"):
        prepare_image(Image(np.zeros((1, 4, 4, 4)), grid, ("MR",)), make_plan())
    with pytest.raises(InputError, match="2: T1, FLAIR"):
        prepare_image(make_image(), make_plan(("T1", "FLAIR")))


def test_labels_become_class_numbers_on_the_prepared_grid() -> None:
    image = make_image((4, 6, 6), (2.0, 1.0, 1.0))
    values = np.zeros((4, 6, 6), np.int16)
    values[:2], values[2], values[3] = 1, 4, 9
    plan = make_plan(spacing=(1.0, 1.0, 1.0))
    labels = prepare_labels(LabelMap(values, image.grid, LABELS), prepare_image(image, plan).placement, plan)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[:, 3, 3], [1, 1, 1, 1, 2, 2, 3, 3])


def test_labels_may_be_stored_in_another_axis_order() -> None:
    image = make_image((4, 5, 6))
    values = np.random.default_rng(0).choice([0, 1, 4], (4, 5, 6)).astype(np.uint8)
    label_map = LabelMap(values, image.grid, LABELS)
    turned = label_map.reoriented(image.grid.reorientation("LAI"))
    plan = make_plan()
    placement = prepare_image(image, plan).placement
    np.testing.assert_array_equal(
        prepare_labels(turned, placement, plan), prepare_labels(label_map, placement, plan)
    )


def test_labels_elsewhere_or_undeclared_are_refused() -> None:
    image, plan = make_image((4, 5, 6)), make_plan()
    placement = prepare_image(image, plan).placement
    values = np.zeros((4, 5, 6), np.uint8)
    shifted = Grid.from_parts((4, 5, 6), (1, 1, 1), (4.0, -7.0, 11.0))
    with pytest.raises(GeometryError, match="does not lie on the grid"):
        prepare_labels(LabelMap(values, shifted, LABELS), placement, plan)
    with pytest.raises(LabelError):
        prepare_labels(LabelMap(values + 3, image.grid, LABELS), placement, plan)
