"""Timing real training steps on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from calque.errors import PlanError
from calque.geometry import Shape
from calque.nets import NetworkConfig, build, channels_last
from calque.planning.machine import Machine, fast_bf16
from calque.planning.memory import keep_freed_memory

if TYPE_CHECKING:
    import torch

Precision = Literal["f32", "bf16"]
Mode = tuple[Precision, bool]
"""Precision, and whether channels come last in memory."""

_TIMED = 2


def step_seconds(config: NetworkConfig, patch: Shape, batch: int, mode: Mode, device: str = "cpu") -> float:
    """Seconds of one training step: forward, cross-entropy on each output, backward.

    One step to warm up, then the faster of two. The network and the data are random.

    Args:
        config: of the network.
        patch: (z, y, x).
        batch: samples.
        mode: precision and memory layout.
        device: torch's name.
    """
    import torch  # slow to import, and not needed by a plan that times nothing
    from torch.nn import functional

    from calque.nets.half import half_precision

    precision, last = mode
    if device == "cpu":
        keep_freed_memory()  # as training does: page faults would count as work
    network = build(config).to(device).train()
    if last:
        network = channels_last(network, config)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, config.given, *patch, generator=generator).to(device)
    if last:
        images = images.contiguous(memory_format=torch.channels_last_3d)
    seconds = []
    for _ in range(1 + _TIMED):
        _wait(device)
        start = time.perf_counter()
        with half_precision(device, precision == "bf16"):
            outputs = network(images)
        loss = torch.stack([functional.cross_entropy(o.float(), _target(o)) for o in outputs]).sum()
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def capable_mode(machine: Machine) -> Mode:
    """Precision and layout by what the processor says it can do, without timing."""
    return ("bf16" if fast_bf16(machine) else "f32", machine.device == "cuda")


def time_modes(
    config: NetworkConfig, patch: Shape, batch: int, machine: Machine, allowance: float
) -> dict[Mode, float]:
    """Seconds per step of each precision and layout, the most promising first.

    Once `allowance` seconds are spent no further one is begun: a slow or busy machine must not use up the
    budget in comparing. On a GPU only the one that is known to be best is timed.
    """
    first = capable_mode(machine)
    modes: list[Mode] = [first]
    if machine.device != "cuda":
        near: tuple[Precision, ...] = ("bf16", "f32") if first[0] == "bf16" else ("f32", "bf16")
        modes += [(p, last) for p in near for last in (True, False) if (p, last) != first]
    start = time.perf_counter()
    times: dict[Mode, float] = {}
    for mode in modes:
        if not times or time.perf_counter() - start < allowance:
            times[mode] = step_seconds(config, patch, batch, mode, machine.device)
    return times


def _target(output: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.zeros(output.shape[0], *output.shape[2:], dtype=torch.long, device=output.device)


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def require_patch(network: NetworkConfig, patch: Shape) -> None:
    """Try a network whose layers are not known from its configuration, as it trains and as it predicts.

    Raises:
        PlanError: it refuses its options, or a patch (z, y, x) of this size.
    """
    import torch

    module = build(network)
    images = torch.randn(2, network.given, *patch, generator=torch.Generator().manual_seed(0))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            module.train()(images)
            module.eval()(images[:1])
    except (RuntimeError, ValueError, AssertionError, TypeError, LookupError, AttributeError) as problem:
        raise PlanError(
            "The network cannot take the patch",
            where=network.kind,
            got=f"{patch}: {problem}",
            fix="other --network-options, or another patch in the plan",
        ) from None
