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
    mask = np.zeros(array.shape[1:], dtype=bool)
    for channel in array:
        mask |= channel != 0
    start, stop = [], []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        used = np.flatnonzero(mask.any(axis=others))
        if len(used) == 0:
            raise InputError(
                "The image holds nothing but zeros", fix="leave it out, or look at how it was exported"
            )
        start.append(int(used[0]))
        stop.append(int(used[-1]) + 1)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
