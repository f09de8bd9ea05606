"""How a run is carried out, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from calque.training.until import Until
from calque.value import Value


class TrainOptions(Value):
    """What the plan does not say.

    Args:
        fold: which part validates; "all" trains on every case and validates nothing.
        folds: in how many parts patients are dealt.
        seed: of weights, patches and augmentation.
        resume: go on from the checkpoint that is there.
        device: "auto" takes CUDA where there is one.
        spent: seconds of the plan's budget that were used before (checking, planning, preparing).
        until: ends the run before its budget: at a Dice, or when the curve is flat.
        checkpoint_seconds: between two checkpoints: what a kill can cost.
        study: whether validation cases teach the model about its predictions; of a first stage nobody asks.
        track: where curves go besides the history; a key of `calque.training.track.TRACKERS`.
    """

    fold: NonNegativeInt | Literal["all"] = 0
    folds: int = Field(default=5, ge=2)
    seed: NonNegativeInt = 0
    resume: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    spent: NonNegativeFloat = 0.0
    until: Until | None = None
    checkpoint_seconds: NonNegativeFloat = 60.0
    study: bool = True
    track: str | None = None
