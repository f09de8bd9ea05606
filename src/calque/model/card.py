"""`Card`: where a model comes from and what it is good for."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from calque.prediction.learned import Learned
from calque.value import Value


class Card(Value):
    """A model card (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019), in short.

    Args:
        created: date and time, ISO 8601.
        calque: version that trained it.
        torch: version that trained it.
        dataset: name of the training data.
        cases: how many it was trained on.
        folds: names of the members, such as "0" or "all".
        scores: mean validation scores by name, such as "Dice liver".
        intervals: of some of these, 95 % by bootstrap over patients.
        validated: cases that the scores are of; 0: not known.
        seconds: of training, all members together.
        steps: of training, per member.
        seed: of the random numbers.
        limits: what the model must not be used for, and where it is known to fail.
        notes: anything else.
        learned: what validation cases told about its predictions: precision, mirroring, postprocessing,
            confidence.
    """

    created: str
    calque: str
    torch: str
    dataset: str
    cases: PositiveInt
    folds: tuple[str, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    validated: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0
    steps: NonNegativeInt = 0
    seed: int = 0
    limits: str = ""
    notes: str = ""
    learned: Learned = Learned()
