"""Engines: what runs networks on windows. One entry in `ENGINES` each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import nn

from calque.errors import InputError, ModelError
from calque.prediction.options import Precision


class Engine(Protocol):
    """Networks made ready for one machine."""

    name: str
    precision: Precision

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean logits (b, k, z, y, x) of all networks, on the CPU, of windows (b, c, z, y, x), float32."""
        ...


@dataclass(frozen=True)
class EngineOptions:
    """What every engine is told.

    Args:
        precision: of convolutions; "auto" is bf16 where the processor computes in it.
        channels_last: the memory layout.
    """

    precision: Literal["auto", "bf16", "f32"] = "auto"
    channels_last: bool = False


class TorchEngine:
    """PyTorch, on the GPU where there is one.

    Several networks are an ensemble: their logits are averaged, as nnU-Net does (not their probabilities), so
    that windows, folds and mirrorings are one and the same mean.
    """

    name = "torch"

    def __init__(self, networks: Sequence[nn.Module], options: EngineOptions) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision: Precision = _precision(options.precision, self.device)
        self._format = torch.channels_last_3d if options.channels_last else torch.contiguous_format
        self._networks = [network.to(self.device).eval() for network in networks]
        for weight in (w for network in self._networks for w in network.parameters() if w.ndim == 5):
            weight.data = weight.data.contiguous(memory_format=self._format)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """See `Engine`."""
        windows = windows.to(self.device, memory_format=self._format)
        half = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            logits = [network(windows)[0].float() for network in self._networks]
            mean: torch.Tensor = torch.stack(logits).mean(dim=0)
        return mean.cpu()


ENGINES: dict[str, Callable[[Sequence[nn.Module], EngineOptions], Engine]] = {"torch": TorchEngine}


def make_engine(name: str, networks: Sequence[nn.Module], options: EngineOptions) -> Engine:
    """The engine of this name; "auto" is the fastest that is there.

    Raises:
        InputError: there is no such engine.
        ModelError: there is no network.
    """
    if not networks:
        raise ModelError("There is no network to predict with", expected="at least one", got=0)
    chosen = "torch" if name == "auto" else name
    if chosen not in ENGINES:
        raise InputError("There is no such engine", expected=["auto", *ENGINES], got=name)
    return ENGINES[chosen](networks, options)


def _precision(wanted: Literal["auto", "bf16", "f32"], device: torch.device) -> Precision:
    if wanted != "auto":
        return wanted
    return "bf16" if device.type == "cuda" or cpu_computes_bf16() else "f32"


def cpu_computes_bf16() -> bool:
    """Whether the processor has instructions for bf16 (AVX-512 BF16 or AMX); emulation would be slower."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # public names come with torch 2.10
    return any(getattr(torch.cpu, name, bool)() for name in tests)
