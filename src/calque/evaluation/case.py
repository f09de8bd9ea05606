"""One case: two label maps to a `CaseScore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError, LabelError
from calque.evaluation.metrics import Metric, select
from calque.evaluation.pair import Pair
from calque.evaluation.rules import PLAIN_RULES, Rules, Tolerance
from calque.evaluation.scores import CaseScore, ClassScore
from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels, present_values
from calque.ops.distance import bounding_box

Probabilities = NDArray[np.floating]

Slices = tuple[slice, ...]

_SMALL, _FEW = 2**22, 8  # voxels and values up to which boxes are sought value by value


def score_case(  # noqa: PLR0913 - a case is its masks and four facts, each optional
    predicted: LabelMap,
    truth: LabelMap,
    rules: Rules = PLAIN_RULES,
    *,
    case: str = "case",
    patient: str | None = None,
    probabilities: Probabilities | None = None,
    annotated: Collection[str] | None = None,
) -> CaseScore:
    """Score every class and region of `truth.labels`.

    Voxels that the truth marks with the ignore value belong to no mask, on either side. Of a class that was
    not annotated, or a region with one, nobody knows whether the prediction is right: it has no figures.

    Args:
        predicted: on the grid of `truth`; its values mean what `truth.labels` says.
        truth: the reference.
        rules: metrics, tolerance and threshold of objects; nothing is read or resampled here.
        case: its name.
        patient: by default the case.
        probabilities: (k, z, y, x), background first, then the classes in their order; for calibration.
        annotated: names of the classes that were looked for in this case; None: all.

    Raises:
        GeometryError: the grids differ; nothing is resampled.
        LabelError: the prediction holds values that are not declared.
        InputError: an unknown metric, a tolerance for some classes only, a threshold that is no share, or
            probabilities that are missing, of another shape or not from 0 to 1.
    """
    _require_share(rules.lesion_iou)
    _require_probabilities(probabilities, truth, case)
    _require_same_grid(predicted.grid, truth.grid, case)
    chosen = select(rules.metrics)
    tolerances = tolerance_by_target(rules.tolerance_mm, truth.labels)
    both = _Both.of(predicted, truth, probabilities, case)
    classes = {}
    for name, group in targets(truth.labels).items():
        if _unknown(group, annotated, truth.labels):
            classes[name] = ClassScore(state="unknown", values=dict.fromkeys(m.name for m in chosen))
        else:
            classes[name] = _score(both.pair(group, tolerances[name], rules.lesion_iou), chosen)
    return CaseScore(case=case, patient=patient or case, classes=classes)


def _score(pair: Pair, metrics: Sequence[Metric]) -> ClassScore:
    bins = None if pair.probability is None or pair.state == "absent" else pair.bins
    return ClassScore(state=pair.state, values={m.name: m(pair) for m in metrics}, reliability=bins)


def _unknown(group: Collection[int], annotated: Collection[str] | None, labels: Labels) -> bool:
    """Whether one of these classes was not looked for."""
    if annotated is None:
        return False
    return any(label.value in group and label.name not in annotated for label in labels.classes)


@dataclass(frozen=True)
class _Both:
    """Two label maps on one grid, and where each of their values lies."""

    predicted: LabelMap
    truth: LabelMap
    probabilities: Probabilities | None
    boxes: tuple[list[Slices | None], ...]
    voxels: int

    @classmethod
    def of(
        cls, predicted: LabelMap, truth: LabelMap, probabilities: Probabilities | None, case: str
    ) -> _Both:
        """With every value found, and declared."""
        labels, boxes = truth.labels, _boxes(predicted.array, truth.array)
        for found in boxes:
            values = [value for value, box in enumerate(found, start=1) if box is not None]
            labels.require_declared(np.array(values, dtype=np.int64), where=case)
        voxels = truth.grid.voxels
        if labels.ignore is not None:
            voxels -= int(np.count_nonzero(truth.array == labels.ignore))
        return cls(predicted, truth, probabilities, boxes, voxels)

    def pair(self, group: tuple[int, ...], tolerance: float, lesion_iou: float) -> Pair:
        """The two masks of some values, cut to where either has one."""
        truth, labels = self.truth, self.truth.labels
        slices = _joint(self.boxes, group, truth.grid.shape)
        there = truth.array[slices]
        scored = None if labels.ignore is None else np.asarray(there != labels.ignore)
        guess = _mask(self.predicted.array[slices], group)
        return Pair(
            guess if scored is None else guess & scored,
            _mask(there, group),
            truth.grid.spacing,
            truth.grid.voxel_volume / 1000.0,
            self.voxels,
            tolerance,
            lesion_iou,
            None if self.probabilities is None else _chance(self.probabilities, group, labels, slices),
            scored,
        )


def targets(labels: Labels) -> dict[str, tuple[int, ...]]:
    """What is scored: name -> values, classes first, then regions.

    Raises:
        LabelError: a region has the name of a class.
    """
    groups: dict[str, tuple[int, ...]] = {label.name: (label.value,) for label in labels.classes}
    for region in labels.regions:
        if region.name in groups:
            raise LabelError("A region has the name of a class", got=region.name, fix="rename the region")
        groups[region.name] = region.values
    return groups


def tolerance_by_target(tolerance_mm: Tolerance, labels: Labels) -> dict[str, float]:
    """The tolerance of every class and region, in mm.

    Raises:
        InputError: a tolerance is below 0, or a class has none.
    """
    names = tuple(targets(labels))
    if not isinstance(tolerance_mm, Mapping):
        chosen = dict.fromkeys(names, float(tolerance_mm))
    elif set(tolerance_mm) == set(names):
        chosen = {name: float(tolerance_mm[name]) for name in names}
    else:
        raise InputError(
            "Give a tolerance for every class and region, or one for all",
            expected=", ".join(names),
            got=", ".join(tolerance_mm),
        )
    if not all(0.0 <= value < np.inf for value in chosen.values()):
        raise InputError("A tolerance is a distance in mm", got=tolerance_mm, expected="0 or more")
    return chosen


def _require_same_grid(predicted: Grid, truth: Grid, case: str) -> None:
    if predicted.isclose(truth):
        return
    raise GeometryError(
        "Prediction and truth lie on different grids",
        where=case,
        expected=_describe(truth),
        got=_describe(predicted),
        fix="evaluate with resample (--resample); it is never done unasked",
    )


def _require_share(lesion_iou: float) -> None:
    if not 0.0 <= lesion_iou < 1.0:
        raise InputError("Objects match above an IoU", got=lesion_iou, expected="0 or more, below 1")


def _require_probabilities(probabilities: Probabilities | None, truth: LabelMap, case: str) -> None:
    if probabilities is None:
        return
    expected = (truth.labels.outputs, *truth.grid.shape)
    if probabilities.shape != expected:
        raise InputError(
            "Probabilities are (class, z, y, x), background first, on the grid of the truth",
            where=case,
            expected=expected,
            got=probabilities.shape,
        )
    low, high = float(probabilities.min()), float(probabilities.max())
    if not (low >= 0.0 and high <= 1.0 + 1e-3):  # half precision rounds; NaN is refused too
        raise InputError("Probabilities lie from 0 to 1", where=case, got=f"{low:g} to {high:g}")


def _chance(
    probabilities: Probabilities, values: tuple[int, ...], labels: Labels, slices: Slices
) -> Probabilities:
    """Of a class, or of a region: the sum of its classes."""
    channels = [1 + labels.values.index(value) for value in values]
    return np.asarray(np.sum([probabilities[c][slices].astype(np.float32) for c in channels], axis=0))


def _describe(grid: Grid) -> str:
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    return f"{grid.shape} voxels of {spacing} mm, {grid.orientation}, from {grid.origin.round(2).tolist()}"


def _mask(array: NDArray[np.integer], values: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = array == values[0]
    for value in values[1:]:
        mask |= array == value
    return np.asarray(mask)


def _boxes(*arrays: NDArray[np.integer]) -> tuple[list[Slices | None], ...]:
    """Per array, the bounding box of value N at position N - 1."""
    return tuple(_value_boxes(array) for array in arrays)


def _value_boxes(array: NDArray[np.integer]) -> list[Slices | None]:
    values = present_values(array) if array.size <= _SMALL else ()
    if array.size > _SMALL or len(values) > _FEW:  # one pass for all of them
        from scipy import ndimage

        return list(ndimage.find_objects(array))
    found: list[Slices | None] = [None] * max(values)
    for value in values:
        if value and (box := bounding_box(np.asarray(array == value))):
            found[value - 1] = box.slices
    return found


def _joint(boxes: tuple[list[Slices | None], ...], values: tuple[int, ...], shape: Sequence[int]) -> Slices:
    """The box of these values in any of the arrays, one voxel wider where the image goes on.

    The margin keeps an axis an axis: a lesion within one slice of a volume has a top and a bottom.
    """
    found = [box[v - 1] for box in boxes for v in values if v <= len(box)]
    there = [box for box in found if box is not None]
    if not there:
        return (slice(0, 1),) * 3
    return tuple(
        slice(max(0, min(s.start for s in axis) - 1), min(n, max(s.stop for s in axis) + 1))
        for n, axis in zip(shape, zip(*there, strict=True), strict=True)
    )
