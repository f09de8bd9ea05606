"""Polygons to voxels, exactly: a voxel belongs where its centre is inside.

The even-odd rule over all contours of a plane: a contour within another is a hole, one within that an
island, and a key-holed contour, whose channel is walked twice, leaves its hole out. A centre on an edge
belongs to the polygon on its side of higher indices (Foley et al., Computer Graphics, 2nd ed., 3.6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SNAP = 6  # decimals of a voxel: arithmetic noise must not decide on which side of a centre an edge lies


def fill(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns) of the voxels whose centres are inside, by the even-odd rule.

    Args:
        polygons: each (points, 2), fractional (row, column) of its corners; closed of itself.
        shape: rows and columns; what lies outside is cut off.
    """
    height, width = shape
    parity = np.zeros((height, width + 1), np.uint8)
    for polygon in polygons:
        here = np.round(polygon, _SNAP)
        there = np.roll(here, -1, axis=0)
        swapped = here[:, 0] > there[:, 0]
        low, high = np.where(swapped[:, None], there, here), np.where(swapped[:, None], here, there)
        first = np.clip(np.ceil(low[:, 0]), 0, height).astype(np.int64)
        last = np.clip(np.ceil(high[:, 0]), 0, height).astype(np.int64)
        counts = last - first
        edges = np.repeat(np.arange(len(here)), counts)
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
        rise = high[edges, 0] - low[edges, 0]
        share = (rows - low[edges, 0]) / rise
        crossing = np.round(low[edges, 1] + share * (high[edges, 1] - low[edges, 1]), _SNAP)
        columns = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
        np.bitwise_xor.at(parity, (rows, columns), 1)
    return np.bitwise_xor.accumulate(parity, axis=1)[:, :width].astype(bool)
