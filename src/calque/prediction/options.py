"""How to predict, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from calque.value import Value

MirrorMode = Literal["off", "interleaved", "full"]
Precision = Literal["bf16", "f32"]
WindowMode = Literal["trained", "fewest"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


class PredictOptions(Value):
    """Choices that change speed and accuracy, not what is predicted.

    Args:
        mirror: test-time mirroring. "interleaved" gives each window another mirroring and costs nothing,
            "full" averages all mirrorings of every window; "auto" is what was best on the model's validation
            cases, or else "interleaved".
        overlap: share of a window that the next one covers too.
        windows: "trained" are of the size that the network saw in training; "fewest" are larger ones that
            compute the fewest voxels, which moves instance norms; "auto" takes these where validation cases
            did not lose by it (`Learned.windows`) and no confidence is asked for.
        engine: a key of `calque.prediction.engines.ENGINES`, or "auto".
        device: on which torch computes; "auto" is a CUDA GPU where there is one, else the processor, on which
            OpenVINO computes too.
        precision: of all but the last layer, which is computed in f32; "auto" is bf16 where the processor
            computes in it and the model was seen to give the same labels, else f32.
        probabilities: whether softmax probabilities are returned too; they take memory for every class.
        entropy: whether a map of uncertainty is returned too.
        confidence: whether each class's Dice is estimated from how far windows and mirrorings agree.
        postprocess: whether what was learned on validation cases is applied.
        batch: windows per call of the network; None: as many as make the call worthwhile.
        scratch: folder in which probabilities and entropy lie in files while they are made and held; None:
            in memory.
        memory: bytes that the process may take; kept by smaller calls, or refused.
        cache: folder for networks and probes; None: nothing is kept, and "auto" does not probe.
    """

    mirror: Literal["auto", "off", "interleaved", "full"] = "auto"
    overlap: float = Field(default=0.5, ge=0, lt=1)
    windows: Literal["auto", "trained", "fewest"] = "auto"
    engine: str = "auto"
    device: DeviceName = "auto"
    precision: Literal["auto", "bf16", "f32"] = "auto"
    probabilities: bool = False
    entropy: bool = False
    confidence: bool = False
    postprocess: bool = True
    batch: PositiveInt | None = None
    scratch: Path | None = None
    memory: PositiveInt | None = None
    cache: Path | None = None


def labels_alone(options: PredictOptions) -> PredictOptions:
    """The same speed and accuracy, of which nothing but the label map is wanted, as the network gives it."""
    return options.model_copy(
        update={"probabilities": False, "entropy": False, "confidence": False, "postprocess": False}
    )
