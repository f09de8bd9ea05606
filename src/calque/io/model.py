"""What a format gives and takes: `Header`, `Volume`, `Format`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Grid
from calque.labels import Labels


@dataclass(frozen=True)
class Header:
    """What a file says about its voxels before they are read.

    Args:
        grid: where they are; array axes (z, y, x), LPS millimetres.
        channels: how many values a voxel has.
        dtype: of the values that a reader returns.
        disagreement: mm between the corners of the volume under two positions that the file itself gives
            (NIfTI's sform and qform); 0 where it gives one. `grid` follows the sform, as nibabel does.
        names: of the channels, where the format knows them: ("red", "green", "blue").
        placed: whether the file says where the voxels are in the patient. Pictures do not: their grid is
            their own plane, rows down and columns right (docs/decisions/pictures.md).
        spacing_known: whether the spacing is physical; if not, a pixel counts as 1 mm and "mm" means pixels.
    """

    grid: Grid
    channels: int
    dtype: np.dtype[np.generic]
    disagreement: float = 0.0
    names: tuple[str, ...] | None = None
    placed: bool = True
    spacing_known: bool = True


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
        write: (array (channel, z, y, x), grid, path); the path is temporary, the caller renames it. None:
            this format is read only, since it would lose values or the position.
        read_mask: all of a file that is a mask, where that differs: indices of a palette, not their colours.
        write_mask: (array (z, y, x), grid, labels, path), where a mask is written otherwise than an image.
        picture: whether it holds pictures, without a position in a patient.

    Readers raise ReadError or GeometryError with the path (MissingExtraError where a part is not installed),
    never anything else, whatever the bytes are, and never allocate more than the file can hold.
    """

    name: str
    read: Callable[[Path], Volume]
    read_header: Callable[[Path], Header]
    write: Callable[[NDArray[np.generic], Grid, Path], None] | None = None
    read_mask: Callable[[Path], Volume] | None = None
    write_mask: Callable[[NDArray[np.unsignedinteger], Grid, Labels, Path], None] | None = None
    picture: bool = False
