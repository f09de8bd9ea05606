"""What a stage before found, on the prepared grid of the next one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.image import LabelMap
from calque.ops.resample import nearest_rows
from calque.preparation.case import turned_to
from calque.preparation.model import Placement


class PreviousRows:
    """Class numbers as rows along an axis, each voxel that of the nearest one of the label map.

    Label maps come on the image's own grid, where the stage before interpolated its logits: borders are
    smooth already. Training, which holds all rows, and prediction, which asks for a few, see the same.

    Args:
        label_map: on the image's own grid.
        placement: of the image.
        axes: of (z, y, x), that of the rows first.

    Raises:
        GeometryError: the label map lies on another grid than the image.
    """

    def __init__(
        self, label_map: LabelMap, placement: Placement, axes: tuple[int, int, int] = (0, 1, 2)
    ) -> None:
        self._labels = label_map.labels
        self._source = turned_to(label_map, placement).array[placement.box.slices].transpose(axes)
        target = (placement.prepared.shape[axis] for axis in axes)
        self._nearest = [nearest_rows(n, m) for n, m in zip(self._source.shape, target, strict=True)]

    def __call__(self, rows: slice) -> NDArray[np.integer]:
        """(rows, second axis, third axis), class numbers, 0 background."""
        first, second, third = self._nearest
        return self._labels.to_index(self._source[np.ix_(first[rows], second, third)])
