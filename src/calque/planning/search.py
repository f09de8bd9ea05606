"""Choosing network, patch and batch under limits of work and memory: pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from calque.errors import ResourceError
from calque.nets import NetworkConfig
from calque.planning.cost import step_flops, step_memory
from calque.planning.rules import Geometry, Topology, dataset_voxels, largest_patch, network, shrinking

_MOST_VOXELS = {2: 512 * 512, 3: 128 * 128 * 128}  # nnU-Net's patches for 8 GB are of this order
_LEAST_VOXELS = {2: 128 * 128, 3: 40**3}  # below, context is lost faster than steps are won
_BATCH_VOXELS = {"cpu": {2: 1_000_000, 3: 360_000}, "cuda": {2: 12 * 512 * 512, 3: 2 * 128**3}}
_MOST_BATCH = {"cpu": 16, "cuda": 64}
_LEAST_BATCH = 2
_SHARE_OF_DATA = 0.05  # a batch never shows more of the dataset than this, as in nnU-Net


@dataclass(frozen=True)
class Rung:
    """A network that is worth its cost when at least `steps` steps can be made with it."""

    kind: str
    base: int
    steps: int


LADDER = (
    Rung("residual", 32, 25_000),
    Rung("plain", 32, 4_000),
    Rung("plain", 24, 2_000),
    Rung("plain", 16, 1_000),
)
"""Best first. Below some thousand steps a narrow network that has converged beats a wide one that has not."""


@dataclass(frozen=True)
class Limits:
    """What a step may cost.

    Args:
        memory: bytes in all.
        precision: of activations.
        device: "cpu" or "cuda".
        flops: the most that a step may take with a rung of the ladder; 0 rules it out.
        shrink: whether any rung may get a smaller patch to stay below `flops`, or the last alone.
    """

    memory: int
    precision: str
    device: str
    flops: Callable[[Rung], float]
    shrink: bool


@dataclass(frozen=True)
class Choice:
    """What a step will be."""

    rung: Rung
    topology: Topology
    network: NetworkConfig
    batch: int

    @property
    def flops(self) -> float:
        """Floating-point operations per step."""
        return step_flops(self.network, self.topology.patch, self.batch)

    def memory(self, precision: str) -> int:
        """Bytes at the peak of training."""
        return step_memory(self.network, self.topology.patch, self.batch, precision)


def choose(geometry: Geometry, channels: int, outputs: int, limits: Limits) -> Choice:
    """The highest rung of the ladder that the limits allow; on the last one the patch gives way.

    Raises:
        ResourceError: not even the smallest patch fits the memory.
    """
    options = [
        found
        for found in shrinking(geometry, largest_patch(geometry))
        if prod(found.patch) <= _MOST_VOXELS[geometry.dimensions]
    ]
    for rung in LADDER:
        fitting = [
            choice
            for found in options
            if (choice := _complete(geometry, found, rung, (channels, outputs), limits))
        ]
        fitting.sort(key=lambda choice: choice.batch < _LEAST_BATCH)  # rather a smaller patch than one alone
        ceiling = limits.flops(rung)
        last = rung is LADDER[-1]
        if not fitting or (ceiling <= 0 and not last):
            continue
        if fitting[0].flops <= ceiling:
            return fitting[0]
        if limits.shrink or last:
            wide = [c for c in fitting if prod(c.topology.patch) >= _LEAST_VOXELS[geometry.dimensions]]
            wide = wide or fitting[:1]
            return next((less for c in wide if (less := _thinner(c, ceiling))), _thinnest(wide[-1]))
    patch = options[-1].patch
    smallest = network(options[-1], LADDER[-1].kind, LADDER[-1].base, channels, outputs, geometry.dimensions)
    raise ResourceError(
        "Training does not fit the memory",
        expected=f"{step_memory(smallest, patch, 1, limits.precision) / 1e9:.1f} GB for one patch of {patch}",
        got=f"{limits.memory / 1e9:.1f} GB",
        fix="allow more memory, or close other programs",
    )


def _complete(
    geometry: Geometry, found: Topology, rung: Rung, sizes: tuple[int, int], limits: Limits
) -> Choice | None:
    """With a network and the largest batch that is wanted and fits; None when not even one patch fits."""
    config = network(found, rung.kind, rung.base, *sizes, geometry.dimensions)
    voxels = prod(found.patch)
    wanted = round(_BATCH_VOXELS[limits.device][geometry.dimensions] / voxels)
    wanted = min(
        wanted, _MOST_BATCH[limits.device], round(_SHARE_OF_DATA * dataset_voxels(geometry) / voxels)
    )
    for batch in range(max(wanted, _LEAST_BATCH), 0, -1):
        if step_memory(config, found.patch, batch, limits.precision) <= limits.memory:
            return Choice(rung, found, config, batch)
    return None


def _thinner(choice: Choice, ceiling: float) -> Choice | None:
    """With as many patches in the batch as `ceiling` operations allow; None when they would be too few."""
    batch = min(choice.batch, int(ceiling * choice.batch / choice.flops))
    return replace(choice, batch=batch) if batch >= min(choice.batch, _LEAST_BATCH) else None


def _thinnest(choice: Choice) -> Choice:
    return replace(choice, batch=min(choice.batch, _LEAST_BATCH))
