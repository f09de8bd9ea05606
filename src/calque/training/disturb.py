"""Making what a stage before found a little wrong, so that the next stage looks for itself.

As in nnU-Net's cascade (Isensee et al., Nature Methods 2021; `nnUNetTrainer.get_training_transforms`):
classes are dilated, eroded, opened or closed, and connected components are left out. The stage before has
seen neither case nor patient (docs/decisions/cascade.md), but where it errs it errs in its own way.
"""

from __future__ import annotations

from collections.abc import Callable

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

MORPHED = 0.4
MOST_RADIUS = 8
"""Voxels, of the ball that classes are dilated or eroded with."""
LOST = 0.2
LARGEST_LOST = 0.15
"""Of the patch: larger components stay."""
PER_CLASS = 0.5

Mask = NDArray[np.bool_]
ClassNumbers = NDArray[np.integer]


def disturb(classes: ClassNumbers, rng: np.random.Generator) -> ClassNumbers:
    """A changed copy of class numbers (z, y, x); often the very same.

    Args:
        classes: 0 background.
        rng: draws everything.
    """
    changed = classes.copy()
    morph, lose = rng.random(2) < (MORPHED, LOST)
    if morph:
        for number in _some(changed, rng):
            _morph(changed, number, rng)
    if lose:
        for number in _some(changed, rng):
            _lose(changed, number, rng)
    return changed


def _some(classes: ClassNumbers, rng: np.random.Generator) -> list[int]:
    """Half of the classes that are there, in random order."""
    present = [int(number) for number in rng.permutation(np.unique(classes)) if number]
    return [number for number in present if rng.random() < PER_CLASS]


def _morph(classes: ClassNumbers, number: int, rng: np.random.Generator) -> None:
    """Apply an operator to one class; it takes voxels from others, and gives them to the background."""
    operator = OPERATORS[int(rng.integers(len(OPERATORS)))]
    mask = classes == number
    result = operator(mask, int(rng.integers(1, MOST_RADIUS + 1)))
    classes[mask & ~result] = 0
    classes[result] = number


def _lose(classes: ClassNumbers, number: int, rng: np.random.Generator) -> None:
    parts = cc3d.connected_components(classes == number, connectivity=26)
    sizes = np.bincount(parts.ravel())
    small = [part for part in range(1, len(sizes)) if sizes[part] <= LARGEST_LOST * classes.size]
    if small:
        classes[parts == small[int(rng.integers(len(small)))]] = 0


def _dilate(mask: Mask, radius: int) -> Mask:
    return _distance(~mask) <= radius


def _erode(mask: Mask, radius: int) -> Mask:
    return _distance(mask) > radius


def _open(mask: Mask, radius: int) -> Mask:
    return _dilate(_erode(mask, radius), radius)


def _close(mask: Mask, radius: int) -> Mask:
    return _erode(_dilate(mask, radius), radius)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Voxels from each voxel of the mask to the nearest one outside; beyond the patch nothing ends."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(edt.edt(np.ascontiguousarray(mask), black_border=False))


OPERATORS: tuple[Callable[[Mask, int], Mask], ...] = (_dilate, _erode, _open, _close)
