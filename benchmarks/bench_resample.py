"""Cubic resampling in plane against scipy.ndimage.zoom: the costly part of preparing and of going back."""

from __future__ import annotations

import numpy as np
from harness import measure
from scipy.ndimage import zoom

from calque.geometry import Grid
from calque.ops.resample import resample


def run(record) -> None:
    """128x128x128 to 128x192x192, float32."""
    source = Grid.from_parts((128, 128, 128), (2.0, 1.5, 1.5))
    target = source.resampled((2.0, 1.0, 1.0))
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    factors = [b / a for a, b in zip(source.shape, target.shape, strict=True)]
    record("calque", measure(lambda: resample(array[None], target.shape, order=3)))
    record("scipy", measure(lambda: zoom(array, factors, order=3, grid_mode=True, mode="nearest"), repeats=3))
