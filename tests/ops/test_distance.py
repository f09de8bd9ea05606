"""Surface distances against brute force, scipy and figures worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from calque.errors import GeometryError
from calque.ops import nearest
from calque.ops.distance import (
    _areas,
    border,
    bounding_box,
    element_surfaces,
    rim,
    voxel_surfaces,
)
from calque.ops.nearest import Mask

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.9), (0.1, 0.3, 5.0)]


def masks(seed: int, shape: tuple[int, int, int], density: float) -> tuple[Mask, Mask]:
    generator = np.random.default_rng(seed)
    pair = [generator.random(shape) < density for _ in range(2)]
    for mask in pair:
        mask[tuple(generator.integers(0, n) for n in shape)] = True
    return pair[0], pair[1]


def brute(source: Mask, target: Mask, spacing: tuple[float, float, float]) -> np.ndarray:
    """Every border voxel against every border voxel; scipy's erosion says what a border is."""
    edges = []
    for mask in (source, target):
        counted = [n > 1 for n in mask.shape]
        cross = ndimage.generate_binary_structure(3, 1)
        for axis, counts in enumerate(counted):
            if not counts and any(counted):
                cross[tuple(slice(None) if a != axis else [0, 2] for a in range(3))] = False
        edges.append(mask & ~ndimage.binary_erosion(mask, cross))
    points = [np.argwhere(edge) * spacing for edge in edges]
    return cdist(*points).min(axis=1)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    density=st.sampled_from([0.0, 0.05, 0.4, 0.9, 1.0]),
    spacing=st.sampled_from(SPACINGS),
)
def test_voxel_surfaces_equal_brute_force(seed, shape, density, spacing):
    first, second = masks(seed, shape, density)
    found = voxel_surfaces(first, second, spacing)
    np.testing.assert_allclose(found.first, brute(first, second, spacing), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.second, brute(second, first, spacing), rtol=1e-6, atol=1e-9)
    assert (found.first_weights == 1).all()
    assert len(found.second_weights) == len(found.second)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_voxel_surfaces_equal_scipy_on_blobs(spacing):
    noise = np.random.default_rng(3).normal(size=(2, 30, 40, 25))
    first, second = (ndimage.gaussian_filter(n, 3) > 0.02 for n in noise)
    found = voxel_surfaces(first, second, spacing)
    far = ndimage.distance_transform_edt(~border(second), sampling=spacing)
    np.testing.assert_allclose(found.first, far[border(first)], rtol=1e-6, atol=1e-9)


def test_two_voxels_five_apart():
    first = np.zeros((4, 6, 6), bool)
    second = first.copy()
    first[1, 1, 1] = second[1, 4, 5] = True
    found = voxel_surfaces(first, second, (1.0, 1.0, 1.0))
    assert found.first.tolist() == found.second.tolist() == [5.0]
    found = voxel_surfaces(first, second, (9.0, 2.0, 0.5))
    np.testing.assert_allclose(found.first, np.hypot(6.0, 2.0))


def test_a_picture_has_contours_and_no_top():
    picture = np.zeros((1, 7, 7), bool)
    picture[0, 1:6, 1:6] = True
    assert np.count_nonzero(border(picture, (1, 2))) == 16
    assert len(voxel_surfaces(picture, picture, (1.0, 1.0, 1.0)).first) == 16
    contour = element_surfaces(picture, picture, (5.0, 1.0, 1.0))
    assert contour.first_weights.sum() == pytest.approx(4 * 4 + 4 * np.sqrt(0.5))  # corners are cut


def test_the_border_of_a_full_mask_is_the_border_of_the_image():
    full = np.ones((5, 5, 5), bool)
    assert np.count_nonzero(border(full)) == 125 - 27


def test_elements_of_a_cube_have_its_area():
    cube = np.zeros((40, 40, 40), bool)
    cube[5:35, 5:35, 5:35] = True
    for spacing in SPACINGS:
        z, y, x = (30 * s for s in spacing)
        area = element_surfaces(cube, cube, spacing).first_weights.sum()
        assert area == pytest.approx(2 * (z * y + z * x + y * x), rel=0.05)  # edges are bevelled


def test_area_table_covers_every_neighbourhood():
    table = _areas(1.0, 1.0, 1.0)
    assert table[0] == table[255] == 0.0
    assert (table[1:255] > 0).all()
    assert table[0b00001111] == 1.0  # half inside: one flat face
    assert table[0b10000000] == pytest.approx(np.sqrt(3) / 8)  # a corner: a triangle of sides 1/sqrt(2)


def test_area_table_knows_anisotropy():
    table = _areas(2.0, 3.0, 5.0)
    assert table[0b00001111] == 15.0  # a face across z: y times x
    assert table[0b00110011] == 10.0
    assert table[0b01010101] == 6.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(1, 6)] * 3))
def test_element_surfaces_of_equal_masks_are_at_zero(seed, shape):
    mask, _ = masks(seed, shape, 0.5)
    found = element_surfaces(mask, mask, (1.0, 2.0, 3.0))
    assert (found.first == 0).all()
    assert found.first_weights.sum() > 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(2, 6)] * 3))
def test_surfaces_do_not_depend_on_where_the_masks_lie(seed, shape):
    first, second = masks(seed, shape, 0.5)
    moved = [np.pad(m, ((2, 1), (0, 3), (4, 0))) for m in (first, second)]
    for surfaces in (voxel_surfaces, element_surfaces):
        here, there = surfaces(first, second, (1.0, 1.0, 1.0)), surfaces(*moved, (1.0, 1.0, 1.0))
        np.testing.assert_array_equal(here.first, there.first)
        np.testing.assert_array_equal(here.second_weights, there.second_weights)


@pytest.mark.parametrize("depth", [0.0, 0.9, 2.0, 50.0])
def test_the_rim_by_trees_is_that_by_transforms(monkeypatch, depth):
    for seed in range(20):
        mask, _ = masks(seed, (7, 8, 9), 0.85)
        near = rim(mask, (2.5, 0.7, 0.9), depth)
        far = ndimage.distance_transform_edt(~border(mask), sampling=(2.5, 0.7, 0.9))
        assert (near == (mask & (far <= depth + 1e-9))).all()
        with monkeypatch.context() as small:
            small.setattr(nearest, "_SMALL", 0)
            assert (rim(mask, (2.5, 0.7, 0.9), depth) == near).all()


def test_bounding_box():
    mask = np.zeros((5, 6, 7), bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[3, 5, 4] = True
    box = bounding_box(mask)
    assert box is not None
    assert (box.start, box.stop) == ((1, 2, 3), (4, 6, 5))


@pytest.mark.parametrize("surfaces", [voxel_surfaces, element_surfaces])
def test_an_empty_mask_has_no_surface(surfaces):
    some, none = np.ones((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    with pytest.raises(GeometryError, match="empty"):
        surfaces(some, none, (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="share one"):
        surfaces(some, some[:1], (1.0, 1.0, 1.0))
