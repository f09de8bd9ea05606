"""`Predictor`: from an image to a label map on the image's own grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from torch import nn

from calque.errors import ModelError
from calque.geometry import Grid, Shape
from calque.image import Image, LabelMap
from calque.ops.resample import Orders
from calque.planning import Plan
from calque.prediction.choice import Choice, choose_engine
from calque.prediction.confidence import Agreement, unlike_training
from calque.prediction.devices import computes_in_bf16, find_device
from calque.prediction.engines import (
    Engine,
    EngineOptions,
    any_window,
    make_engine,
    named,
    require_known,
)
from calque.prediction.forecast import Load, PredictionForecast, after, fit_windows, forecast
from calque.prediction.last_layer import carried
from calque.prediction.learned import Learned, Parity
from calque.prediction.openvino_engine import digest
from calque.prediction.options import Precision, PredictOptions, WindowMode
from calque.prediction.parity import quick_parity, remembered
from calque.prediction.postprocess import apply_steps
from calque.prediction.restore import Wanted, restore
from calque.prediction.result import Prediction, Seconds
from calque.prediction.scratch import Scratch
from calque.prediction.tiling import Tiling
from calque.prediction.window_choice import larger_windows, settled_windows
from calque.prediction.windows import Slab, slabs
from calque.preparation.case import plan_placement
from calque.preparation.model import Placement
from calque.preparation.rows import PreparedRows
from calque.preparation.thickness import spline_orders

_SIDE_BY_SIDE = 2**24
"""Features of a window (voxels times channels) up to which a second one may be computed beside it."""


class Predictor:
    """Networks made ready once, for any number of images; the engine is chosen when the first one comes.

    Args:
        plan: with which the networks were trained.
        networks: one per fold; their logits are averaged, as in nnU-Net.
        options: choices of speed and accuracy.
        learned: what the model knows of itself.
        first: of a cascade: the stage before, whose label map these networks see too.
        key: names the networks in caches; None: made from their weights where it is needed.

    Raises:
        InputError: there is no such engine, or the network takes no larger windows.
        ModelError: no network was given, or no stage before where the plan has one.
    """

    def __init__(
        self,
        plan: Plan,
        networks: Sequence[nn.Module],
        options: PredictOptions | None = None,
        *,
        learned: Learned | None = None,
        first: Predictor | None = None,
        key: str | None = None,
    ) -> None:
        self.plan = plan
        self.options = options or PredictOptions()
        self.learned = learned or Learned()
        self.parity: Parity | None = self.learned.parity_of("bf16")
        self.choice: Choice | None = None
        require_known(self.options.engine, self.options.device)
        find_device(self.options.device)  # refused before anything is read
        if not networks:
            raise ModelError("There is no network to predict with", expected="at least one", got=0)
        if (first is None) != (plan.first is None):
            raise ModelError("A cascade predicts with both of its stages", got="one of them")
        self.first = first
        # agreement of windows was calibrated with those of training; one window agrees with itself
        trial = None if self.options.confidence else self.learned.windows
        self.windows = settled_windows(self.options.windows, plan.network, trial)
        self.networks, self._key = networks, key
        self._engine: Engine | None = None
        self.tiling = Tiling(
            plan.patch,
            self.options.overlap,
            self.learned.best_mirror if self.options.mirror == "auto" else self.options.mirror,
            plan.augmentation.mirror,
            self.options.batch,
        )

    @property
    def key(self) -> str:
        """A name for networks and weights."""
        if self._key is None:
            self._key = digest(self.networks)
        return self._key

    @property
    def engine(self) -> Engine:
        """Ready to run; without having seen an image, "auto" takes bf16 only where parity is on record."""
        if self._engine is None:
            self._make_ready(self._precision(None))
        assert self._engine is not None  # noqa: S101  (for the type checker)
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def channels(self) -> int:
        """What is carried per voxel until a label is decided: logits, or features where `carried` says so."""
        last = self.engine.last
        return self.plan.decoder.outputs if last is None else int(last.weight.shape[1])

    @property
    def undecided(self) -> bool:
        """Whether an image is needed to know if bf16 will do."""
        if self.first is not None and self.first.undecided:
            return True
        asked = self.options.precision == "auto" and self._engine is None
        return asked and self.parity is None and computes_in_bf16(self.options.device)

    def warm_up(self, image: Image) -> None:
        """Choose the engine and make it ready, looking at `image` where the model has no record of parity.

        Raises:
            InputError: as for predicting it.
        """
        if self._engine is None:
            self._make_ready(self._precision(self._rows(image)))

    def __call__(self, image: Image) -> Prediction:
        """Predict one image.

        Raises:
            InputError: the image has other channels than the model, or values that are not finite, or nothing
                in it.
            ModelError: the network gives values that are not finite.
            ResourceError: it takes more memory than the options allow.
        """
        begin = time.perf_counter()
        rows = self._rows(image)
        if self._engine is None:
            self._make_ready(self._precision(rows))
        expected = self.planned(rows.placement, image.array.itemsize * len(image.channels))
        tiling = replace(self.tiling, patch=expected.window, axis=rows.axis, batch=expected.windows_per_call)
        middle = time.perf_counter()
        labels, decoder, options = self.plan.labels, self.plan.decoder, self.options
        agreement = Agreement(decoder, self.engine.last) if options.confidence else None
        calibration = self.learned.calibration
        asked = options.probabilities or options.entropy
        scratch = Scratch(options.scratch if asked else None)
        engine = self.engine
        timed = _Timed(slabs(engine, rows, self.channels, tiling, agreement, engine.rest))
        restored = restore(
            timed,
            rows.placement,
            decoder,
            self.plan.reorientation(image.grid),
            orders=self._logit_orders(rows.placement.reoriented),
            axis=rows.axis,
            wanted=Wanted(
                options.probabilities,
                options.entropy,
                calibration.temperature if calibration else 1.0,
                scratch,
            ),
            last=self.engine.last,
        )
        label_map = LabelMap(restored.values, image.grid, labels)
        if options.postprocess:
            label_map = apply_steps(label_map, self.learned.postprocessing)
        end = time.perf_counter()
        return Prediction(
            label_map,
            restored.probabilities,
            Seconds(middle - begin, timed.seconds, end - middle - timed.seconds),
            restored.entropy,
            {} if agreement is None else agreement.per_class(labels.names, calibration),
            unlike_training(image, self.plan),
            scratch,
        )

    def _rows(self, image: Image) -> PreparedRows:
        """What the networks see, after the stage before has looked at all of it."""
        previous = None if self.first is None else self.first(image).label_map
        return PreparedRows(image, self.plan, previous=previous)

    def forecast(self, grid: Grid, voxel_bytes: int) -> PredictionForecast:
        """Memory and time of an image, before it is read; engines are made ready.

        Args:
            grid: of the image.
            voxel_bytes: of one voxel, all channels together.

        Raises:
            ResourceError: it takes more memory than the options allow.
        """
        return self.planned(plan_placement(grid, self.plan), voxel_bytes)

    def planned(self, placement: Placement, voxel_bytes: int) -> PredictionForecast:
        """As `forecast`, for an image of which is known what is cropped: its windows, memory and time.

        Args:
            placement: of the image.
            voxel_bytes: of one voxel, all channels together.

        Raises:
            ResourceError: windows of training, one at a time, take more memory than the options allow.
        """
        engine, limit = self.engine, self.options.memory
        before = None if self.first is None else self.first.forecast(placement.original, voxel_bytes)

        def with_windows(window: Shape, number: int) -> PredictionForecast:
            seconds = None if self.choice is None else self.choice.window_seconds
            load = Load(engine.name, engine.precision, number, len(self.networks), seconds)
            tiling = replace(self.tiling, patch=window)
            own = forecast(placement, voxel_bytes, self.plan, self.options, tiling, load)
            return own if before is None else after(before, own)

        for window in self.window_shapes(placement.prepared.shape):
            most = self.options.batch or max(
                engine.streams, replace(self.tiling, patch=window).windows_per_call
            )
            least = with_windows(window, 1)
            if limit is None or least.memory_bytes <= limit or window == self.plan.patch:
                break
        return fit_windows(most, limit, lambda number: with_windows(window, number))

    def window_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """Of an image whose prepared grid is of `shape`: the best first, that of training last."""
        if self.windows == "trained":
            return (self.plan.patch,)
        return larger_windows(self.plan, shape, self.options.overlap)

    def tiling_along(self, axis: int, windows: int | None = None) -> Tiling:
        """The windows, visited along `axis`; `windows` per call."""
        return replace(self.tiling, axis=axis, batch=windows or self.tiling.batch)

    def with_windows(self, windows: WindowMode) -> Predictor | None:
        """The same networks with other windows, its engine not yet ready; None where they take no others."""
        if windows == "fewest" and any_window(self.plan.network) is None:
            return None
        options = self.options.model_copy(update={"windows": windows})
        return Predictor(
            self.plan, self.networks, options, learned=self.learned, first=self.first, key=self._key
        )

    def _make_ready(self, precision: Precision) -> None:
        options, shape = self.options, (self.plan.network.given, *self.plan.patch)
        alone = options.memory is not None or options.batch == 1 or self.windows == "fewest"
        most = 1 if alone or prod(self.plan.patch) * self.plan.network.features[0] > _SIDE_BY_SIDE else 2
        name = options.engine
        if options.memory is not None:
            name = named(name, options.device)  # to time another one would take what is not allowed
        self.choice = choose_engine(
            name,
            self.networks,
            self._engine_options(precision),
            shape,
            precision=precision,
            most_streams=most,
        )
        chosen = self._engine_options(precision, self.choice.streams)
        self._engine = make_engine(self.choice.engine, self.networks, chosen)

    def _engine_options(self, precision: Precision, streams: int = 1) -> EngineOptions:
        cache = self.options.cache
        key = self.key if cache is not None else self._key
        apart = self.options.confidence
        split = carried(self.plan.network, len(self.networks), precision, apart) is not None
        divisor = any_window(self.plan.network)
        return EngineOptions(
            precision, self.plan.channels_last, streams, cache, key, split, divisor, self.options.device
        )

    def _precision(self, rows: PreparedRows | None) -> Precision:
        """What was asked for; else bf16 where it is quick, and known or seen on `rows` to give f32's."""
        if self.options.precision != "auto":
            return self.options.precision
        if not computes_in_bf16(self.options.device):
            return "f32"
        if self.parity is None and rows is not None:
            self.parity = self._quick_parity(rows)
        return "bf16" if self.parity is not None and self.parity.admitted else "f32"

    def _quick_parity(self, rows: PreparedRows) -> Parity:
        options = self.options
        name = named(options.engine, options.device)
        tiling = self.tiling_along(rows.axis, 1)
        patch = tiling.streamed(self.plan.patch)
        back = [tiling.axes.index(axis) for axis in range(3)]

        def check() -> Parity:
            return quick_parity(
                lambda p: make_engine(name, self.networks, self._engine_options(p)),
                rows,
                patch,
                back,
                self.plan.decoder,
            )

        return remembered(self.options.cache, self.key, f"{name} {options.device}", check)

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
