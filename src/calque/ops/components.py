"""Connected components: voxels of one value that touch."""

from __future__ import annotations

from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError

Connectivity = Literal[6, 18, 26]
"""Voxels touch by faces (6), also by edges (18), also by corners (26)."""


def connected_components(
    array: NDArray[np.integer] | NDArray[np.bool_], connectivity: Connectivity = 26
) -> tuple[NDArray[np.integer], int]:
    """Number the components of (z, y, x): voxels of the same value, not 0, that touch.

    Returns:
        Numbers from 1, 0 where `array` is 0; how many there are.

    Raises:
        InputError: an unknown connectivity.
        GeometryError: not three axes.
    """
    if connectivity not in (6, 18, 26):
        raise InputError("There is no such connectivity", expected=(6, 18, 26), got=connectivity)
    if array.ndim != 3:
        raise GeometryError("Components are found in (z, y, x)", got=array.shape)
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    numbers, count = cc3d.connected_components(
        np.ascontiguousarray(array), connectivity=connectivity, return_N=True
    )
    return numbers, int(count)


def largest_component(array: NDArray[np.integer], connectivity: Connectivity = 26) -> NDArray[np.integer]:
    """A copy that keeps, of each value, only its largest component (of two equal ones, the first).

    Args:
        array: (z, y, x), 0 is background.
        connectivity: which voxels touch.
    """
    numbers, count = connected_components(array, connectivity)
    sizes, values = _sizes_and_values(array, numbers, count)
    keep = np.zeros(count + 1, dtype=bool)
    for value in np.unique(values[1:]):
        mine = np.flatnonzero(values[1:] == value) + 1
        keep[mine[sizes[mine].argmax()]] = True
    return np.where(keep[numbers], array, array.dtype.type(0))


def remove_small(
    array: NDArray[np.integer], min_voxels: int, connectivity: Connectivity = 26
) -> NDArray[np.integer]:
    """A copy without the components of fewer than `min_voxels` voxels.

    Args:
        array: (z, y, x), 0 is background.
        min_voxels: the smallest component that stays.
        connectivity: which voxels touch.
    """
    numbers, count = connected_components(array, connectivity)
    sizes, _ = _sizes_and_values(array, numbers, count)
    return np.where((sizes >= min_voxels)[numbers], array, array.dtype.type(0))


def _sizes_and_values(
    array: NDArray[np.integer], numbers: NDArray[np.integer], count: int
) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Voxels and value of each component, at its number; entry 0 is background."""
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    values = np.zeros(count + 1, dtype=array.dtype)
    values[numbers.ravel()] = array.ravel()
    return sizes, values
