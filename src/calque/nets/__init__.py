"""Networks: a configuration as data, a builder per kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from calque.errors import PlanError
from calque.nets.config import NetworkConfig

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BUILDERS", "NetworkConfig", "build", "channels_last", "is_unet"]


def _unet(config: NetworkConfig) -> nn.Module:
    from calque.nets.unet import UNet  # torch takes seconds to import

    return UNet(config)


def _other(config: NetworkConfig) -> nn.Module:
    from calque.nets.others import PREFIXES

    return PREFIXES[_prefix(config.kind)](config)


def _prefix(kind: str) -> str:
    """ "monai:" of "monai:SegResNet"; the kind itself where it has no colon."""
    return kind[: kind.find(":") + 1] or kind


BUILDERS: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    "plain": _unet,
    "residual": _unet,
}

FAMILIES: dict[str, Callable[[NetworkConfig], nn.Module]] = {"monai:": _other, "module:": _other}
"""Kinds with a name: "monai:SegResNet"."""


def is_unet(config: NetworkConfig) -> bool:
    """Whether its layers are known from the configuration alone."""
    return config.kind in BUILDERS


def build(config: NetworkConfig, seed: int = 0) -> nn.Module:
    """A network with fresh weights, the same for the same seed; torch's global generator is left as it was.

    It maps (b, c, z, y, x) to a list of logits (b, k, z, y, x), finest first: one per resolution when
    training with deep supervision, else one.

    Raises:
        PlanError: no builder has this name.
    """
    import torch

    builder = (BUILDERS | FAMILIES).get(_prefix(config.kind))
    if builder is None:
        raise PlanError(
            "There is no network of this kind", expected=sorted(BUILDERS | FAMILIES), got=config.kind
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return builder(config)


def channels_last(network: nn.Module, config: NetworkConfig) -> nn.Module:
    """The network with its weights laid out channels last, as its dimensions have it."""
    import torch

    layout = torch.channels_last_3d if config.dimensions == 3 else torch.channels_last
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]
