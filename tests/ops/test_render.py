"""Slices with their labels: what is drawn, and where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calque.errors import GeometryError
from calque.labels import Labels
from calque.ops.render import outline, overlay, resize_labels, window

LABELS = Labels.from_names({"organ": 1, "lesion": 4})
LESION = LABELS.classes[1].colour


def test_window_spreads_percentiles_and_clips_the_rest():
    values = np.linspace(-1000, 1000, 1001).reshape(1, -1)
    shown = window(values, 25, 75)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (shown[0, :251] == 0).all()
    assert (shown[0, 750:] == 255).all()
    assert shown[0, 500] in (127, 128)


@pytest.mark.parametrize("values", [np.full((3, 3), 7.0), np.full((3, 3), np.nan)])
def test_what_has_no_contrast_is_black(values):
    assert (window(values) == 0).all()


@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_outline_is_where_a_neighbour_differs(seed, shape):
    array = np.random.default_rng(seed).integers(0, 3, shape)
    edge = outline(array)
    for row, column in itertools.product(*map(range, shape)):
        near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        values = [array[r, c] if 0 <= r < shape[0] and 0 <= c < shape[1] else 0 for r, c in near]
        assert edge[row, column] == (array[row, column] > 0 and any(v != array[row, column] for v in values))


def test_overlay_fills_inside_and_leaves_the_rest_grey():
    grey = np.full((9, 9), 100, np.uint8)
    drawn = np.zeros((9, 9), np.uint8)
    drawn[2:7, 2:7] = 4
    picture = overlay(grey, drawn, LABELS, alpha=0.5)
    np.testing.assert_array_equal(picture[drawn == 0], 100)
    np.testing.assert_array_equal(picture[2, 2:7], [LESION] * 5)
    np.testing.assert_allclose(picture[4, 4], (np.array(LESION) + 100) / 2, atol=0.5)


def test_overlay_refuses_slices_of_two_shapes():
    with pytest.raises(GeometryError):
        overlay(np.zeros((3, 4)), np.zeros((4, 3), np.uint8), LABELS)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    factor=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_labels_grow_by_whole_factors_as_blocks(shape, factor):
    array = np.arange(np.prod(shape)).reshape(shape)
    grown = resize_labels(array, (shape[0] * factor[0], shape[1] * factor[1]))
    np.testing.assert_array_equal(grown, np.kron(array, np.ones(factor, int)))
