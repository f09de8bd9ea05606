"""A CT series of 300 slices of 512 x 512 by Calque, and by a bare loop of pydicom into one array."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Figure, measure

HERE = Path(__file__).resolve().parent
SHAPE = (300, 512, 512)


def run(record: Callable[[str, Figure], None]) -> None:
    sys.path.insert(0, str(HERE.parent))
    from tests.support.dicom_series import write_series

    from calque.geometry import Grid
    from calque.io import read_header, read_image

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "ct"
        rng = np.random.default_rng(0)
        array = rng.integers(-1000, 2000, SHAPE, dtype=np.int16)
        write_series(folder, array, Grid.from_parts(SHAPE, (1.0, 0.8, 0.8)))
        if not (bare(folder) == array).all() or not (fresh(read_image, folder).array[0] == array).all():
            raise ValueError("what is read is not what was written")
        del array
        for _ in range(2):  # in turns: the machine's moods strike both
            record("dicom 512x512x300, pydicom bare", measure(lambda: bare(folder)))
            record("dicom 512x512x300, calque", measure(lambda: fresh(read_image, folder)))
        record("dicom 512x512x300, calque, headers", measure(lambda: fresh(read_header, folder)))


def fresh(read: Callable, folder: Path):  # type: ignore[no-untyped-def, type-arg]
    """Nothing remembered from the last time but what the system keeps of the files."""
    from calque.io.dicom import source

    source._known.clear()
    return read(folder)


def bare(folder: Path) -> np.ndarray:  # type: ignore[type-arg]
    """What a script would do: every file read, rescaled and put where its name says; nothing is checked."""
    from pydicom import dcmread

    array = np.empty(SHAPE, np.int16)
    for k, path in enumerate(sorted(folder.iterdir())):
        data = dcmread(path)
        array[k] = data.pixel_array
        array[k] += int(data.RescaleIntercept)
    return array
