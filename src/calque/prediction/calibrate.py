"""Calibration of confidence: what validation cases say of logits, and of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calque.heads import Decoder
from calque.image import Image, LabelMap
from calque.prediction.confidence import Agreement
from calque.prediction.last_layer import classes_of, logits_of
from calque.prediction.learned import Calibration, Line
from calque.prediction.predictor import Predictor
from calque.prediction.windows import slabs
from calque.preparation.case import prepare_labels
from calque.preparation.rows import PreparedRows

_SAMPLE = 20_000  # voxels of a case that calibration looks at
_FEWEST = 8  # pairs of case and class for a line through them


@dataclass
class Confidences:
    """Logits of some voxels beside their true class, and agreement beside Dice, over cases."""

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    classes: list[NDArray[np.integer]] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    cases: int = 0
    folds: list[float] = field(default_factory=list)
    decoder: Decoder | None = None

    def look(self, predictor: Predictor, image: Image, truth: LabelMap) -> None:
        """Note one case, on the prepared grid: logits of the whole image are not held."""
        plan, rows = predictor.plan, PreparedRows(image, predictor.plan)
        tiling, outputs = predictor.tiling_along(rows.axis), plan.labels.outputs
        decoder = self.decoder = plan.decoder
        right = prepare_labels(truth, rows.placement, plan).transpose(tiling.axes)
        last, generator = predictor.engine.last, np.random.default_rng(self.cases)
        agreement = Agreement(decoder, last)
        hits, sizes = np.zeros(outputs + 1), np.zeros(outputs + 1)
        share = min(1.0, _SAMPLE / right.size)
        for slab in slabs(predictor.engine, rows, predictor.channels, tiling, agreement):
            logits = logits_of(slab.logits, last)
            true, guess = right[slab.rows], classes_of(torch.from_numpy(logits), decoder)
            valid = true < outputs
            hits += np.bincount(true[valid & (true == guess)], minlength=outputs + 1)
            sizes += np.bincount(true[valid], minlength=outputs + 1)
            sizes += np.bincount(guess[valid], minlength=outputs + 1)
            picked = valid & (generator.random(true.shape) < share)
            self.logits.append(logits[:, picked].T.astype(np.float32))
            self.classes.append(true[picked].astype(np.int64))
        folds = agreement.fold_dice()
        for number, value in agreement.dice().items():
            if sizes[number]:
                self.agreement.append(value)
                self.folds += [folds.get(number, 0.0)] if folds else []
                self.dice.append(float(2 * hits[number] / sizes[number]))
        self.cases += 1

    def fit(self) -> Calibration | None:
        """Temperature by likelihood; the lines from agreement to Dice by least squares."""
        if self.cases == 0:
            return None
        line = _line(self.agreement, self.dice)
        return Calibration(
            temperature=self._temperature(),
            slope=line.slope,
            intercept=line.intercept,
            error=line.error,
            folds=_line(self.folds, self.dice) if len(self.folds) >= _FEWEST else None,
            cases=self.cases,
        )

    def _temperature(self) -> float:
        from scipy.optimize import minimize_scalar  # slow to import, and for learning alone

        logits = torch.from_numpy(np.concatenate(self.logits))
        classes = torch.from_numpy(np.concatenate(self.classes))
        regions = self.decoder is not None and bool(self.decoder.heads)
        members = torch.from_numpy(self.decoder.members.T.astype(np.float32)) if self.decoder else None

        def loss(log_temperature: float) -> float:
            scaled = logits / float(np.exp(log_temperature))
            if regions and members is not None:
                return float(nn.functional.binary_cross_entropy_with_logits(scaled, members[classes]))
            return float(nn.functional.cross_entropy(scaled, classes))

        return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 2.5), method="bounded").x))


def _line(agreement: Sequence[float], dice: Sequence[float]) -> Line:
    """By least squares, or the mean Dice where agreement tells nothing; with too few pairs the identity."""
    x, y = np.array(agreement), np.array(dice)
    slope, intercept = 1.0, 0.0
    if len(x) >= _FEWEST:
        # a single window always agrees with itself, and more agreement cannot mean less
        slope = max(0.0, float(np.polyfit(x, y, 1)[0])) if np.ptp(x) > 1e-3 else 0.0
        intercept = float(y.mean() - slope * x.mean())
    guess = np.clip(intercept + slope * x, 0, 1)
    return Line(slope=slope, intercept=intercept, error=float(np.abs(guess - y).mean()) if len(x) else None)
