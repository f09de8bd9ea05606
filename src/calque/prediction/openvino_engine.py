"""OpenVINO: the engine for processors.

A network is converted once, as OpenVINO's intermediate representation, and kept in the cache; U-Nets for
windows of any size, others for each. The precision is always stated: where the processor has AMX, OpenVINO
would choose bf16 by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calque.geometry import Shape
from calque.planning.memory import give_back
from calque.prediction.last_layer import last_layer_of
from calque.prediction.openvino_convert import EXTRA, FILE, FORM, convert, load_openvino, save_converted
from calque.prediction.options import Precision

if TYPE_CHECKING:
    import openvino

RESTING_VOXELS = 2**18
"""Windows of more voxels are not held while labels are decided."""

_READY = 2  # shapes of window that are kept compiled: each takes the memory of its activations


def digest(networks: Sequence[nn.Module]) -> str:
    """A name for networks, from their layers and weights."""
    found = hashlib.sha256()
    for network in networks:
        found.update(repr(network).encode())
        for name, tensor in network.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _ignore(request: openvino.InferRequest, number: object) -> None:
    """What is done when a request ends that is waited for."""


class OpenVINOEngine:
    """OpenVINO on the processor; see `calque.prediction.engines.Engine`.

    Args:
        networks: an ensemble; not looked at where the cache holds them.
        precision: of convolutions.
        streams: windows side by side.
        cache: folder, or None.
        key: names the networks in the cache.
        split: whether the last layer is left to `last`.
        divisor: of a network that takes windows of any size: torch takes multiples of this (z, y, x).

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(  # noqa: PLR0913  (what `EngineOptions` says, to the one engine that caches)
        self,
        networks: Sequence[nn.Module],
        precision: Precision,
        streams: int = 1,
        *,
        cache: Path | None = None,
        key: str | None = None,
        split: bool = False,
        divisor: Shape | None = None,
    ) -> None:
        self._openvino = load_openvino()
        self._networks = networks
        self.precision, self.streams = precision, streams
        self.last = last_layer_of(networks) if split else None
        self._cache, self._key, self._split, self._divisor = cache, key, split, divisor
        self._ready: dict[tuple[int, ...], openvino.AsyncInferQueue] = {}
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._files: tuple[Path, ...] = ()
        self._converted: dict[tuple[int, ...] | None, Any] = {}

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """See `Engine`; one window a request, as many requests at once as there are streams."""
        queue = self._queue((1, *windows.shape[1:]))
        arrays = windows.contiguous().numpy()
        if len(arrays) == 1:
            # inputs are copied: a shared one would stay the request's buffer after it is freed, and the next
            # copy would be written there
            queue.set_callback(_ignore)
            request = queue[0]
            request.infer([arrays], share_outputs=True)  # else the logits are copied to be returned
            return _as_torch(request.get_output_tensor().data)
        first = queue[0].get_output_tensor().data
        result = np.empty((len(arrays), *first.shape[1:]), first.dtype)

        def keep(request: openvino.InferRequest, number: int) -> None:
            result[number] = request.get_output_tensor().data[0]

        queue.set_callback(keep)
        for number in range(len(arrays)):
            queue.start_async([arrays[number : number + 1]], userdata=number)
        queue.wait_all()
        return _as_torch(result)

    def rest(self) -> None:
        """See `Engine`; it costs the next window a tenth of its time, and is not worth it for small ones."""
        for shape, compiled in self._compiled.items():
            if prod(shape[2:]) > RESTING_VOXELS:
                compiled.release_memory()

    def _queue(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._ready:
            while len(self._ready) >= _READY:
                oldest = next(iter(self._ready))
                del self._ready[oldest], self._compiled[oldest]
            settings = {
                "INFERENCE_PRECISION_HINT": self.precision,
                "NUM_STREAMS": str(self.streams),
                "INFERENCE_NUM_THREADS": str(max(torch.get_num_threads(), self.streams)),
            }
            compiled = self._openvino.Core().compile_model(self._model(shape), "CPU", settings)
            self._compiled[shape] = compiled
            self._ready[shape] = self._openvino.AsyncInferQueue(compiled, self.streams)
            give_back(*self._files)  # weights are packed now: neither their file nor what was freed is needed
        return self._ready[shape]

    def _model(self, shape: tuple[int, ...]) -> Any:
        """The network for windows of `shape`; features in bf16 come as they are computed, logits in f32."""
        if self._cache is None:
            name = shape if self._divisor is None else None
            if name not in self._converted:
                self._converted[name] = convert(self._networks, self._exported(shape), self._split)
            model = self._converted[name].clone()
        else:
            path = self._kept(self._cache, self._exported(shape))
            self._files = (path.with_suffix(".bin"),)
            model = self._openvino.Core().read_model(path)
        if tuple(model.inputs[0].shape) != shape:
            model.reshape(list(shape))
        if self.precision == "bf16" and self._split:
            steps = self._openvino.preprocess.PrePostProcessor(model)
            steps.output().tensor().set_element_type(self._openvino.Type.bf16)
            model = steps.build()
        return model

    def _exported(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that torch exports."""
        if self._divisor is None:
            return shape
        return (*shape[:2], *(-(-n // d) * d for n, d in zip(shape[2:], self._divisor, strict=True)))

    def _kept(self, cache: Path, shape: tuple[int, ...]) -> Path:
        """Where the cache holds the converted network; where any window will do, its shape is no matter."""
        self._key = self._key or digest(self._networks)
        fixed = shape if self._divisor is None else shape[1]
        versions = [FORM, self._openvino.__version__, torch.__version__]
        parts = json.dumps([self._key, fixed, self._split, *versions])
        folder = cache / EXTRA / hashlib.sha256(parts.encode()).hexdigest()[:32]
        if not (folder / FILE).is_file():
            return save_converted(convert(self._networks, shape, self._split), folder)
        return folder / FILE


def _as_torch(array: NDArray[np.floating]) -> torch.Tensor:
    """OpenVINO hands bf16 over as float16, numpy's only type of two bytes."""
    if array.dtype == np.float16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
