"""Components against scipy, and against a flood fill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from calque.errors import GeometryError, InputError
from calque.ops.components import connected_components, largest_component, remove_small

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(*[st.integers(1, 9)] * 3)
connectivities = st.sampled_from([6, 18, 26])
STRUCTURES = {6: 1, 18: 2, 26: 3}


def random_labels(seed: int, shape: tuple[int, ...], density: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 4, shape) * (rng.random(shape) < density)).astype(np.uint8)


def scipy_components(array: np.ndarray, connectivity: int) -> list[tuple[int, np.ndarray]]:
    """Value and mask of every component."""
    structure = ndimage.generate_binary_structure(3, STRUCTURES[connectivity])
    found = []
    for value in np.unique(array[array > 0]):
        numbers, count = ndimage.label(array == value, structure)
        found += [(int(value), numbers == k) for k in range(1, count + 1)]
    return found


@given(seed=seeds, shape=shapes, connectivity=connectivities)
def test_components_are_those_of_scipy(seed, shape, connectivity):
    array = random_labels(seed, shape)
    numbers, count = connected_components(array, connectivity)
    expected = scipy_components(array, connectivity)
    assert count == len(expected)
    for _, mask in expected:
        assert len(np.unique(numbers[mask])) == 1
    assert ((numbers == 0) == (array == 0)).all()


@given(seed=seeds, shape=shapes, connectivity=connectivities, smallest=st.integers(0, 6))
def test_small_components_go(seed, shape, connectivity, smallest):
    array = random_labels(seed, shape)
    expected = np.zeros_like(array)
    for value, mask in scipy_components(array, connectivity):
        if mask.sum() >= smallest:
            expected[mask] = value
    kept = remove_small(array, smallest, connectivity)
    np.testing.assert_array_equal(kept, expected)
    assert kept.dtype == array.dtype


@given(seed=seeds, shape=shapes, connectivity=connectivities)
def test_the_largest_component_of_each_value_stays(seed, shape, connectivity):
    array = random_labels(seed, shape)
    kept = largest_component(array, connectivity)
    found = scipy_components(array, connectivity)
    for value in np.unique(array[array > 0]):
        largest = max(mask.sum() for v, mask in found if v == value)
        mine = scipy_components(np.where(kept == value, kept, 0), connectivity)
        assert [mask.sum() for _, mask in mine] == [largest]
    assert set(np.unique(kept)) | {0} == set(np.unique(array)) | {0}


def test_voxels_that_touch_by_a_corner():
    array = np.zeros((2, 2, 2), np.uint8)
    array[0, 0, 0] = array[1, 1, 1] = 1
    assert [connected_components(array, c)[1] for c in (6, 18, 26)] == [2, 2, 1]


def test_masks_and_views_are_taken_as_they_are():
    mask = np.ones((4, 6, 8), bool)[::-1, ::2].transpose(2, 0, 1)
    assert connected_components(mask)[1] == 1


def test_nothing_has_no_components():
    empty = np.zeros((3, 3, 3), np.uint8)
    assert connected_components(empty)[1] == 0
    np.testing.assert_array_equal(largest_component(empty), empty)


def test_an_unknown_connectivity_lists_the_choices():
    with pytest.raises(InputError, match="18"):
        connected_components(np.zeros((2, 2, 2), np.uint8), 8)


def test_other_than_three_axes_are_refused():
    with pytest.raises(GeometryError):
        connected_components(np.zeros((2, 2), np.uint8))
