"""Probabilities on disk: an `.npz` archive with an array `probabilities`, (class, z, y, x), background first.

So nnU-Net writes them, too (`--save_probabilities`): as `case.npz` beside the mask.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError, ReadError

KEY = "probabilities"


def probabilities_of(case: str, folder: Path) -> Path:
    """The archive of a case: `case_probabilities.npz`, or `case.npz`.

    Raises:
        InputError: there is none.
    """
    for name in (f"{case}_probabilities.npz", f"{case}.npz"):
        if (folder / name).is_file():
            return folder / name
    raise InputError("This case has no probabilities", where=folder, expected=f"{case}_probabilities.npz")


def read_probabilities(path: Path) -> NDArray[np.floating]:
    """(class, z, y, x), as stored; nothing in the file is run.

    Raises:
        ReadError: it is no such archive.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[KEY]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise ReadError(
            "Cannot read these probabilities", where=path, got=problem, expected=f"an .npz with {KEY}"
        ) from None
    if array.ndim != 4 or array.dtype.kind != "f":
        raise ReadError(
            "Probabilities are (class, z, y, x)", where=path, expected="4 axes of floats",
            got=f"{array.ndim} axes of {array.dtype}",
        )  # fmt: skip
    return np.asarray(array)
