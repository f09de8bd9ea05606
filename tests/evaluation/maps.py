"""Small label maps for the tests of this room."""

from __future__ import annotations

import numpy as np

from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels

LABELS = Labels.from_names({"organ": 1, "lesion": 2})


def label_map(array, labels: Labels = LABELS, spacing=(1.0, 1.0, 1.0)) -> LabelMap:
    array = np.asarray(array, dtype=np.uint8)
    return LabelMap(array, Grid.from_parts(array.shape, spacing), labels)


def cube(start: int, stop: int, size: int = 12, value: int = 1) -> np.ndarray:
    array = np.zeros((size, size, size), np.uint8)
    array[start:stop, start:stop, start:stop] = value
    return array
