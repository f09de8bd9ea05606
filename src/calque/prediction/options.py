"""How to predict, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from calque.value import Value

MirrorMode = Literal["off", "interleaved", "full"]
Precision = Literal["bf16", "f32"]


class PredictOptions(Value):
    """Choices that change speed and accuracy, not what is predicted.

    Args:
        mirror: test-time mirroring. "interleaved" gives each window another mirroring and costs nothing,
            "full" averages all mirrorings of every window.
        overlap: share of a window that the next one covers too.
        engine: a key of `calque.prediction.engines.ENGINES`, or "auto".
        precision: of convolutions; "auto" is bf16 where the processor computes in it, else f32.
        probabilities: whether softmax probabilities are returned too; they take memory for every class.
        batch: windows per call of the network; None: as many as make the call worthwhile.
    """

    mirror: MirrorMode = "interleaved"
    overlap: float = Field(default=0.5, ge=0, lt=1)
    engine: str = "auto"
    precision: Literal["auto", "bf16", "f32"] = "auto"
    probabilities: bool = False
    batch: PositiveInt | None = None
