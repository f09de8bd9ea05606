"""`Image` and `LabelMap` to files, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io.atomic import atomic_path
from calque.io.formats import FORMATS, format_of
from calque.io.model import Format


def write_image(image: Image, path: Path | str) -> None:
    """Write a scan in the format that the suffix names; several channels go into one file.

    Raises:
        ReadError: the suffix is unknown.
        InputError: the format cannot hold values of this type, or the place cannot be written to.
        ResourceError: the disk is full.
    """
    write = _writer(format_of(Path(path)), path)
    with atomic_path(path) as aside:
        write(image.array, image.grid, aside)


def write_labels(label_map: LabelMap, path: Path | str) -> None:
    """Write a mask, in the smallest unsigned type that holds its labels.

    Raises:
        LabelError: the mask holds values that its labels do not declare.
        ReadError: the suffix is unknown.
        ResourceError: the disk is full.
    """
    chosen = format_of(Path(path))
    write = _writer(chosen, path)
    label_map.labels.require_declared(label_map.array, where=path)
    array = label_map.array.astype(label_map.labels.dtype, copy=False)
    with atomic_path(path) as aside:
        if chosen.write_mask is not None:
            chosen.write_mask(array, label_map.grid, label_map.labels, aside)
        else:
            write(array[np.newaxis], label_map.grid, aside)


def _writer(chosen: Format, path: Path | str) -> Callable[[NDArray[np.generic], Grid, Path], None]:
    if chosen.write is None:
        raise InputError(
            f"{chosen.name} is read only: it would lose values or the position",
            where=path,
            expected=", ".join(suffix for suffix, known in FORMATS.items() if known.write is not None),
            fix="choose another suffix",
        )
    return chosen.write
