"""What predicting one image gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calque.image import LabelMap
from calque.prediction.confidence import ClassConfidence
from calque.prediction.scratch import Scratch


class Seconds(NamedTuple):
    """Wall-clock time per stage.

    `prepare` is the first look at the image, with all of the first stage of a cascade; the image's rows are
    made while the network runs, and count there.
    """

    prepare: float
    network: float
    restore: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was predicted for one image.

    Args:
        label_map: on the image's own grid.
        probabilities: (k, z, y, x), float32, on the same grid: softmax with background first, or of a model
            of regions the sigmoid of each; None unless asked for.
        seconds: where the time went.
        entropy: (z, y, x), float16, 0 (sure) to 1 (every class alike); None unless asked for.
        confidence: by name of class; empty unless asked for.
        warnings: in what the image is unlike those of training.
        scratch: where probabilities and entropy are held; files go with it.
    """

    label_map: LabelMap
    probabilities: NDArray[np.float32] | None
    seconds: Seconds
    entropy: NDArray[np.float16] | None = None
    confidence: dict[str, ClassConfidence] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scratch: Scratch = field(default_factory=Scratch)
