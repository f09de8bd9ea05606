"""Outlines hold exactly the mask: checked by filling them again, by the even-odd rule at pixel centres."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from numpy.typing import NDArray

from calque.io.dicom.contours import Ring, trace


def _filled(rings: list[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    row, column = np.mgrid[: shape[0], : shape[1]]
    whole = np.zeros(shape, bool)
    for ring in rings:
        inside = np.zeros(shape, bool)
        for (r0, c0), (r1, c1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if r0 != r1:
                inside ^= ((r0 > row) != (r1 > row)) & (column < c0 + (row - r0) * (c1 - c0) / (r1 - r0))
        assert not (whole & inside).any()  # parts do not cover one another
        whole |= inside
    return whole


def _area(ring: Ring) -> float:
    row, column = ring.T
    return float(np.dot(row, np.roll(column, -1)) - np.dot(column, np.roll(row, -1))) / 2.0


@pytest.mark.parametrize("seed", range(40))
def test_polygons_hold_the_mask_and_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(5):
        rows, columns = (int(n) for n in random.integers(1, 15, 2))
        mask = random.random((rows, columns)) < random.random()
        rings = trace(mask)
        assert np.array_equal(_filled(rings, (rows, columns)), mask)
        assert sum(_area(ring) for ring in rings) == pytest.approx(np.count_nonzero(mask))
        assert len(rings) == cc3d.connected_components(mask.astype(np.uint8), connectivity=4).max()


def test_the_noise_of_a_slice() -> None:
    """Hundreds of holes, in rows and in one another's way."""
    mask = np.random.default_rng(0).random((90, 80)) < 0.6
    rings = trace(mask)
    assert np.array_equal(_filled(rings, mask.shape), mask)
    assert sum(_area(ring) for ring in rings) == pytest.approx(np.count_nonzero(mask))


def test_a_square_has_four_corners_and_a_ring_is_one_polygon() -> None:
    square = np.zeros((5, 6), bool)
    square[1:4, 2:5] = True
    (ring,) = trace(square)
    corners = sorted((float(row), float(column)) for row, column in ring)
    assert corners == [(0.5, 1.5), (0.5, 4.5), (3.5, 1.5), (3.5, 4.5)]
    square[2, 3] = False
    assert len(trace(square)) == 1


def test_islands_in_holes_are_polygons_of_their_own() -> None:
    mask = np.ones((9, 9), bool)
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    rings = trace(mask)
    assert len(rings) == 2
    assert np.array_equal(_filled(rings, mask.shape), mask)


def test_nothing_has_no_outline() -> None:
    assert trace(np.zeros((4, 4), bool)) == []
