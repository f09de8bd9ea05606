"""Engines: what runs networks on windows. One entry in `ENGINES` each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn

from calque.errors import InputError, ModelError
from calque.geometry import Shape
from calque.nets import NetworkConfig, is_unet
from calque.prediction.devices import computes_in_bf16, find_device
from calque.prediction.last_layer import Ensemble, LastLayer, has_last_layer, last_layer_of
from calque.prediction.openvino_convert import openvino_is_there
from calque.prediction.openvino_engine import OpenVINOEngine
from calque.prediction.options import DeviceName, Precision


class Engine(Protocol):
    """Networks made ready for one machine: a batch of windows in, logits out.

    Where `last` is there, features come out, and it makes logits of them, before or after they are averaged.
    Several networks are an ensemble: their logits are averaged, as nnU-Net does (not their probabilities), so
    that windows, folds and mirrorings are one and the same mean.
    """

    name: str
    precision: Precision
    streams: int  # windows that it computes side by side
    last: LastLayer | None

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean logits (b, k, z, y, x) of all networks on the CPU, of windows (b, c, z, y, x).

        They are float32: the last layer is computed in it whatever the precision is.

        With `last` (b, f, z, y, x): features, those of each network after those of the one before, in
        bfloat16 where that is what was computed.
        They may be overwritten by the next call.
        """
        ...

    def rest(self) -> None:
        """Let go of what windows are computed in: none comes for a while. What the last call gave stays."""
        ...


@dataclass(frozen=True)
class EngineOptions:
    """What every engine is told.

    Args:
        precision: of convolutions; "auto" is bf16 where the processor computes in it.
        channels_last: the memory layout, for engines that let one choose.
        streams: windows side by side, for engines that let one choose.
        cache: a folder for networks made ready, so that the second start is quick; None: nothing is kept.
        key: names the networks in the cache; None: made from their weights.
        split: whether the last layer is left to `Engine.last`.
        divisor: of networks that take windows of any size (`any_window`), so that one conversion serves them
            all; None: each size by itself.
        device: on which torch computes; OpenVINO computes on the processor.
    """

    precision: Literal["auto", "bf16", "f32"] = "auto"
    channels_last: bool = False
    streams: int = 1
    cache: Path | None = None
    key: str | None = None
    split: bool = False
    divisor: Shape | None = None
    device: DeviceName = "auto"


def any_window(config: NetworkConfig) -> Shape | None:
    """The divisor of networks that take windows of any size: U-Nets of volumes or single slices."""
    return config.divisor if is_unet(config) and config.slices == 1 else None


class TorchEngine:
    """PyTorch, on any device; with bf16 the last layer of U-Nets is computed in f32."""

    name = "torch"
    streams = 1

    def __init__(self, networks: Sequence[nn.Module], options: EngineOptions) -> None:
        self.device = find_device(options.device)
        self.precision: Precision = settled(options.precision, options.device)
        last = options.channels_last and self.device.type != "mps"  # which knows no such layout of volumes
        self._format = torch.channels_last_3d if last else torch.contiguous_format
        self._networks = [network.to(self.device).eval() for network in networks]
        for weight in (w for network in self._networks for w in network.parameters() if w.ndim == 5):
            weight.data = weight.data.contiguous(memory_format=self._format)
        self.last = last_layer_of(self._networks) if options.split else None
        half = self.precision == "bf16" and not options.split
        self._head = last_layer_of(self._networks) if half and has_last_layer(self._networks) else None
        self._ensemble = Ensemble(self._networks, options.split or self._head is not None)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """See `Engine`."""
        windows = windows.to(self.device, memory_format=self._format)
        half = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            found = self._computed(windows)
        found = found.float().cpu()
        return found if self._head is None else torch.stack([self._head(one) for one in found])

    def _computed(self, windows: torch.Tensor) -> torch.Tensor:
        try:
            found: torch.Tensor = self._ensemble(windows)
        except NotImplementedError as problem:
            raise ModelError(
                f"torch has no kernel for a layer of this network on {self.device.type}",
                got=str(problem)[:300],
                fix="predict with --device cpu",
            ) from problem
        return found

    def rest(self) -> None:
        """See `Engine`; torch lets go by itself."""


def _openvino(networks: Sequence[nn.Module], options: EngineOptions) -> Engine:
    return OpenVINOEngine(
        networks,
        settled(options.precision, "cpu"),
        options.streams,
        cache=options.cache,
        key=options.key,
        split=options.split,
        divisor=options.divisor,
    )


ENGINES: dict[str, Callable[[Sequence[nn.Module], EngineOptions], Engine]] = {
    "openvino": _openvino,
    "torch": TorchEngine,
}


def available_engines(device: DeviceName = "auto") -> tuple[str, ...]:
    """Names of the engines that can run on a device, that which is usually the fastest first."""
    on_gpu = device in ("cuda", "mps") or (device == "auto" and torch.cuda.is_available())
    if on_gpu or not openvino_is_there():
        return ("torch",)
    return ("openvino", "torch")


def make_engine(name: str, networks: Sequence[nn.Module], options: EngineOptions) -> Engine:
    """The engine of this name; "auto" is the first of those that are there, without a probe.

    Raises:
        InputError: there is no such engine, or it does not compute on that device or in that precision.
        MissingExtraError: it is not installed.
        ModelError: there is no network.
    """
    if not networks:
        raise ModelError("There is no network to predict with", expected="at least one", got=0)
    require_known(name, options.device)
    return ENGINES[named(name, options.device)](networks, options)


def named(name: str, device: DeviceName = "auto") -> str:
    """The engine of this name; "auto" is the one that is usually the fastest on a device."""
    return available_engines(device)[0] if name == "auto" else name


def require_known(name: str, device: DeviceName = "auto") -> None:
    """Refuse names that are neither "auto" nor an engine, and engines that do not compute on a device.

    Raises:
        InputError: the choices are listed.
    """
    if name == "openvino" and device in ("cuda", "mps"):
        raise InputError(
            "OpenVINO computes on the processor",
            got=f"device {device}",
            fix="take --engine torch, or --device cpu",
        )
    if name != "auto" and name not in ENGINES:
        raise InputError("There is no such engine", expected=["auto", *ENGINES], got=name)


def settled(wanted: Literal["auto", "bf16", "f32"], device: DeviceName = "auto") -> Precision:
    """The precision that "auto" stands for where nobody probes: bf16 where the device computes in it.

    Raises:
        InputError: bf16 was asked for where torch has no kernels in it.
    """
    if wanted == "bf16" and device == "mps":
        raise InputError(
            "Networks are computed in f32 on this device", got="bf16 on mps", fix="take --precision f32"
        )
    if wanted != "auto":
        return wanted
    return "bf16" if computes_in_bf16(device) else "f32"
