"""Peak memory and time of scoring 512 x 512 x 1000 voxels with 100 classes, all default metrics."""

from __future__ import annotations

import numpy as np
from harness import measure

from calque.evaluation import score_case
from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels

SHAPE, CLASSES = (1000, 512, 512), 100


def body() -> tuple[LabelMap, LabelMap]:
    """A hundred ellipsoids, and the same moved by a voxel or two."""
    generator = np.random.default_rng(0)
    labels = Labels.from_names({f"part {v}": v for v in range(1, CLASSES + 1)})
    grid = Grid.from_parts(SHAPE, (1.5, 0.9, 0.9))
    arrays = [np.zeros(SHAPE, np.uint8) for _ in range(2)]
    for value in range(1, CLASSES + 1):
        radius = generator.integers(10, 60, 3)
        centre = np.array([generator.integers(r + 3, n - r - 3) for r, n in zip(radius, SHAPE, strict=True)])
        steps = [np.arange(-r, r + 1) / r for r in radius]
        ball = steps[0][:, None, None] ** 2 + steps[1][:, None] ** 2 + steps[2] ** 2 < 1
        for array, shift in zip(arrays, (generator.integers(-2, 3, 3), 0), strict=True):
            low = centre + shift - radius
            place = tuple(slice(a, a + n) for a, n in zip(low, ball.shape, strict=True))
            array[place][ball] = value
    return LabelMap(arrays[0], grid, labels), LabelMap(arrays[1], grid, labels)


def run(record) -> None:
    """Once: the figure that counts is the peak."""
    pair = body()
    record("100 classes", measure(lambda: score_case(*pair), repeats=1, warmup=0))
