"""`Predictor`: from an image to a label map on the image's own grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.ops.resample import Orders
from calque.planning import Plan
from calque.prediction.engines import EngineOptions, make_engine
from calque.prediction.options import PredictOptions
from calque.prediction.restore import restore
from calque.prediction.windows import Slab, Tiling, slabs
from calque.preparation import prepare_image
from calque.preparation.thickness import spline_orders


class Seconds(NamedTuple):
    """Wall-clock time per stage."""

    prepare: float
    network: float
    restore: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was predicted for one image.

    Args:
        label_map: on the image's own grid.
        probabilities: (k, z, y, x), float32, softmax with background first, on the same grid; None unless
            asked for.
        seconds: where the time went.
    """

    label_map: LabelMap
    probabilities: NDArray[np.float32] | None
    seconds: Seconds


class Predictor:
    """Networks made ready once, for any number of images.

    Args:
        plan: with which the networks were trained.
        networks: one per fold; their logits are averaged, as in nnU-Net.
        options: choices of speed and accuracy.

    Raises:
        InputError: there is no such engine.
        ModelError: no network was given.
    """

    def __init__(
        self, plan: Plan, networks: Sequence[nn.Module], options: PredictOptions | None = None
    ) -> None:
        self.plan = plan
        self.options = options or PredictOptions()
        engine_options = EngineOptions(self.options.precision, plan.channels_last)
        self.engine = make_engine(self.options.engine, networks, engine_options)
        self.tiling = Tiling(
            plan.patch,
            self.options.overlap,
            self.options.mirror,
            plan.augmentation.mirror,
            self.options.batch,
        )

    def __call__(self, image: Image) -> Prediction:
        """Predict one image.

        Raises:
            InputError: the image has other channels than the model, or values that are not finite, or nothing
                in it.
            ModelError: the network gives values that are not finite.
        """
        begin = time.perf_counter()
        prepared = prepare_image(image, self.plan)
        middle = time.perf_counter()
        labels = self.plan.labels
        timed = _Timed(slabs(self.engine, prepared.array, labels.outputs, self.tiling))
        restored = restore(
            timed,
            prepared.placement,
            labels.outputs,
            self.plan.reorientation(image.grid),
            orders=self._logit_orders(prepared.placement.reoriented),
            probabilities=self.options.probabilities,
        )
        end = time.perf_counter()
        seconds = Seconds(middle - begin, timed.seconds, end - middle - timed.seconds)
        label_map = LabelMap(labels.to_values(restored.classes), image.grid, labels)
        return Prediction(label_map, restored.probabilities, seconds)

    def _logit_orders(self, grid: Grid) -> Orders:
        """Linear; nearest across thick slices only for models that were imported from nnU-Net."""
        if self.plan.separate_z != "auto":
            return (1, 1, 1)
        return spline_orders(1, "auto", self.plan.spacing_for(grid), grid.spacing)


class _Timed:
    """Slabs, with the time that their making took."""

    def __init__(self, source: Iterator[Slab]) -> None:
        self.seconds = 0.0
        self._source = source

    def __iter__(self) -> Iterator[Slab]:
        return self

    def __next__(self) -> Slab:
        begin = time.perf_counter()
        try:
            return next(self._source)
        finally:
            self.seconds += time.perf_counter() - begin
