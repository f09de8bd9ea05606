"""Everything that training changes, and its way to disk and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from calque.errors import TrainingError
from calque.io import atomic_path
from calque.nets import build, channels_last
from calque.planning import Knot, Optimiser, Plan, Schedule
from calque.training.muon import Muon, kernels_of
from calque.value import Value


class Note(Value):
    """What a checkpoint holds beside tensors."""

    version: Literal[1] = 1
    step: NonNegativeInt
    seconds: NonNegativeFloat
    knots: tuple[Knot, ...] = ()
    schedule: Schedule | None = None
    story: tuple[str, ...] = ()


@dataclass
class TrainingState:
    """What changes from step to step.

    Args:
        network: in training mode, on its device.
        average: moving average of the weights, by name, and the buffers as they are.
        optimiser: with its moments.
        step: steps done.
        seconds: time that training has taken, validation included.
        knots: how it went so far; see `calque.training.pace`.
        schedule: that rules in place of the plan's: after an extension, or where it was ended early.
        story: what happened to it that its card should tell.
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    knots: list[Knot] = field(default_factory=list)
    schedule: Schedule | None = None
    story: list[str] = field(default_factory=list)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights."""
        tensors = tensors_of(self.network)
        names = [name for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)]
        torch._foreach_lerp_(
            [self.average[name] for name in names], [tensors[name].detach() for name in names], 1 - decay
        )
        for name in tensors.keys() - names:  # running statistics of norms that keep them
            self.average[name].copy_(tensors[name])


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name: those that a model file holds, tied ones under each of their names."""
    return network.state_dict(keep_vars=True)


def fresh_state(plan: Plan, seed: int, device: torch.device) -> TrainingState:
    """Random weights and an optimiser that has seen nothing."""
    network = build(plan.network, seed).to(device).train()
    if plan.channels_last:
        network = channels_last(network, plan.network)
    average = {name: t.detach().clone() for name, t in tensors_of(network).items()}
    return TrainingState(network, average, _optimiser(network, plan.optimiser))


def start_again(state: TrainingState, plan: Plan, seed: int) -> None:
    """Bring the weights back to where `fresh_state` began; the knots and the story stay."""
    fresh = fresh_state(plan, seed, next(state.network.parameters()).device)
    state.network.load_state_dict(fresh.network.state_dict())
    for name, tensor in fresh.average.items():
        state.average[name].copy_(tensor)
    state.optimiser.load_state_dict(fresh.optimiser.state_dict())
    state.step = 0


def _optimiser(network: nn.Module, choice: Optimiser) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms are not drawn to zero
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": choice.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if choice.name == "muon":
        kernels = {id(p) for p in kernels_of(network)}
        groups[0]["params"] = [p for p in decayed if id(p) not in kernels]
        matrices = [p for p in decayed if id(p) in kernels]
        return Muon(
            [{"params": matrices, "weight_decay": choice.weight_decay, "kernels": True}, *groups], choice.rate
        )
    if choice.name == "adamw":
        return torch.optim.AdamW(groups, lr=choice.rate, fused=True)
    return torch.optim.SGD(groups, lr=choice.rate, momentum=choice.momentum, nesterov=True)


def save_state(state: TrainingState, path: Path) -> None:
    """Write one file, aside and then renamed: a kill leaves the old state or the new one."""
    tensors = {f"weights/{n}": p.detach() for n, p in tensors_of(state.network).items()}
    tensors |= {f"average/{n}": t for n, t in state.average.items()}
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"moments/{number}/{name}": value for name, value in moments.items()}
    note = Note(
        step=state.step,
        seconds=state.seconds,
        knots=tuple(state.knots),
        schedule=state.schedule,
        story=tuple(state.story),
    )
    with atomic_path(path) as aside:
        save_file(_apart(tensors), aside, {"state": note.model_dump_json()})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each contiguous and in memory of its own: weights that are tied would share it."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        found[name] = tensor.clone() if tensor.data_ptr() in seen else tensor.contiguous()
        seen.add(tensor.data_ptr())
    return found


def load_state(state: TrainingState, path: Path) -> None:
    """Fill `state`, freshly made from the same plan, with what was saved.

    Raises:
        TrainingError: the file is damaged, or was made from another plan.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("state", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as problem:
        raise TrainingError("This checkpoint cannot be read", where=path, got=problem) from None
    note = Note.from_json(text, where=path, error=TrainingError)
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "moments": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    _fill(tensors_of(state.network), parts["weights"], path)
    _fill(state.average, parts["average"], path)
    _fill_moments(state.optimiser, parts["moments"])
    state.step, state.seconds, state.schedule = note.step, note.seconds, note.schedule
    state.knots[:], state.story[:] = note.knots, note.story


@torch.no_grad()
def _fill(targets: dict[str, Any], sources: dict[str, Tensor], path: Path) -> None:
    shapes = {name: tuple(t.shape) for name, t in targets.items()}
    found = {name: tuple(t.shape) for name, t in sources.items()}
    if shapes != found:
        differ = sorted(n for n in shapes.keys() | found.keys() if shapes.get(n) != found.get(n))
        raise TrainingError(
            "This checkpoint was made with another network",
            where=path,
            got=f"{len(differ)} tensors differ, such as {differ[0]}",
            fix="resume with the plan that the run was started with",
        )
    for name, target in targets.items():
        target.copy_(sources[name])


def _fill_moments(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    known = optimiser.state_dict()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, moment = name.partition("/")
        moments.setdefault(int(number), {})[moment] = _laid_out_as(parameters[int(number)], tensor)
    known["state"] = moments
    optimiser.load_state_dict(known)


@torch.no_grad()
def _laid_out_as(parameter: Tensor, moment: Tensor) -> Tensor:
    """The moment in its parameter's memory layout: the fused step pairs them by their place in memory."""
    if moment.shape != parameter.shape:  # the number of steps
        return moment
    return torch.empty_like(parameter, dtype=moment.dtype, device=moment.device).copy_(moment)
