"""`Image` and `LabelMap` to files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calque.image import Image, LabelMap
from calque.io.atomic import atomic_path
from calque.io.formats import format_of


def write_image(image: Image, path: Path | str) -> None:
    """Write a scan in the format that the suffix names; several channels go into one file.

    Raises:
        ReadError: the suffix is unknown.
        InputError: the format cannot hold values of this type, or the place cannot be written to.
        ResourceError: the disk is full.
    """
    writer = format_of(Path(path))
    with atomic_path(path) as aside:
        writer.write(image.array, image.grid, aside)


def write_labels(label_map: LabelMap, path: Path | str) -> None:
    """Write a mask, in the smallest unsigned type that holds its labels.

    Raises:
        LabelError: the mask holds values that its labels do not declare.
        ReadError: the suffix is unknown.
        ResourceError: the disk is full.
    """
    writer = format_of(Path(path))
    label_map.labels.require_declared(label_map.array, where=path)
    array = label_map.array.astype(label_map.labels.dtype, copy=False)
    with atomic_path(path) as aside:
        writer.write(array[np.newaxis], label_map.grid, aside)
