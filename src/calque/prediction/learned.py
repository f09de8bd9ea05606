"""What a model knows about its own predictions, found out when it is made: part of its card."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, inf
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from calque.prediction.options import MirrorMode, Precision
from calque.value import Value

TOLERANCE = 0.998
"""Dice between a precision and f32 from which on it may stand in for f32."""

WINDOW_TOLERANCE = 0.002
"""Validation Dice that larger windows may lose."""

_FEWEST_PATIENTS = 5  # one may be lucky, with all of his slices


class Parity(Value):
    """How far labels in a lower precision are those in f32, on real cases.

    Args:
        precision: which was compared with f32.
        engine: that computed both.
        cases: how many images.
        same: share of voxels with the same label.
        dice: between the two, overlap pooled over the images, mean over the classes that either has.
    """

    precision: Precision
    engine: str
    cases: PositiveInt
    same: float = Field(ge=0, le=1)
    dice: float = Field(ge=0, le=1)

    @property
    def admitted(self) -> bool:
        """Whether "auto" may choose this precision."""
        return self.dice >= TOLERANCE


class MirrorTrial(Value):
    """Validation Dice with one way of mirroring.

    Args:
        mode: the way.
        dice: mean over cases and classes.
        runs: of the network, per window.
    """

    mode: MirrorMode
    dice: float = Field(ge=0, le=1)
    runs: PositiveInt


class WindowTrial(Value):
    """Validation Dice with windows of training, and with those that compute the fewest voxels.

    Args:
        trained: mean over patients, of their cases and classes.
        fewest: of the same cases.
        cases: in which the windows differed.
        patients: whose cases they are.
        error: standard error of the difference over patients; None where there is one patient, or an old
            card does not say.
    """

    trained: float = Field(ge=0, le=1)
    fewest: float = Field(ge=0, le=1)
    cases: PositiveInt
    patients: NonNegativeInt = 0
    error: NonNegativeFloat | None = None

    @property
    def admitted(self) -> bool:
        """Whether "auto" may choose the larger windows: the loss and its error together are below 0.002."""
        if self.error is None or self.patients < _FEWEST_PATIENTS:
            return False
        return self.trained - self.fewest + self.error <= WINDOW_TOLERANCE


class Step(Value):
    """One postprocessing of a class, or of several as one mask, which validation cases were better for.

    Args:
        value: of the class.
        together: values of further classes whose union with it is looked at; what is removed of it goes.
        action: "largest" keeps the largest component; "small" removes components of less than `ml`; "fill"
            fills holes.
        ml: for "small".
        gain: mean Dice gained on the validation cases; None where another system chose the step.
        low: the lower end of the gain's 95 % interval; above 0.
        cases: on how many it was seen.
    """

    value: int
    together: tuple[int, ...] = ()
    action: Literal["largest", "small", "fill"]
    ml: NonNegativeFloat = 0.0
    gain: float | None = None
    low: PositiveFloat | None = None
    cases: PositiveInt | None = None

    @property
    def values(self) -> tuple[int, ...]:
        """Of all its classes."""
        return (self.value, *self.together)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.together and self.action == "fill":
            raise ValueError("holes are filled with one class, not with several")
        return self


class Line(Value):
    """From an agreement to the Dice that is to be expected.

    Args:
        slope: of the line.
        intercept: of the line.
        error: mean absolute error on the cases that it was fitted on.
    """

    slope: float = 1.0
    intercept: float = 0.0
    error: NonNegativeFloat | None = None

    def expected(self, agreement: float) -> float:
        """Dice, 0 to 1."""
        return min(1.0, max(0.0, self.intercept + self.slope * agreement))


def _error(line: Line) -> float:
    return inf if line.error is None else line.error


class Calibration(Line):
    """What turns raw confidence into honest confidence, fitted on validation cases.

    Args:
        temperature: by which logits are divided before softmax (Guo et al., ICML 2017).
        slope: of the line from the agreement of windows and mirrorings to Dice.
        intercept: of that line.
        error: mean absolute error of the estimated Dice on the cases that it was fitted on.
        folds: the line from the agreement of folds to Dice, of an ensemble that none of the cases trained.
        cases: how many.
    """

    temperature: PositiveFloat = 1.0
    folds: Line | None = None
    cases: PositiveInt

    def expected(self, agreement: float, folds: float | None = None) -> float:
        """The Dice to be expected, 0 to 1, by the line that missed less on validation cases."""
        if folds is None or self.folds is None or _error(self.folds) >= _error(self):
            return super().expected(agreement)
        return self.folds.expected(folds)


class Learned(Value):
    """All of it; a field is empty where nobody found it out.

    Args:
        parity: of lower precisions.
        mirror: ways of mirroring that were tried.
        windows: whether larger windows than those of training were as good.
        postprocessing: steps in the order in which they are applied.
        calibration: of confidence.
    """

    parity: tuple[Parity, ...] = ()
    mirror: tuple[MirrorTrial, ...] = ()
    windows: WindowTrial | None = None
    postprocessing: tuple[Step, ...] = ()
    calibration: Calibration | None = None

    @property
    def best_mirror(self) -> MirrorMode:
        """That with the best Dice, of nearly equal ones the cheapest; "interleaved" where none was tried."""
        if not self.mirror:
            return "interleaved"
        best = max(trial.dice for trial in self.mirror)
        near = [trial for trial in self.mirror if trial.dice >= best - _WORTH_IT]
        return min(near, key=lambda trial: (trial.runs, -trial.dice)).mode

    def parity_of(self, precision: Precision) -> Parity | None:
        """The record of a precision: of several, the worst."""
        found = [parity for parity in self.parity if parity.precision == precision]
        return min(found, key=lambda parity: parity.dice, default=None)


_WORTH_IT = 0.002  # of Dice: eight times the work must give more than that


def merge_learned(parts: Sequence[Learned]) -> Learned:
    """What folds that become an ensemble know together.

    Parity of all is kept, of which the worst counts; Dice of mirrorings and of windows is averaged where
    every fold tried them; postprocessing stays where every fold wants it, with the smallest size; calibration
    is averaged.
    """
    modes = [{t.mode: t for t in part.mirror} for part in parts]
    shared = [m for m in modes[0] if all(m in other for other in modes)]
    mirror = tuple(
        modes[0][m].model_copy(update={"dice": sum(o[m].dice for o in modes) / len(modes)}) for m in shared
    )
    steps = []
    for step in parts[0].postprocessing:
        same = [
            next((s for s in p.postprocessing if (s.values, s.action) == (step.values, step.action)), None)
            for p in parts
        ]
        agreed = [s for s in same if s is not None]
        if len(agreed) == len(parts):
            steps.append(min(agreed, key=lambda s: s.ml))
    found = [part.calibration for part in parts if part.calibration is not None]
    calibration = None
    if len(found) == len(parts):
        mean = {
            name: sum(getattr(c, name) for c in found) / len(found)
            for name in ("temperature", "slope", "intercept")
        }
        calibration = Calibration(**mean, cases=sum(c.cases for c in found))
    return Learned(
        parity=tuple(p for part in parts for p in part.parity),
        mirror=mirror,
        windows=_merged_windows([part.windows for part in parts]),
        postprocessing=tuple(steps),
        calibration=calibration,
    )


def _merged_windows(parts: Sequence[WindowTrial | None]) -> WindowTrial | None:
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    errors = [t.error for t in found if t.error is not None]
    return WindowTrial(
        trained=sum(t.trained for t in found) / len(found),
        fewest=sum(t.fewest for t in found) / len(found),
        cases=sum(t.cases for t in found),
        patients=sum(t.patients for t in found),
        error=hypot(*errors) / len(found) if len(errors) == len(found) else None,
    )
