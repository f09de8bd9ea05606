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
    holes: PS3.3, C.8.8.6.3. The time grows with the number of pixels and corners alone.
    """
    rings = _rings(mask)
    areas = [_area(ring) for ring in rings]
    outer = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    holes = [ring for ring, area in zip(rings, areas, strict=True) if area < 0]
    if holes:
        outer = _joined([*outer, *holes], len(outer), mask)
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


def _joined(rings: list[Ring], outer: int, mask: NDArray[np.bool_]) -> list[Ring]:
    """The first `outer` rings with their holes, which are the other rings, cut in.

    From the leftmost edge of each hole the cut runs left through the mask, to the edge of the outline or of
    another hole; so holes hang on rings as a tree.
    """
    begins = np.cumsum([0, *(len(ring) for ring in rings)])
    owners = _owners(rings, mask.shape)
    hanging: dict[int, list[tuple[float, float, int, int]]] = {}  # edge -> row, column, hole, its edge
    for number in range(outer, len(rings)):
        hole = rings[number]
        first = int(_left_edges(hole)[0])
        corner = hole[first]
        row = min(corner[0], hole[(first + 1) % len(hole)][0])
        column = int(corner[1])
        clear = np.flatnonzero(~mask[int(row), :column])
        met = int(clear[-1]) + 1 if clear.size else 0
        edge = int(owners[int(row), met])
        hanging.setdefault(edge, []).append((row + _BRIDGE, float(column), number, first))
    return [_walked(rings, begins, hanging, number) for number in range(outer)]


def _owners(rings: list[Ring], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """(rows, columns + 1): of each border between a pixel and the next one in its row, the number of the edge
    that it is a part of, counted through all rings."""
    here = np.concatenate(rings).astype(np.intp)
    there = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.intp)
    edges = np.flatnonzero(here[:, 1] == there[:, 1])
    low = np.minimum(here[edges, 0], there[edges, 0])
    counts = np.abs(here[edges, 0] - there[edges, 0])
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    owners = np.full((shape[0], shape[1] + 1), -1, np.intp)
    owners[rows, np.repeat(here[edges, 1], counts)] = np.repeat(edges, counts)
    return owners


def _walked(
    rings: list[Ring],
    begins: NDArray[np.intp],
    hanging: dict[int, list[tuple[float, float, int, int]]],
    number: int,
) -> Ring:
    """The corners of a ring in order; where a hole hangs on an edge, there and around it and back."""
    points: list[tuple[float, float]] = []
    left: list[tuple[float, float] | tuple[int, int]] = [(number, k) for k in range(len(rings[number]))[::-1]]
    while left:
        step = left.pop()
        if isinstance(step[0], float):
            points.append((step[0], step[1]))
            continue
        ring, corner = rings[step[0]], int(step[1])
        points.append((float(ring[corner][0]), float(ring[corner][1])))
        held = hanging.get(int(begins[step[0]]) + corner)
        if held is None:
            continue
        down = bool(ring[(corner + 1) % len(ring)][0] > ring[corner][0])
        column = float(ring[corner][1])
        for row, start, hole, first in sorted(held, reverse=down):  # the last one comes off first
            size = len(rings[hole])
            around = [(hole, (first + 1 + k) % size) for k in range(size)]
            left += [(row, column), (row, start), *around[::-1], (row, start), (row, column)]
    return np.array(points)


def _left_edges(ring: Ring) -> NDArray[np.intp]:
    """First corners of the edges along a column that lie furthest left."""
    along = ring[:, 1] == np.roll(ring[:, 1], -1)
    return np.flatnonzero(along & (ring[:, 1] == ring[:, 1].min()))
