"""Networks beyond the U-Nets: some of MONAI's, and modules that a person gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from calque.errors import MissingExtraError, PlanError
from calque.nets.config import NetworkConfig
from calque.nets.slices import fold, unfold

MONAI = "monai:"
GIVEN = "module:"

MONAI_NETWORKS = (
    "AttentionUnet", "BasicUNet", "BasicUNetPlusPlus", "DynUNet", "SegResNet", "SegResNetDS", "SwinUNETR",
    "UNETR", "UNet", "VNet",
)  # fmt: skip
"""Those that take spatial_dims, in_channels and out_channels, and answer with logits of the input's size.

Listed, and not looked up by whatever name a file holds: a model file must not choose what code is run.
"""


class Wrapped(nn.Module):
    """Any module as Calque's networks are called: (b, c, z, y, x) -> list of logits, finest first.

    Args:
        body: takes (b, c, z, y, x), or (b, c, y, x) for 2-D, and gives logits, or several of which the first
            are the finest.
        config: dimensions and slices.
    """

    def __init__(self, body: nn.Module, config: NetworkConfig) -> None:
        super().__init__()
        self.body = body
        self.config = config

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        flat = self.config.dimensions == 2
        found = self.body(fold(x, self.config.slices) if flat else x)
        logits: Tensor = found[0] if isinstance(found, (list, tuple)) else found
        logits = unfold(logits, x.shape[2]) if flat else logits
        wanted = (x.shape[0], self.config.outputs, *x.shape[2:])
        if tuple(logits.shape) != wanted:
            raise PlanError(
                "The network answers in another shape than that of its input",
                where=self.config.kind,
                expected=wanted,
                got=tuple(logits.shape),
                fix="choose a patch that it divides, or other options",
            )
        return [logits]


def build_monai(config: NetworkConfig) -> nn.Module:
    """MONAI's network of this name, with the options of `config`.

    Raises:
        PlanError: it is not among `MONAI_NETWORKS`, or refuses its options.
        MissingExtraError: MONAI is not installed.
    """
    name = config.kind.removeprefix(MONAI)
    if name not in MONAI_NETWORKS:
        raise PlanError(
            "There is no such network of MONAI to choose", expected=list(MONAI_NETWORKS), got=name
        )
    try:
        nets = import_module("monai.networks.nets")
    except ModuleNotFoundError:
        raise MissingExtraError("monai", "monai") from None
    arguments: dict[str, Any] = dict(config.options)
    sizes = {"spatial_dims": config.dimensions, "in_channels": config.stem, "out_channels": config.outputs}
    try:
        body = getattr(nets, name)(**(sizes | arguments))
    except (TypeError, ValueError, AssertionError, AttributeError, RuntimeError) as problem:
        raise PlanError(
            "The network refuses its options", where=config.kind, got=f"{config.options}: {problem}"
        ) from None
    return Wrapped(body, config)


_given: dict[str, nn.Module] = {}


def give_network(module: nn.Module, name: str | None = None) -> str:
    """Make a module known in this process; its kind, by which plans and model files name it.

    Args:
        module: copied each time a network is built, weights included: they are where training starts.
        name: by default that of its class.
    """
    kind = GIVEN + (name or type(module).__qualname__)
    _given[kind] = copy.deepcopy(module)
    return kind


def build_given(config: NetworkConfig) -> nn.Module:
    """A copy of the module that was given under this kind.

    Raises:
        PlanError: none was.
    """
    if config.kind not in _given:
        raise PlanError(
            "This plan or model needs a network that is not part of Calque",
            expected=f"a torch.nn.Module for {config.kind.removeprefix(GIVEN)}",
            got="none was given",
            fix="from Python: calque.Model.load(path, network=module), calque.train(..., network=module)",
        )
    return Wrapped(copy.deepcopy(_given[config.kind]), config)


PREFIXES: dict[str, Callable[[NetworkConfig], nn.Module]] = {MONAI: build_monai, GIVEN: build_given}
