"""Reading a CT of 512x512x300 from a .nii.gz: Calque against nibabel on bytes that isal unpacked.

The scan is a generated body with noise, int16, so that it packs as a real one does. nibabel gets the whole
file unpacked in memory by isal and makes its array of it: no check of anything, no copy. Both in turn, n = 5
pairs, the file in the page cache.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip

from calque.io import read_image

SHAPE = (512, 512, 300)
PAIRS = 5


@dataclass(frozen=True)
class Pairs:
    """Medians in seconds; the ratio is Calque over nibabel, pair by pair."""

    calque: float
    nibabel: float
    ratio: float
    ratios: list[float]
    n: int


def scan(path: Path) -> None:
    """A warm ellipse with noise in cold air, as nibabel writes it."""
    x, y = np.ogrid[-1:1:512j, -1:1:512j]
    inside = ((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1)[..., None]
    noise = np.random.default_rng(0).normal(0, 12, SHAPE)
    array = np.where(inside, 40 + noise, -1024).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-0.8, -0.8, 1.0, 1.0])), path)


def bare(path: Path) -> np.ndarray:
    """nibabel, told nothing but the bytes."""
    with igzip.open(path, "rb") as stream:
        data = stream.read()
    return np.asanyarray(nibabel.Nifti1Image.from_stream(io.BytesIO(data)).dataobj)


def run(record) -> None:
    """Both in turn; the ratio of each pair."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        scan(path)
        if not np.array_equal(read_image(path).array[0].T, bare(path)):
            raise AssertionError("the two did not read the same")
        ratios, ours, theirs = [], [], []
        for _ in range(PAIRS):
            for function, seconds in ((read_image, ours), (bare, theirs)):
                start = time.perf_counter()
                function(path)
                seconds.append(time.perf_counter() - start)
            ratios.append(ours[-1] / theirs[-1])
    middle = statistics.median
    record("read 512x512x300 .nii.gz", Pairs(middle(ours), middle(theirs), middle(ratios), ratios, PAIRS))
