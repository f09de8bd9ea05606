"""Objects against objects: which predicted component finds which true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calque.ops.components import connected_components
from calque.ops.nearest import Mask


@dataclass(frozen=True)
class Matching:
    """What became of the objects of one class in one case.

    Args:
        n_predicted: objects predicted.
        n_truth: objects in the truth.
        ious: of the matched pairs, largest first.
    """

    n_predicted: int
    n_truth: int
    ious: tuple[float, ...]

    @property
    def hits(self) -> int:
        """Objects found."""
        return len(self.ious)


def match_objects(predicted: Mask, truth: Mask, threshold: float) -> Matching:
    """Match the objects of two (z, y, x) masks one to one.

    Objects are components of voxels that touch by faces, edges or corners. Pairs with an IoU above
    `threshold` are matched, the largest IoU first, each object once. From 0.5 on no object can be in two such
    pairs, and the matching is that of panoptic quality (Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963).
    """
    here, n_predicted = connected_components(predicted)
    there, n_truth = connected_components(truth)
    both = predicted & truth
    code = there[both].astype(np.int64) * (n_predicted + 1) + here[both]
    pairs, overlaps = np.unique(code, return_counts=True)
    rows, columns = np.divmod(pairs, n_predicted + 1)
    sizes = (
        np.bincount(there.ravel(), minlength=n_truth + 1),
        np.bincount(here.ravel(), minlength=n_predicted + 1),
    )
    ious = overlaps / (sizes[0][rows] + sizes[1][columns] - overlaps)
    taken: tuple[set[int], set[int]] = (set(), set())
    matched = []
    for k in np.argsort(-ious, kind="stable"):
        row, column = int(rows[k]), int(columns[k])
        if ious[k] > threshold and row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            matched.append(float(ious[k]))
    return Matching(n_predicted, n_truth, tuple(matched))
