"""Postprocessing that validation cases were better for, and nothing else.

As in nnU-Net (Isensee et al., Nature Methods 2021), which keeps the largest component where that raised the
mean Dice; here a gain must also be beyond chance: the paired bootstrap's 95 % interval lies above zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calque.errors import GeometryError
from calque.image import LabelMap
from calque.labels import BACKGROUND
from calque.ops.components import connected_components
from calque.prediction.learned import Step

Mask = NDArray[np.bool_]
Recipe = tuple[tuple[str, float], ...]
"""Actions, each with its size in millilitres."""

_SIZES_ML = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_FIRST: tuple[Recipe, ...] = ((), (("largest", 0.0),), *((("small", ml),) for ml in _SIZES_ML))
_FEWEST = 5  # cases: an interval of fewer means nothing
_RESAMPLES = 2000


def apply_steps(label_map: LabelMap, steps: Sequence[Step]) -> LabelMap:
    """A label map after `steps`; where there are none, the same one.

    What is removed becomes background. Holes are filled where they are background, and never eat a class.
    """
    if not steps:
        return label_map
    array = label_map.array.copy()
    boxes = ndimage.find_objects(array)
    for step in steps:
        found = [b for v in step.values if v <= len(boxes) and (b := boxes[v - 1]) is not None]
        if not found:
            continue
        part = array[_around(found)]
        before = np.isin(part, step.values)
        after = _act(before, step.action, step.ml, label_map.grid.voxel_volume)
        part[before & ~after] = BACKGROUND
        part[after & (part == BACKGROUND)] = step.value
    return LabelMap(array, label_map.grid, label_map.labels)


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The box of all of them."""
    return tuple(
        slice(min(s.start for s in along), max(s.stop for s in along)) for along in zip(*boxes, strict=True)
    )


def learn_postprocessing(pairs: Iterable[tuple[LabelMap, LabelMap]], seed: int = 0) -> tuple[Step, ...]:
    """What raises the Dice of each class on validation cases, beyond chance.

    A case whose truth lacks the class counts 1 where nothing is predicted, else 0. Of several recipes that
    help, that with the largest mean gain is taken.

    Args:
        pairs: predicted and true label maps on one grid; one pair is held at a time.
        seed: of the bootstrap.

    Returns:
        Steps in the order in which they must be applied; empty where nothing helps, or with fewer than five
        cases.

    Raises:
        GeometryError: the two of a pair lie on different grids.
    """
    scores: dict[int, dict[Recipe, list[float]]] = defaultdict(lambda: defaultdict(list))
    for predicted, truth in pairs:
        if not predicted.grid.isclose(truth.grid):
            raise GeometryError("Prediction and truth lie on different grids", got=predicted.grid.shape)
        for value in truth.labels.values:
            for recipe, dice in _try_all(predicted, truth, value).items():
                scores[value][recipe].append(dice)
    generator = np.random.default_rng(seed)
    return tuple(step for value in sorted(scores) for step in _best(value, scores[value], generator))


def _try_all(predicted: LabelMap, truth: LabelMap, value: int) -> dict[Recipe, float]:
    """Dice of one class after each recipe, the empty one among them."""
    ignored = None if truth.labels.ignore is None else truth.array == truth.labels.ignore
    right = truth.array == value
    start = predicted.array == value
    free = predicted.array == BACKGROUND
    found = {}
    for first in _FIRST:
        mask = start
        for action, ml in first:
            mask = _act(mask, action, ml, predicted.grid.voxel_volume)
        filled = mask | (_act(mask, "fill", 0.0, predicted.grid.voxel_volume) & (free | start))
        found[first] = _dice(mask, right, ignored)
        found[(*first, ("fill", 0.0))] = _dice(filled, right, ignored)
    return found


def _act(mask: Mask, action: str, ml: float, voxel_volume: float) -> Mask:
    if not mask.any():
        return mask
    if action == "fill":
        return np.asarray(ndimage.binary_fill_holes(mask))
    numbers, count = connected_components(mask)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes * voxel_volume / 1000.0 >= ml
    if action == "largest":
        keep = sizes == sizes.max()  # of equals all, as in nnU-Net: none is left to chance
    keep[0] = False
    return np.asarray(keep[numbers])


def _dice(predicted: Mask, truth: Mask, ignored: Mask | None) -> float:
    if ignored is not None:
        predicted = predicted & ~ignored
    size = np.count_nonzero(predicted) + np.count_nonzero(truth)
    return 2.0 * np.count_nonzero(predicted & truth) / size if size else 1.0


def _best(value: int, dice: dict[Recipe, list[float]], generator: np.random.Generator) -> tuple[Step, ...]:
    plain = np.array(dice[()])
    cases = len(plain)
    if cases < _FEWEST:
        return ()
    picks = generator.integers(0, cases, (_RESAMPLES, cases))
    best: tuple[float, float, Recipe] = (0.0, 0.0, ())
    for recipe, values in dice.items():
        gain = np.array(values) - plain
        low = float(np.percentile(gain[picks].mean(axis=1), 2.5))
        if low > 0 and gain.mean() > best[0]:
            best = (float(gain.mean()), low, recipe)
    mean, low, recipe = best
    return tuple(
        Step.model_validate(
            {"value": value, "action": action, "ml": ml, "gain": mean, "low": low, "cases": cases}
        )
        for action, ml in recipe
    )
