"""Finding out, on validation cases, what a model should know of its own predictions.

Every function takes cases one by one and holds one at a time; `learn` does all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from torch import nn

from calque.image import Image, LabelMap
from calque.planning import Plan
from calque.prediction.calibrate import Confidences
from calque.prediction.learned import Calibration, Learned, MirrorTrial, Parity, WindowTrial
from calque.prediction.options import MirrorMode, Precision, PredictOptions
from calque.prediction.parity import compare
from calque.prediction.postprocess import learn_postprocessing
from calque.prediction.predictor import Predictor
from calque.preparation.case import place_image

Case = tuple[Image, LabelMap] | tuple[Image, LabelMap, str]
"""A scan, its true labels, and whose it is; without a name nobody else's."""

_PARITY_CASES = 3  # each is predicted in f32 too
MODES: tuple[MirrorMode, ...] = ("off", "interleaved", "full")


def learn(
    plan: Plan,
    networks: Sequence[nn.Module],
    cases: Iterable[Case],
    options: PredictOptions | None = None,
    modes: Sequence[MirrorMode] = MODES,
    first: Predictor | None = None,
) -> Learned:
    """Everything that validation cases can tell: parity, mirroring, postprocessing, calibration.

    The network runs on a case once for each of "off" and "interleaved", as often as there are mirrorings for
    "full", once more for calibration, once with larger windows where there are any, and twice more on the
    first three cases for parity.

    Args:
        plan: of the networks.
        networks: an ensemble.
        cases: that it was not trained on; they are gone through once.
        options: engine, precision and cache; "auto" takes what the processor is quick in.
        modes: of mirroring to try; the first is what postprocessing is learned on if it is the only one.
        first: the stage before, of a cascade.
    """
    options = options or PredictOptions(engine="torch")
    study = _Study(_Maker(plan, networks, options, first), tuple(modes))
    pairs = study.pairs(cases)
    steps = learn_postprocessing(pairs)
    return Learned(
        parity=study.parity(),
        mirror=study.trials() if len(modes) > 1 else (),
        windows=study.windows.trial(),
        postprocessing=steps,
        calibration=study.calibration(),
    )


def measure_parity(
    plan: Plan, networks: Sequence[nn.Module], images: Iterable[Image], options: PredictOptions | None = None
) -> Parity:
    """How far bf16 gives the labels of f32, on whole images, without mirroring.

    Args:
        plan: of the networks.
        networks: an ensemble.
        images: real ones; three are enough.
        options: engine and cache.

    Raises:
        InputError: there is no image.
    """
    maker = _Maker(plan, networks, options or PredictOptions())
    low, high = (maker(p, "off") for p in ("bf16", "f32"))
    pairs = [(low(image).label_map.array, high(image).label_map.array) for image in images]
    return compare(pairs, "bf16", low.engine.name)


@dataclass(frozen=True)
class _Maker:
    """Makes predictors of one model that differ in how they predict."""

    plan: Plan
    networks: Sequence[nn.Module]
    options: PredictOptions
    first: Predictor | None = None

    def __call__(self, precision: str, mirror: MirrorMode, *, apart: bool = False) -> Predictor:
        """`apart`: folds of an ensemble can be told apart."""
        changes = {"precision": precision, "mirror": mirror, "postprocess": False, "windows": "trained"}
        changes |= {"confidence": True} if apart else {}
        return Predictor(self.plan, self.networks, self.options.model_copy(update=changes), first=self.first)


def learn_windows(
    plan: Plan,
    networks: Sequence[nn.Module],
    cases: Iterable[Case],
    options: PredictOptions | None = None,
    first: Predictor | None = None,
) -> WindowTrial | None:
    """Whether larger windows are as good as those of training, without mirroring.

    Args:
        plan: of the networks.
        networks: an ensemble.
        cases: that it was not trained on; they are gone through once.
        options: engine, precision and cache.
        first: the stage before, of a cascade.

    Returns:
        None where no case has other windows, or the network takes no others.
    """
    trained = _Maker(plan, networks, options or PredictOptions(), first)("auto", "off")
    found = _Windows(trained)
    for case in cases:
        if found.differ(case[0]):
            found.look(case, trained(case[0]).label_map)
    return found.trial()


class _Windows:
    """Dice with larger windows beside that with those of training.

    Args:
        trained: predicts with these.
    """

    def __init__(self, trained: Predictor) -> None:
        self._trained, self._fewest = trained, trained.with_windows("fewest")
        self._dice: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def differ(self, image: Image) -> bool:
        """Whether an image has other windows, after what is empty around it was cut off."""
        if self._fewest is None:
            return False
        shape = place_image(image, self._trained.plan)[1].prepared.shape
        return self._fewest.window_shapes(shape)[0] != self._trained.plan.patch

    def look(self, case: Case, guess: LabelMap) -> None:
        """Note one case whose windows differ.

        Args:
            case: with its truth.
            guess: with windows of training.
        """
        if self._fewest is None:
            return
        image, truth, *patient = case
        self._fewest.engine = self._trained.engine
        large, usual = case_dice(self._fewest(image).label_map, truth), case_dice(guess, truth)
        if large and usual:  # nothing to be found says nothing
            whose = patient[0] if patient else f"case {len(self._dice)}"
            self._dice[whose].append((float(np.mean(usual)), float(np.mean(large))))

    def trial(self) -> WindowTrial | None:
        """What was found: patients count once each, for slices of one are alike."""
        if not self._dice:
            return None
        each = np.array([np.mean(found, axis=0) for found in self._dice.values()])
        usual, large = each.mean(axis=0)
        lost = each[:, 0] - each[:, 1]
        error = float(lost.std(ddof=1)) / sqrt(len(lost)) if len(lost) > 1 else None
        return WindowTrial(
            trained=round(float(usual), 5),
            fewest=round(float(large), 5),
            cases=sum(map(len, self._dice.values())),
            patients=len(each),
            error=error,
        )


class _Study:
    """What is gathered from case to case."""

    def __init__(self, maker: _Maker, modes: tuple[MirrorMode, ...]) -> None:
        asked = maker.options.precision
        settled: Precision = asked if asked != "auto" else "bf16"
        self._modes = {mode: maker(settled, mode) for mode in modes}
        engine = maker(settled, modes[0], apart=True).engine
        for predictor in self._modes.values():
            predictor.engine = engine  # one for all: it is made ready once
        self._others = {p: maker(p, "off") for p in ("bf16", "f32")}
        self._others[settled].engine = engine
        self._plain = self._modes[modes[0]] if modes[0] == "off" else self._others[settled]
        self.windows = _Windows(self._plain)
        self._same: list[tuple[NDArray[np.integer], NDArray[np.integer]]] = []
        self._dice: dict[MirrorMode, list[float]] = {mode: [] for mode in modes}
        self._confidence = Confidences()
        self._preferred: MirrorMode = "interleaved" if "interleaved" in modes else modes[0]

    def pairs(self, cases: Iterable[Case]) -> Iterable[tuple[LabelMap, LabelMap]]:
        """Predicted and true label maps, while everything else is noted."""
        for case in cases:
            image, truth, *_ = case
            found = {mode: predictor(image).label_map for mode, predictor in self._modes.items()}
            for mode, guess in found.items():
                self._dice[mode] += case_dice(guess, truth)
            if self.windows.differ(image):
                plain = found["off"] if "off" in found else self._plain(image).label_map
                self.windows.look(case, plain)
            if len(self._same) < _PARITY_CASES:
                low, high = (self._others[p](image).label_map.array for p in ("bf16", "f32"))
                self._same.append((low, high))
            self._confidence.look(self._modes[self._preferred], image, truth)
            yield found[self._preferred], truth

    def parity(self) -> tuple[Parity, ...]:
        if not self._same:
            return ()
        return (compare(self._same, "bf16", self._others["bf16"].engine.name),)

    def trials(self) -> tuple[MirrorTrial, ...]:
        return tuple(
            MirrorTrial(
                mode=mode,
                dice=round(float(np.mean(values)), 5),
                runs=len(self._modes[mode].tiling.flips(0)) if mode == "full" else 1,
            )
            for mode, values in self._dice.items()
            if values
        )

    def calibration(self) -> Calibration | None:
        return self._confidence.fit()


def case_dice(predicted: LabelMap, truth: LabelMap) -> list[float]:
    """Dice of each class that either has, background not among them."""
    found = []
    for value in truth.labels.values:
        one, other = predicted.array == value, truth.array == value
        size = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
        if size:
            found.append(2.0 * int(np.count_nonzero(one & other)) / size)
    return found
