"""Outlines of masks along the borders of their pixels, so that they hold exactly the mask's area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""(points, 2): row and column; pixel (r, c) covers r - 0.5 to r + 0.5 and c - 0.5 to c + 0.5. Not closed."""

_BRIDGE = 0.25  # of a pixel: a cut to a hole that passes through no centre and no corner


def trace(mask: NDArray[np.bool_]) -> list[Ring]:
    """The polygons of a mask (row, column), one for each part that hangs together by edges.

    Holes are joined to the outline around them by a cut of no width ("key hole"), since RTSTRUCT knows no
    holes: PS3.3, C.8.8.6.3.
    """
    rings = _rings(mask)
    outer = [ring for ring in rings if _area(ring) > 0]
    holes = [ring for ring in rings if _area(ring) < 0]
    if holes:
        outer = _join(outer, holes)
    return [ring - 0.5 for ring in outer]


def _rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Closed rings of corners, on the lattice on which pixel (r, c) covers r to r + 1.

    Every corner ends one edge along its row and one along its column. In sorted order along a row (or
    column) of the lattice corners are joined two by two. Where two pixels touch by a corner alone there are
    two corners at one place, one for each pixel, in the order in which the edges lie.
    """
    corners, across, down = _corners(mask)
    if len(corners) == 0:
        return []
    by_row, by_column = _partners(corners, across, 0), _partners(corners, down, 1)
    left = np.ones(len(corners), bool)
    rings = []
    for first in range(len(corners)):
        if not left[first]:
            continue
        ring, here = [], first
        while left[here]:
            there = by_row[here]
            ring += [here, there]
            left[[here, there]] = False
            here = by_column[there]
        rings.append(_turned(corners[ring].astype(np.float64), mask))
    return rings


def _corners(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Corners (n, 2), and for two at one place which comes first along the row, and along the column."""
    padded = np.pad(mask, 1)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    single = (nw.astype(np.uint8) + ne + sw + se) % 2 == 1
    falling, rising = nw & se & ~ne & ~sw, ne & sw & ~nw & ~se
    # falling: nw's corner lies on the edges to the left and up, se's on those to the right and down
    # rising: sw's corner lies on the edges to the left and down, ne's on those to the right and up
    places = [np.argwhere(one) for one in (single, falling, falling, rising, rising)]
    across = [np.full(len(p), k) for p, k in zip(places, (0, 0, 1, 0, 1), strict=True)]
    down = [np.full(len(p), k) for p, k in zip(places, (0, 0, 1, 1, 0), strict=True)]
    return np.concatenate(places), np.concatenate(across), np.concatenate(down)


def _partners(corners: NDArray[np.intp], tie: NDArray[np.intp], axis: int) -> list[int]:
    """Of each corner the other end of its edge along a row (axis 0) or a column (1)."""
    order = np.lexsort((tie, corners[:, 1 - axis], corners[:, axis]))
    partner = np.empty(len(corners), np.intp)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return [int(k) for k in partner]


def _turned(ring: Ring, mask: NDArray[np.bool_]) -> Ring:
    """Outlines with a positive area, holes with a negative one."""
    top = ring[:, 0] == ring[:, 0].min()
    row, column = int(ring[top, 0][0]), int(ring[top, 1].min())
    inside = row < mask.shape[0] and column < mask.shape[1] and bool(mask[row, column])
    return ring if (_area(ring) > 0) == inside else ring[::-1]


def _area(ring: Ring) -> float:
    row, column = ring[:, 0], ring[:, 1]
    return float(np.dot(row, np.roll(column, -1)) - np.dot(column, np.roll(row, -1))) / 2.0


def _join(outer: list[Ring], holes: list[Ring]) -> list[Ring]:
    """Each hole cut to what lies left of it, from left to right: that is its outline, or a hole of it."""
    for hole in sorted(holes, key=lambda ring: float(ring[:, 1].min())):
        edges = _left_edges(hole)
        k = int(edges[0])
        start = hole[k]
        row = min(start[0], hole[(k + 1) % len(hole)][0]) + _BRIDGE
        which, place, column = _nearest_left(outer, row, float(start[1]))
        bridge = np.array([[row, column]]), np.array([[row, start[1]]])
        around = np.roll(hole, -(k + 1), axis=0)
        ring = outer[which]
        parts = (ring[: place + 1], bridge[0], bridge[1], around, bridge[1], bridge[0], ring[place + 1 :])
        outer[which] = np.concatenate(parts)
    return outer


def _left_edges(ring: Ring) -> NDArray[np.intp]:
    """First corners of the edges along a column that lie furthest left."""
    along = ring[:, 1] == np.roll(ring[:, 1], -1)
    return np.flatnonzero(along & (ring[:, 1] == ring[:, 1].min()))


def _nearest_left(rings: list[Ring], row: float, column: float) -> tuple[int, int, float]:
    """Which ring, after which of its corners, and at which column a line to the left meets first."""
    best = (-1, -1, -np.inf)
    for number, ring in enumerate(rings):
        after = np.roll(ring, -1, axis=0)
        low, high = np.minimum(ring[:, 0], after[:, 0]), np.maximum(ring[:, 0], after[:, 0])
        met = (ring[:, 1] == after[:, 1]) & (low < row) & (row < high) & (ring[:, 1] < column)
        for place in np.flatnonzero(met):
            if ring[place, 1] > best[2]:
                best = (number, int(place), float(ring[place, 1]))
    return best
