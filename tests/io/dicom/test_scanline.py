"""Polygons become the voxels whose centres are inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from calque.io.dicom.scanline import fill

SQUARE = np.array([[1.5, 2.5], [1.5, 6.5], [5.5, 6.5], [5.5, 2.5]])


def test_a_square_has_the_voxels_whose_centres_are_inside() -> None:
    found = fill([SQUARE], (8, 9))
    expected = np.zeros((8, 9), bool)
    expected[2:6, 3:7] = True
    assert (found == expected).all()


@pytest.mark.parametrize("by", [0.49, 0.01, -0.01, -0.49])
def test_what_covers_no_centre_more_adds_no_voxel(by: float) -> None:
    assert (fill([SQUARE + by], (8, 9)) == fill([SQUARE], (8, 9))).all()


def test_a_contour_within_another_is_a_hole_and_one_within_that_an_island() -> None:
    rings = [np.array([[a, a], [a, b], [b, b], [b, a]]) for a, b in ((0.5, 10.5), (2.5, 8.5), (4.5, 6.5))]
    found = fill(rings, (12, 12))
    assert int(found.sum()) == 100 - 36 + 4
    assert not found[3, 3]
    assert found[5, 5]


def test_a_key_hole_is_a_hole() -> None:
    outer = [[0.5, 0.5], [0.5, 10.5], [10.5, 10.5], [10.5, 0.5], [0.5, 0.5]]
    inner = [[3.5, 3.5], [7.5, 3.5], [7.5, 7.5], [3.5, 7.5], [3.5, 3.5]]
    found = fill([np.array(outer + inner)], (12, 12))
    assert int(found.sum()) == 100 - 16
    assert not found[4:8, 4:8].any()


def test_abutting_contours_share_no_voxel_and_leave_none_out() -> None:
    """Also where the common edge runs through centres."""
    left = np.array([[0.0, 0.0], [0.0, 4.0], [6.0, 4.0], [6.0, 0.0]])
    right = left + np.array([0.0, 4.0])
    one, other = fill([left], (8, 12)), fill([right], (8, 12))
    assert not (one & other).any()
    assert (one | other).sum() == 6 * 8


def test_what_lies_outside_is_cut_off() -> None:
    found = fill([np.array([[-50.0, -50.0], [-50.0, 3.5], [50.0, 3.5], [50.0, -50.0]])], (5, 6))
    assert (found == (np.arange(6) <= 3)).all()
    assert not fill([SQUARE + 100], (5, 6)).any()
    assert not fill([SQUARE - 100], (5, 6)).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_as_matplotlib_decides_for_random_polygons(seed: int, corners: int) -> None:
    """Star-shaped: simple polygons, for which winding and even-odd are the same."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    radii = generator.uniform(2, 15, corners)
    polygon = np.stack([14.3 + radii * np.sin(angles), 15.7 + radii * np.cos(angles)], axis=1)
    centres = np.stack(np.meshgrid(np.arange(30), np.arange(32), indexing="ij"), axis=-1).reshape(-1, 2)
    expected = Outline(polygon).contains_points(centres).reshape(30, 32)
    if np.diff(angles, append=angles[0] + 2 * np.pi).max() < np.pi:  # else its centre is outside
        assert (fill([polygon], (30, 32)) == expected).all()
