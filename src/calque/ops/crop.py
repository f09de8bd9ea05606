"""Boxes around what matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError
from calque.geometry import Box


def nonzero_box(array: NDArray[np.generic]) -> Box:
    """The smallest box of (channel, z, y, x) that holds every voxel with a channel that is not zero.

    Raises:
        InputError: all voxels are zero.
    """
    used = [np.zeros(n, dtype=bool) for n in array.shape[1:]]
    for z in range(array.shape[1]):  # slice by slice: a mask of the whole would be as large as the labels
        plane = (array[:, z] != 0).any(axis=0)
        used[0][z] = plane.any()
        used[1] |= plane.any(axis=1)
        used[2] |= plane.any(axis=0)
    places = [np.flatnonzero(along) for along in used]
    if len(places[0]) == 0:
        raise InputError(
            "The image holds nothing but zeros", fix="leave it out, or look at how it was exported"
        )
    start, stop = [int(p[0]) for p in places], [int(p[-1]) + 1 for p in places]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
