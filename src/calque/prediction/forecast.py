"""Memory and time of a prediction, before it begins; the formula is in docs/architecture.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from calque.errors import ResourceError
from calque.geometry import Shape
from calque.nets import NetworkConfig, is_unet
from calque.planning import Plan
from calque.planning.cost import layers
from calque.prediction import decide, restore, scratch, windows
from calque.prediction.last_layer import carried
from calque.prediction.openvino_engine import RESTING_VOXELS
from calque.prediction.options import Precision, PredictOptions
from calque.prediction.tiling import Tiling, window_starts
from calque.preparation import rows
from calque.preparation.model import Placement
from calque.value import Value

_PROCESS = 430_000_000  # Python with torch and OpenVINO, before anything is read
_CONVERSION = 14  # bytes of a parameter, while a network is made ready for the first time
_ROW_COPIES = 3  # of the image's rows: as they are, normalised, along one axis
_REACH = 36  # rows more than asked for: cubic splines look 18 to either side
_GIVEN_COPIES = {True: 4, False: 2}  # of finished logits: given away; held for the next rows, joined, cut
_MADE_COPIES = 4  # of resampled logits: along each axis, and the largest of them
_PIXEL = 160  # bytes: indices and weights of four neighbours, while they are made
_BYTES = {"f32": 4, "bf16": 2}
_SLACK = 1.1  # allocators round up


@dataclass(frozen=True)
class Load:
    """What is to be run.

    Args:
        engine: its name.
        precision: of convolutions.
        windows: per call.
        members: networks of the ensemble.
        window_seconds: per window of training and mirroring, all members together; None: not known.
    """

    engine: str
    precision: Precision
    windows: int
    members: int
    window_seconds: float | None = None

    @property
    def feature_bytes(self) -> int:
        """Of one feature, as engines hand it over and as it is held; logits take four."""
        return 2 if (self.engine, self.precision) == ("openvino", "bf16") else 4


class PredictionForecast(Value):
    """What one image will take.

    Args:
        memory_bytes: resident memory of the process at its peak.
        parts: its parts in bytes.
        windows: windows and mirrorings that the network computes.
        seconds: wall-clock time, once engines are ready; None where the engine was not timed.
        windows_per_call: side by side.
        window: voxels (z, y, x) of each.
        disk_bytes: of files in which probabilities and entropy are made.
    """

    memory_bytes: int
    parts: dict[str, int]
    windows: int
    seconds: float | None
    windows_per_call: int
    window: Shape
    disk_bytes: int = 0


def forecast(
    placement: Placement, voxel_bytes: int, plan: Plan, options: PredictOptions, tiling: Tiling, load: Load
) -> PredictionForecast:
    """Memory and time for an image.

    Args:
        placement: of the image.
        voxel_bytes: of one voxel, all channels together.
        plan: of the model.
        options: what is returned besides labels.
        tiling: windows and mirroring; its axis is chosen here.
        load: engine, precision, windows per call.
    """
    sizes = _sized(placement, plan, options, tiling, load)
    voxels, outputs = placement.original.voxels, plan.network.outputs
    soft = voxels * (4 * outputs * options.probabilities + 2 * options.entropy)
    disk = soft if options.scratch is not None else 0
    # files are written a few pages at a time; entropy is read from them as float32, to be written
    held_soft = min(soft, scratch.PAGE_BYTES) + 4 * voxels * options.entropy if disk else soft
    held = {
        "process": _PROCESS,
        "weights": sizes.weights * _weight_bytes(load, options),
        "image": voxels * voxel_bytes,
        "labels": voxels * plan.labels.dtype.itemsize * (1 if plan.first is None else 2),
        "slab": sizes.slab,
        "window of nothing": sizes.logits if sizes.several and sizes.logits <= windows.MEMO_BYTES else 0,
        "asked for": held_soft + voxels * options.confidence,
    }
    phases = _phases(sizes, placement, plan, options, load)
    seconds = (load.window_seconds or 0.0) * prod(tiling.patch) / prod(plan.patch)
    runs = sizes.count * (len(tiling.flips(0)) if tiling.mirror == "full" else 1)
    return PredictionForecast(
        memory_bytes=round((sum(held.values()) + max(phases.values())) * _SLACK),
        parts=held | phases,
        windows=runs,
        seconds=None if load.window_seconds is None else runs * seconds + _rest(voxels, outputs),
        windows_per_call=load.windows,
        window=tiling.patch,
        disk_bytes=disk,
    )


@dataclass(frozen=True)
class _Sizes:
    """What memory depends on.

    Args:
        patch: voxels of a window.
        weights: parameters of all networks.
        carried: values per voxel until a label is decided.
        plane: voxels of a row of the padded image.
        span: rows of a slab.
        count: windows.
        several: whether windows are averaged.
        logits: bytes of what comes out of one window.
        slab: bytes of the mean of windows; where one window is all, of what came out of it.
    """

    patch: Shape
    weights: int
    carried: int
    plane: int
    span: int
    count: int
    several: bool
    logits: int
    slab: int


def _sized(placement: Placement, plan: Plan, options: PredictOptions, tiling: Tiling, load: Load) -> _Sizes:
    shape, patch = placement.prepared.shape, tiling.patch
    features = carried(plan.network, load.members, load.precision, options.confidence)
    channels = features or plan.network.outputs
    held = channels * (load.feature_bytes if features else 4)
    axis = rows.stream_axis(shape, plan.patch)
    z, y, x = (max(n, p) for n, p in zip(shape, patch, strict=True))
    padded = (z, y, x)
    plane = prod(padded) // padded[axis]
    starts = window_starts(padded, patch, tiling.overlap)
    count = prod(len(s) for s in starts)
    together = -(-load.windows // (count // len(starts[axis])))
    tops = starts[axis]
    span = max(tops[min(k + together, len(tops)) - 1] - tops[k] for k in range(0, len(tops), together))
    span += patch[axis]
    several = count > 1 or tiling.mirror == "full"
    weights = sum(i * o * k for i, o, k, _ in layers(plan.network, patch)) * load.members
    logits = held * prod(patch)
    # beside the mean, the weights that were added up
    slab = (held + 4) * plane * span if several else logits
    return _Sizes(patch, weights, channels, plane, span, count, several, logits, slab)


def _phases(
    sizes: _Sizes, placement: Placement, plan: Plan, options: PredictOptions, load: Load
) -> dict[str, int]:
    """What is held for a while, one after the other: engines rest before labels are decided."""
    outputs, axis = plan.network.outputs, rows.stream_axis(placement.prepared.shape, plan.patch)
    row = 4 * placement.reoriented.voxels // placement.reoriented.shape[axis]
    part = 4 * plan.network.given * sizes.plane * sizes.span
    pixels = prod(placement.box.shape) // placement.box.shape[axis]
    finished = 4 * sizes.carried * sizes.plane
    finished = min(max(windows.CHUNK_BYTES, finished), finished * sizes.span)
    dense = options.probabilities or options.entropy
    # of what comes out: OpenVINO's own, and where windows are gathered those; torch turns bf16 into f32
    copies = 1 + (load.windows > 1 or load.engine != "openvino") - (not sizes.several)
    computed = (
        part + load.windows * (_window_bytes(plan, sizes.patch, load) + copies * sizes.logits) + finished
    )
    if sizes.several:  # rows of the group before wait for those that follow
        computed += _waiting(sizes, outputs, pixels)
    deciding = _GIVEN_COPIES[dense] * finished
    deciding += (
        _resampled(outputs, pixels, placement.original.voxels)
        if dense
        else _decided(outputs, sizes.plane, pixels)
    )
    return {
        "conversion": sizes.weights * _CONVERSION,
        "rows": _ROW_COPIES * (rows.CHUNK_BYTES + _REACH * row) + 2 * part,
        "windows": computed,
        "deciding": deciding + (computed if prod(sizes.patch) <= RESTING_VOXELS else 0),
    }


def after(first: PredictionForecast, second: PredictionForecast) -> PredictionForecast:
    """Of a cascade: one stage at a time, the weights of both held."""
    memory = max(first.memory_bytes + second.parts["weights"], second.memory_bytes + first.parts["weights"])
    known = None not in (first.seconds, second.seconds)
    return second.model_copy(
        update={
            "memory_bytes": memory,
            "parts": second.parts | {"weights of the first stage": first.parts["weights"]},
            "windows": first.windows + second.windows,
            "seconds": (first.seconds or 0.0) + (second.seconds or 0.0) if known else None,
        }
    )


def _resampled(outputs: int, pixels: int, voxels: int) -> int:
    """Bytes of chunks of all logits on the image's own grid."""
    return _MADE_COPIES * min(max(restore.CHUNK_BYTES, 4 * outputs * pixels), 4 * outputs * voxels)


def _decided(outputs: int, plane: int, pixels: int) -> int:
    """Bytes of logits of two rows and between them, and of where each pixel of the image lies among them."""
    return 3 * 4 * outputs * plane + _PIXEL * pixels + 3 * 4 * outputs * min(decide.PIXELS, pixels)


def _waiting(sizes: _Sizes, outputs: int, pixels: int) -> int:
    """Bytes of two rows with their logits, and of which voxels each pixel lies between."""
    return 8 * (outputs + sizes.carried) * sizes.plane + 32 * pixels


def _rest(voxels: int, outputs: int) -> float:
    """Seconds of reading, resampling and writing: about 8 ns a voxel and class, measured on two cores."""
    return 0.03 + 8e-9 * voxels * outputs + 3e-8 * voxels


def _window_bytes(plan: Plan, patch: Shape, load: Load) -> int:
    """Activations of one window; what comes out is not among them.

    Of a U-Net with OpenVINO two tensors of a stage, the skip connections of finer ones, and twice what comes
    from the coarser one (`openvino_convert`); blocks with a residual hold a third. torch holds all skip
    connections, joins features, and normalises into new tensors.
    """
    config, size = plan.network, _BYTES[load.precision]
    stages = _stages(config, patch)
    if load.engine != "openvino" or not is_unet(config):
        return round((sum(stages) + 2 * _largest(config, patch)) * size)
    here = 3 if config.kind == "residual" else 2
    below = [*stages[1:], 0.0]
    most = max(sum(stages[:k]) + here * n + 2 * below[k] for k, n in enumerate(stages))
    return round(most * size + 2 * 4 * config.given * prod(patch))


def _stages(config: NetworkConfig, patch: Shape) -> list[float]:
    """Features times voxels of each stage."""
    voxels = float(prod(patch))
    return [f * (voxels := voxels / prod(s)) for f, s in zip(config.features, config.strides, strict=True)]


def _largest(config: NetworkConfig, patch: Shape) -> float:
    """Values that go in and out of the largest layer."""
    widest = max(config.features)
    return max((inputs + min(outputs, widest)) * n for inputs, outputs, _, n in layers(config, patch))


def _weight_bytes(load: Load, options: PredictOptions) -> int:
    """Of a parameter: in OpenVINO's own form; in torch's, and as it was loaded, where no cache holds it."""
    if load.engine == "openvino":
        return _BYTES[load.precision] + (8 if options.cache is None else 0)
    return 8 + (2 if load.precision == "bf16" else 0)


def fit_windows(
    most: int, limit: int | None, forecast_of: Callable[[int], PredictionForecast]
) -> PredictionForecast:
    """The forecast with as many windows per call, up to `most`, as the limit allows.

    Args:
        most: that the engine would like.
        limit: bytes; None: as many as it likes.
        forecast_of: for a number of windows per call.

    Raises:
        ResourceError: even one window at a time takes more; it says what would be needed.
    """
    found = forecast_of(most)
    while limit is not None and found.memory_bytes > limit and found.windows_per_call > 1:
        found = forecast_of(found.windows_per_call // 2)
    require_fits(found, limit)
    return found


def require_fits(found: PredictionForecast, limit: int | None) -> None:
    """Raises a ResourceError that says what would be needed, where that is more than the limit in bytes."""
    if limit is not None and found.memory_bytes > limit:
        largest = sorted(found.parts, key=lambda part: -found.parts[part])[:3]
        raise ResourceError(
            "This image cannot be predicted in the memory that was allowed",
            expected=f"at least {gigabytes(found.memory_bytes)}",
            got=gigabytes(limit),
            fix="allow more with --memory; most is taken by "
            + ", ".join(f"{part} ({gigabytes(found.parts[part])})" for part in largest),
        )


def gigabytes(size: int) -> str:
    """ "3.2 GB", with 1024^3 bytes a gigabyte, as --memory reads it."""
    return f"{size / 2**30:.2g} GB" if size < 10 * 2**30 else f"{size / 2**30:.0f} GB"
