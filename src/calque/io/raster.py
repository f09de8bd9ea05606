"""Pictures for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError
from calque.io.atomic import atomic_path


def write_png(rgb: NDArray[np.uint8], path: Path | str) -> None:
    """Write (row, column, 3) of red, green and blue as a PNG, whole or not at all.

    Raises:
        InputError: another shape or type, or another suffix.
        ResourceError: the disk is full.
    """
    from PIL import Image as Picture

    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(
            "A picture is (row, column, 3) of uint8", where=path, got=f"{rgb.shape} of {rgb.dtype}"
        )
    if Path(path).suffix.lower() != ".png":
        raise InputError("A picture is written as PNG", where=path, expected="a name that ends in .png")
    with atomic_path(path) as aside:
        Picture.fromarray(rgb).save(aside, format="PNG")
