"""How sure a prediction is, and whether its image is like those that the model was trained on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from calque.heads import Decoder
from calque.image import Image
from calque.planning import Plan
from calque.planning.model import STORED
from calque.prediction.last_layer import LastLayer, classes_of
from calque.prediction.learned import Calibration
from calque.value import Value

_SPACING = 1.5  # times beyond the range of training: there the network sees other sizes of structure
_EXTENT = 2.0
_INSIDE = 0.01  # share of voxels within the training's range of intensities


class ClassConfidence(Value):
    """What is to be expected of one class in one case.

    Args:
        agreement: Dice between single windows (each with its mirroring) and their mean, 0 to 1.
        fold_agreement: Dice between single folds in single windows and that mean; None where there is but one
            network, or where its last layer cannot be taken apart.
        expected_dice: from the agreement, by what was learned on validation cases.
        calibrated: whether anything was learned; if not, `expected_dice` is the agreement itself, an upper
            bound at best.
    """

    agreement: float
    fold_agreement: float | None = None
    expected_dice: float
    calibrated: bool


class Agreement:
    """Counts how far windows that overlap, each mirrored in its own way, and folds agree with their mean.

    Memory holds the labels of the windows that are not finished: one byte a voxel, window and fold.
    """

    def __init__(self, decoder: Decoder, last: LastLayer | None = None) -> None:
        self._decoder, self._outputs, self._last = decoder, decoder.labels.outputs, last
        self._waiting: list[tuple[tuple[int, ...], list[NDArray[np.integer]]]] = []
        self._hits, self._sizes = np.zeros((2, self._outputs)), np.zeros((2, self._outputs))

    def window(self, corner: tuple[int, ...], logits: torch.Tensor) -> None:
        """See `calque.prediction.windows.Watch`."""
        votes = [classes_of(logits, self._decoder, self._last)]
        if self._last is not None:
            votes += [classes_of(part, self._decoder, layer) for part, layer in self._last.apart(logits)]
        self._waiting.append((corner, votes))

    def finished(self, rows: slice, logits: NDArray[np.float32]) -> None:
        """See `calque.prediction.windows.Watch`."""
        mean = classes_of(torch.from_numpy(logits), self._decoder, self._last)
        for (z, y, x), votes in self._waiting:
            depth, height, width = votes[0].shape
            low, high = max(z, rows.start), min(z + depth, rows.stop)
            if low >= high:
                continue
            theirs = mean[low - rows.start : high - rows.start, y : y + height, x : x + width]
            for number, vote in enumerate(votes):
                self._count(min(number, 1), vote[low - z : high - z], theirs)
        self._waiting = [(c, votes) for c, votes in self._waiting if c[0] + votes[0].shape[0] > rows.stop]

    def _count(self, kind: int, mine: NDArray[np.integer], theirs: NDArray[np.integer]) -> None:
        self._hits[kind] += np.bincount(mine[mine == theirs].ravel(), minlength=self._outputs)
        self._sizes[kind] += np.bincount(mine.ravel(), minlength=self._outputs)
        self._sizes[kind] += np.bincount(theirs.ravel(), minlength=self._outputs)

    def dice(self) -> dict[int, float]:
        """Class number -> Dice between windows and their mean, for classes that either has."""
        return self._dice(0)

    def fold_dice(self) -> dict[int, float]:
        """As `dice`, between folds in single windows and that mean; empty where folds are not apart."""
        return self._dice(1)

    def _dice(self, kind: int) -> dict[int, float]:
        hits, sizes = self._hits[kind], self._sizes[kind]
        return {k: float(2 * hits[k] / sizes[k]) for k in range(1, self._outputs) if sizes[k] > 0}

    def per_class(
        self, names: tuple[str, ...], calibration: Calibration | None
    ) -> dict[str, ClassConfidence]:
        """By name of class; without calibration the lower of both agreements stands for the Dice."""
        folds, found = self.fold_dice(), {}
        for k, dice in self.dice().items():
            fold = folds.get(k, 0.0) if folds else None
            guess = min(dice, dice if fold is None else fold)
            found[names[k - 1]] = ClassConfidence(
                agreement=dice,
                fold_agreement=fold,
                expected_dice=guess if calibration is None else calibration.expected(dice, fold),
                calibrated=calibration is not None,
            )
        return found


def unlike_training(image: Image, plan: Plan) -> tuple[str, ...]:
    """Reasons to doubt that the model knows images such as this one; empty where there is none.

    Spacing, extent and orientation are compared with the training cases', and intensities where the plan
    takes them as they are (CT); others are normalised away, but a channel of one value is named.
    """
    flat = [
        f"{name} has the value {channel.flat[0]:g} everywhere"
        for name, channel in zip(plan.channels, image.array, strict=True)
        if channel.min() == channel.max()
    ]
    return (*_unlike_grid(image, plan), *_unlike_intensity(image, plan), *flat)


def _unlike_grid(image: Image, plan: Plan) -> list[str]:
    known, turned = plan.fingerprint, plan.reorientation(image.grid).grid(image.grid)
    found = []
    spacings, shapes = (np.array(v).reshape(-1, 3) for v in (known.spacings, known.shapes))
    extents = spacings * shapes if len(shapes) == len(spacings) else spacings[:0]
    for axis, name in enumerate("zyx"):
        mm, size = turned.spacing[axis], turned.spacing[axis] * turned.shape[axis]
        if len(spacings):  # an imported model may not know its training data
            low, high = float(spacings[:, axis].min()), float(spacings[:, axis].max())
            if not low / _SPACING <= mm <= high * _SPACING:
                found.append(f"spacing along {name} is {mm:.3g} mm, in training {low:.3g} to {high:.3g} mm")
        if len(extents):
            low, high = float(extents[:, axis].min()), float(extents[:, axis].max())
            if not low / _EXTENT <= size <= high * _EXTENT:
                found.append(f"extent along {name} is {size:.0f} mm, in training {low:.0f} to {high:.0f} mm")
    codes = image.grid.orientation
    if plan.orientation == STORED and known.orientations and codes not in known.orientations:
        seen = ", ".join(sorted(known.orientations))
        found.append(f"axes run {codes}, in training {seen}, and this model does not turn images")
    return found


def _unlike_intensity(image: Image, plan: Plan) -> list[str]:
    found = []
    for name, channel, rule, seen in zip(
        plan.channels, image.array, plan.normalisation, plan.fingerprint.intensities, strict=True
    ):
        if rule.scheme == "zscore":
            continue
        sample = channel[:: max(1, channel.shape[0] // 64), ::4, ::4]
        inside = float(((sample >= seen.low) & (sample <= seen.high)).mean())
        if inside < _INSIDE:
            found.append(
                f"{100 * inside:.1f} % of the voxels of {name} lie within {seen.low:.4g} to {seen.high:.4g}, "
                "the range of what was to be found in training"
            )
        elif rule.scheme == "ct" and rule.low < 0 <= float(sample.min()):
            found.append(f"{name} has no value below 0: is it in Hounsfield units?")
    return found
