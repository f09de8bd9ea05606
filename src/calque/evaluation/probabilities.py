"""Probabilities on disk, (class, z, y, x), background first.

`case_probabilities.npy`, as `calque predict --probabilities` writes them; or an `.npz` archive with an array
`probabilities`, named alike or, as nnU-Net's `--save_probabilities` does, `case.npz` beside the mask.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError, ReadError

KEY = "probabilities"


def probabilities_of(case: str, folder: Path) -> Path:
    """The file of a case: `case_probabilities.npy`, `case_probabilities.npz` or `case.npz`.

    Raises:
        InputError: there is none.
    """
    for name in (f"{case}_probabilities.npy", f"{case}_probabilities.npz", f"{case}.npz"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        "This case has no probabilities", where=folder, expected=f"{case}_probabilities.npy or .npz"
    )


def read_probabilities(path: Path) -> NDArray[np.floating]:
    """(class, z, y, x), as stored; nothing in the file is run, and an `.npy` stays on disk until it is used.

    Raises:
        ReadError: it is no such file.
    """
    try:
        if path.suffix == ".npy":
            return _checked(np.load(path, allow_pickle=False, mmap_mode="r"), path)
        with np.load(path, allow_pickle=False) as archive:
            array = archive[KEY]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise ReadError(
            "Cannot read these probabilities",
            where=path,
            got=problem,
            expected=f"an array, or an .npz with {KEY}",
        ) from None
    return _checked(array, path)


def _checked(array: NDArray[np.generic], path: Path) -> NDArray[np.floating]:
    if array.ndim != 4 or array.dtype.kind != "f":
        raise ReadError(
            "Probabilities are (class, z, y, x)", where=path, expected="4 axes of floats",
            got=f"{array.ndim} axes of {array.dtype}",
        )  # fmt: skip
    return np.asarray(array)
