"""Networks beyond the U-Nets: some of MONAI's, and modules that a person gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from calque.errors import MissingExtraError, PlanError
from calque.nets.config import NetworkConfig
from calque.nets.previous import spread
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
        """See the class; of several logits the coarser ones count in training alone."""
        flat = self.config.dimensions == 2
        found = self.body(fold(x, self.config.slices) if flat else spread(x, self.config.previous))
        levels = list(found) if isinstance(found, (list, tuple)) else [found]
        levels = levels if self.training and self.config.deep_supervision else levels[:1]
        levels = [unfold(level, x.shape[2]) if flat else level for level in levels]
        wanted = (x.shape[0], self.config.outputs, *x.shape[2:])
        wrong = [tuple(level.shape) for level in levels if tuple(level.shape[:2]) != wanted[:2]]
        wrong += [tuple(level.shape) for level in levels[:1] if tuple(level.shape) != wanted]
        if wrong:
            raise PlanError(
                "The network answers in another shape than that of its input",
                where=self.config.kind,
                expected=wanted,
                got=wrong[0],
                fix="choose a patch that it divides, or other options",
            )
        return levels


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


Maker = Callable[[NetworkConfig], nn.Module]
"""Makes a network from its configuration: `inputs` (and `previous`) channels, `outputs`, `dimensions`."""

_given: dict[str, nn.Module | Maker] = {}


def give_network(network: nn.Module | Maker, name: str | None = None) -> str:
    """Make a network known in this process; its kind, by which plans and model files name it.

    Args:
        network: a module, copied each time a network is built, weights included: they are where training
            starts; or a function that makes one, with fresh weights of the plan's seed.
        name: by default that of its class or function.

    Raises:
        PlanError: it is neither.
    """
    if not isinstance(network, nn.Module) and not callable(network):
        raise PlanError(
            "This is no network",
            expected="a torch.nn.Module, or a function that makes one from a NetworkConfig",
            got=type(network).__name__,
        )
    whose = type(network) if isinstance(network, nn.Module) else network
    kind = GIVEN + (name or getattr(whose, "__name__", "network").strip("<>"))
    _given[kind] = copy.deepcopy(network) if isinstance(network, nn.Module) else network
    return kind


def build_given(config: NetworkConfig) -> nn.Module:
    """A copy of the module that was given under this kind, or what the function makes.

    Raises:
        PlanError: none was given, the function fails, or training could not work with the weights.
    """
    found = _given.get(config.kind)
    if found is None:
        raise PlanError(
            "This plan or model needs a network that is not part of Calque",
            expected=f"a torch.nn.Module for {config.kind.removeprefix(GIVEN)}",
            got="none was given",
            fix="from Python: calque.Model.load(path, network=module), calque.train(..., network=module)",
        )
    body = copy.deepcopy(found) if isinstance(found, nn.Module) else _make(found, config)
    _require_sound(body, config.kind)
    return Wrapped(body, config)


def _make(maker: Maker, config: NetworkConfig) -> nn.Module:
    try:
        made = maker(config)
    except Exception as problem:
        raise PlanError(
            "The function fails to make a network",
            where=config.kind,
            got=f"{type(problem).__name__}: {problem}",
        ) from problem
    if not isinstance(made, nn.Module):
        raise PlanError("The function makes no torch.nn.Module", where=config.kind, got=type(made).__name__)
    return made


def _require_sound(body: nn.Module, where: str) -> None:
    weights = dict(body.named_parameters())
    lazy = [name for name, weight in weights.items() if isinstance(weight, UninitializedParameter)]
    if lazy:
        raise PlanError(
            "Weights of this network have no shape yet", where=where, got=lazy[0], fix="call it once before"
        )
    if not any(weight.requires_grad for weight in weights.values()):
        raise PlanError("This network has no weights to train", where=where, got=f"{len(weights)} weights")
    for name, weight in weights.items():
        if weight.dtype != torch.float32 or not bool(torch.isfinite(weight).all()):
            raise PlanError(
                "Weights must be finite numbers in float32",
                where=f"{where}, {name}",
                got=weight.dtype if weight.dtype != torch.float32 else "values that are not finite",
                fix="module.float(); precision is chosen by the plan",
            )


PREFIXES: dict[str, Callable[[NetworkConfig], nn.Module]] = {MONAI: build_monai, GIVEN: build_given}
