"""Boxes around what matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError
from calque.geometry import Box

_AT_ONCE = 2**20  # voxels


def nonzero_box(array: NDArray[np.generic]) -> Box:
    """The smallest box of (channel, z, y, x) that holds every voxel with a channel that is not zero.

    Raises:
        InputError: all voxels are zero.
    """
    used = [np.zeros(n, dtype=bool) for n in array.shape[1:]]
    # some slices at a time: a mask of the whole would be as large as the labels
    several = max(1, _AT_ONCE // max(1, array[:, :1].size))
    for z in range(0, array.shape[1], several):
        part = (array[:, z : z + several] != 0).any(axis=0)
        flat = part.any(axis=1)
        used[0][z : z + several] = flat.any(axis=1)
        used[1] |= part.any(axis=(0, 2))
        used[2] |= flat.any(axis=0)
    places = [np.flatnonzero(along) for along in used]
    if len(places[0]) == 0:
        raise InputError(
            "The image holds nothing but zeros", fix="leave it out, or look at how it was exported"
        )
    start, stop = [int(p[0]) for p in places], [int(p[-1]) + 1 for p in places]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
