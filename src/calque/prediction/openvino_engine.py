"""OpenVINO: the engine for processors.

A network is converted once for each shape of window, as OpenVINO's intermediate representation, and kept in
the cache. The precision is always stated: where the processor has AMX, OpenVINO would choose bf16 by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from calque.errors import MissingExtraError, ModelError
from calque.io.atomic import atomic_path
from calque.prediction.last_layer import Ensemble, last_layer_of
from calque.prediction.options import Precision

if TYPE_CHECKING:
    import openvino

EXTRA = "openvino"

_FILE = "network.xml"
_TELEMETRY = "openvino_telemetry"


def openvino_is_there() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:
    """The module, with its telemetry left out: it would report each conversion over the network.

    Raises:
        MissingExtraError: it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # OpenVINO then takes its own stub
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", EXTRA) from None
    return openvino


def digest(networks: Sequence[nn.Module]) -> str:
    """A name for networks, from their layers and weights."""
    found = hashlib.sha256()
    for network in networks:
        found.update(repr(network).encode())
        for name, tensor in network.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def convert(networks: Sequence[nn.Module], shape: tuple[int, ...], split: bool = False) -> Any:
    """OpenVINO's form of the ensemble, for windows of exactly `shape` (b, c, z, y, x).

    Args:
        networks: an ensemble.
        shape: of the windows.
        split: whether the last layer is left out.

    Raises:
        ModelError: a layer that OpenVINO does not know.
    """
    openvino = load_openvino()
    ensemble, example = Ensemble(networks, split).cpu().eval(), torch.zeros(shape)
    level = logging.root.level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's and OpenVINO's own making
        logging.root.setLevel(logging.ERROR)
        try:
            model = openvino.convert_model(torch.export.export(ensemble, (example,)), input=list(shape))
        except (RuntimeError, NotImplementedError) as problem:
            raise ModelError(
                "OpenVINO cannot take this network", got=str(problem)[:500], fix="use --engine torch"
            ) from problem
        finally:
            logging.root.setLevel(level)
    model.inputs[0].get_tensor().set_names({"windows"})
    model.outputs[0].get_tensor().set_names({"logits"})
    return model


def save_converted(model: Any, folder: Path) -> Path:
    """Write `network.xml` and `network.bin` into `folder`, whole or not at all, in full precision."""
    openvino = load_openvino()
    with atomic_path(folder) as aside:
        aside.mkdir()
        openvino.save_model(model, aside / _FILE, compress_to_fp16=False)
    return folder / _FILE


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

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(
        self,
        networks: Sequence[nn.Module],
        precision: Precision,
        streams: int = 1,
        *,
        cache: Path | None = None,
        key: str | None = None,
        split: bool = False,
    ) -> None:
        self._openvino = load_openvino()
        self._networks = networks
        self.precision, self.streams = precision, streams
        self.last = last_layer_of(networks) if split else None
        self._cache, self._key, self._split = cache, key, split
        self._ready: dict[tuple[int, ...], openvino.AsyncInferQueue] = {}

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """See `Engine`; one window a request, as many requests at once as there are streams."""
        queue = self._queue((1, *windows.shape[1:]))
        arrays = windows.contiguous().numpy()
        if len(arrays) == 1:
            # inputs are copied: a shared one would stay the request's buffer after it is freed, and the next
            # copy would be written there
            queue.set_callback(_ignore)
            request = queue[0]
            request.infer([arrays])
            return torch.from_numpy(request.get_output_tensor().data)
        first = tuple(queue[0].get_output_tensor().shape[1:])
        result = np.empty((len(arrays), *first), np.float32)

        def keep(request: openvino.InferRequest, number: int) -> None:
            result[number] = request.get_output_tensor().data[0]

        queue.set_callback(keep)
        for number in range(len(arrays)):
            queue.start_async([arrays[number : number + 1]], userdata=number)
        queue.wait_all()
        return torch.from_numpy(result)

    def _queue(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._ready:
            settings = {
                "INFERENCE_PRECISION_HINT": self.precision,
                "NUM_STREAMS": str(self.streams),
                "INFERENCE_NUM_THREADS": str(max(torch.get_num_threads(), self.streams)),
            }
            compiled = self._openvino.Core().compile_model(self._model(shape), "CPU", settings)
            self._ready[shape] = self._openvino.AsyncInferQueue(compiled, self.streams)
        return self._ready[shape]

    def _model(self, shape: tuple[int, ...]) -> Any:
        """The converted network, or where the cache holds it."""
        if self._cache is None:
            return convert(self._networks, shape, self._split)
        self._key = self._key or digest(self._networks)
        parts = json.dumps([self._key, shape, self._split, self._openvino.__version__, torch.__version__])
        folder = self._cache / EXTRA / hashlib.sha256(parts.encode()).hexdigest()[:32]
        if not (folder / _FILE).is_file():
            return save_converted(convert(self._networks, shape, self._split), folder)
        return folder / _FILE
