"""What a format gives and takes: `Header`, `Volume`, `Format`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Grid


@dataclass(frozen=True)
class Header:
    """What a file says about its voxels before they are read.

    Args:
        grid: where they are; array axes (z, y, x), LPS millimetres.
        channels: how many values a voxel has.
        dtype: of the values that a reader returns.
        disagreement: mm between the corners of the volume under two positions that the file itself gives
            (NIfTI's sform and qform); 0 where it gives one. `grid` follows the sform, as nibabel does.
    """

    grid: Grid
    channels: int
    dtype: np.dtype[np.generic]
    disagreement: float = 0.0


@dataclass(frozen=True, eq=False)
class Volume:
    """A file as read: `array` is (channel, z, y, x) on the grid of `header`."""

    array: NDArray[np.generic]
    header: Header


@dataclass(frozen=True)
class Format:
    """How files of some suffix are read and written.

    Args:
        name: for people.
        read: all of a file.
        read_header: the header alone.
        write: (array (channel, z, y, x), grid, path); the path is temporary, the caller renames it.

    Readers raise ReadError or GeometryError with the path, never anything else, whatever the bytes are, and
    never allocate more than the file can hold.
    """

    name: str
    read: Callable[[Path], Volume]
    read_header: Callable[[Path], Header]
    write: Callable[[NDArray[np.generic], Grid, Path], None]
