"""Slices of a tilted gantry onto the upright grid: each moved within its plane, linearly interpolated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.io.dicom.lattice import Shear


def straightened(
    array: NDArray[np.generic], shear: Shear, dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """(channel, z, y, x) of a sheared stack -> the same on its upright grid, of type `dtype`.

    Where no slice reaches, there is the lowest value of the stack (air).
    """
    channels, slices, rows, columns = array.shape
    more_y, more_x = shear.margins(slices)
    fill = array.min()
    upright = np.full((channels, slices, rows + more_y, columns + more_x), fill, dtype)
    back_y, back_x = (more_y if shear.y < 0 else 0), (more_x if shear.x < 0 else 0)
    for k in range(slices):
        plane = array[:, k].astype(np.float64)
        plane = _moved(plane, back_y + k * shear.y, rows + more_y, 1, float(fill))
        plane = _moved(plane, back_x + k * shear.x, columns + more_x, 2, float(fill))
        upright[:, k] = np.rint(plane) if dtype.kind in "iu" else plane
    return upright


def _moved(
    plane: NDArray[np.float64], shift: float, length: int, axis: int, fill: float
) -> NDArray[np.float64]:
    """`plane` moved by `shift` pixels along `axis`, which then has `length` pixels."""
    count = plane.shape[axis]
    if length == count and abs(shift) < 1e-6:
        return plane
    at = np.arange(length) - shift
    inside = (at >= -0.5) & (at <= count - 0.5)  # within the outer faces of the pixels
    at = np.clip(at, 0, count - 1)
    low = np.minimum(np.floor(at).astype(np.intp), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    weight = at - low
    shape = [1, 1, 1]
    shape[axis] = length
    weight, outside = weight.reshape(shape), ~inside.reshape(shape)
    moved = plane.take(low, axis) * (1 - weight) + plane.take(high, axis) * weight
    return np.where(outside, fill, moved)
