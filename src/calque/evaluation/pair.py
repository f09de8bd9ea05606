"""`Pair`: the two masks of one class in one case, and what metrics need to know of them, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from calque.geometry import Spacing
from calque.ops.distance import Mask, Surfaces, element_surfaces, voxel_surfaces

State = Literal["present", "missed", "spurious", "absent"]
"""In both masks; in the truth alone; in the prediction alone; in neither."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A predicted and a true mask on one grid.

    Args:
        predicted: (z, y, x); may be cropped to a box that holds every true voxel of both.
        truth: the same shape.
        spacing: mm along (z, y, x).
        voxel_ml: millilitres of a voxel.
        voxels: how many voxels were scored in the whole image.
        tolerance_mm: up to which distance surfaces agree, for the normalised surface distance.
    """

    predicted: Mask
    truth: Mask
    spacing: Spacing
    voxel_ml: float
    voxels: int
    tolerance_mm: float

    @cached_property
    def hits(self) -> int:
        """True positives, in voxels."""
        return int(np.count_nonzero(self.predicted & self.truth))

    @cached_property
    def n_predicted(self) -> int:
        """Voxels predicted."""
        return int(np.count_nonzero(self.predicted))

    @cached_property
    def n_truth(self) -> int:
        """Voxels in the truth."""
        return int(np.count_nonzero(self.truth))

    @property
    def state(self) -> State:
        """Which of the masks hold anything."""
        if self.n_truth:
            return "present" if self.n_predicted else "missed"
        return "spurious" if self.n_predicted else "absent"

    @cached_property
    def surfaces(self) -> Surfaces:
        """Distances between border voxels, prediction first; both masks must hold something."""
        return voxel_surfaces(self.predicted, self.truth, self.spacing)

    @cached_property
    def elements(self) -> Surfaces:
        """Distances between area-weighted elements, prediction first; both masks must hold something."""
        return element_surfaces(self.predicted, self.truth, self.spacing)
