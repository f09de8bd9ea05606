"""`Pair`: the two masks of one class in one case, and what metrics need to know of them, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError
from calque.evaluation.calibration import Reliability, reliability
from calque.evaluation.lesions import Matching, match_objects
from calque.geometry import Spacing
from calque.ops.distance import Surfaces, element_surfaces, rim, voxel_surfaces
from calque.ops.nearest import Mask
from calque.ops.skeleton import skeleton

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
        tolerance_mm: up to which distance surfaces agree, and how deep the rim of boundary IoU is.
        lesion_iou: above which IoU two objects match.
        probability: of this class, the same shape; None where there is none.
        scored: voxels that are not ignored; None: all.
    """

    predicted: Mask
    truth: Mask
    spacing: Spacing
    voxel_ml: float
    voxels: int
    tolerance_mm: float
    lesion_iou: float = 0.5
    probability: NDArray[np.floating] | None = None
    scored: Mask | None = None

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

    @cached_property
    def rims(self) -> tuple[Mask, Mask]:
        """Voxels of each mask within the tolerance of its own border, prediction first."""
        deep = self.tolerance_mm
        return rim(self.predicted, self.spacing, deep), rim(self.truth, self.spacing, deep)

    @cached_property
    def skeletons(self) -> tuple[Mask, Mask]:
        """Centrelines, prediction first."""
        return skeleton(self.predicted), skeleton(self.truth)

    @cached_property
    def objects(self) -> Matching:
        """Which objects were found."""
        return match_objects(self.predicted, self.truth, self.lesion_iou)

    @property
    def chance(self) -> NDArray[np.floating]:
        """The probability.

        Raises:
            InputError: there is none.
        """
        if self.probability is None:
            raise InputError("This metric needs probabilities", fix="give them, or leave ece and brier out")
        return self.probability

    @cached_property
    def bins(self) -> Reliability:
        """Voxels by bin of probability."""
        return reliability(self.chance, self.truth, self.scored)
