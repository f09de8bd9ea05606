"""Fine-tuning: a new training that begins with the plan and the weights of a model, for other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calque.dataset import Dataset
from calque.errors import LabelError, PlanError
from calque.heads import Head, region_heads
from calque.model import Model
from calque.nets import is_unet
from calque.planning import Fingerprint, Plan, Timing, Wishes
from calque.planning import plan as make_plan
from calque.planning.model import STORED
from calque.planning.rules import permuted
from calque.planning.stages import FIRST_SHARE, SECOND_SHARE, joined
from calque.progress import SILENT, Progress
from calque.value import Value

RATE = 0.3
"""Of the model's learning rate: what it knows is to be bent, not forgotten."""

_TAKEN = (
    "orientation",
    "transpose",
    "spacing",
    "crop",
    "image_order",
    "separate_z",
    "patch",
    "batch",
    "augmentation",
)
_STEMS = ("encoder.stem.convs.0.conv.weight", "encoder.stages.0.0.convs.0.conv.weight")
_HEADS = "decoder.seg_layers."


def plan_finetuning(
    dataset: Dataset,
    model: Model,
    *,
    budget: float | None = None,
    steps: int | None = None,
    progress: Progress = SILENT,
) -> Plan:
    """The model's plan for other data: what must change is in the reasons.

    Spacing, patch, normalisation of channels of the same name, network and augmentation are the model's;
    classes, other channels, length and precision are new.

    Args:
        dataset: what to train on.
        model: what to begin with.
        budget: seconds for everything.
        steps: a number of steps instead.
        progress: who listens.

    Raises:
        DatasetError: nothing is annotated, or cases cannot be read.
        PlanError: the model and the data do not go together.
    """
    alone = Wishes(kind="3d")  # the model's stages are those to come
    timing = Timing(probe=False)
    fresh = make_plan(dataset, budget=budget, steps=steps, wishes=alone, timing=timing, progress=progress)
    if model.plan.first is None:
        return _bent(dataset, model.plan, fresh)
    length = fresh.schedule
    second = _bent(dataset, model.plan, fresh if length.seconds else _shorter(fresh, SECOND_SHARE))
    return joined(second, _bent(dataset, model.plan.first, _shorter(fresh, FIRST_SHARE)), length.seconds)


def _shorter(plan: Plan, share: float) -> Plan:
    length = plan.schedule
    changed = (
        {"seconds": length.seconds * share}
        if length.seconds
        else {"steps": max(1, round((length.steps or 0) * share))}
    )
    return plan.model_copy(update={"schedule": length.model_copy(update=changed)})


def _bent(dataset: Dataset, old: Plan, fresh: Plan) -> Plan:
    """One stage: what is kept of the old plan, in the fresh one."""
    heads, why_heads = _heads(dataset, old)
    outputs = len(heads) or dataset.labels.outputs
    flat = all(shape[0] == 1 for shape in fresh.fingerprint.shapes)
    if old.network.dimensions == 3 and flat:
        raise PlanError("A model of volumes cannot be fine-tuned on pictures", where=dataset.root)
    known = dict(zip(old.channels, old.normalisation, strict=True))
    normal = [known.get(name, new) for name, new in zip(dataset.channels, fresh.normalisation, strict=True)]
    names = set(fresh.decoder.names if not heads else (h.name for h in heads))
    weights = {name: w for name, w in old.objective.class_weights.items() if name in names}
    kept = {name: getattr(old, name) for name in _TAKEN}
    same = bool(heads) == bool(old.heads)
    loss = {"class_weights": weights, "loss": old.objective.loss if same else fresh.objective.loss}
    changes = {
        "heads": heads,
        "normalisation": tuple(normal),
        "network": old.network.model_copy(
            update={"inputs": len(dataset.channels), "outputs": outputs, "previous": 0}
        ),
        "objective": old.objective.model_copy(update=loss),
        "optimiser": old.optimiser.model_copy(update={"rate": RATE * old.optimiser.rate}),
        "fingerprint": _turned(fresh, old.orientation),
        "forecast": None,
        "reasons": fresh.reasons | _reasons(old, dataset, why_heads),
    }
    return Plan.model_validate(fresh.model_dump() | _dumped(kept | changes))


def _dumped(values: dict[str, object]) -> dict[str, object]:
    """Values as JSON would have them, to be checked again."""
    return {name: v.model_dump() if isinstance(v, Value) else v for name, v in values.items()}


def _heads(dataset: Dataset, old: Plan) -> tuple[tuple[Head, ...], str]:
    if not old.heads:
        return (), "classes, as the model has"
    try:
        return region_heads(dataset.labels), "regions, as the model has"
    except LabelError as problem:
        return (), f"classes, though the model has regions: {problem.what}"


def _turned(fresh: Plan, orientation: str) -> Fingerprint:
    """The fingerprint along the model's axes."""
    if STORED in (orientation, fresh.orientation):
        return fresh.fingerprint
    kinds = ["LPSRAI".find(code) % 3 for code in fresh.orientation]
    return permuted(fresh.fingerprint, tuple(kinds.index("LPSRAI".find(code) % 3) for code in orientation))


def _reasons(old: Plan, dataset: Dataset, why_heads: str) -> dict[str, str]:
    taken = f"taken over from the model trained on {old.dataset}"
    new = [name for name in dataset.channels if name not in old.channels]
    changed = f"its own for the new channels {', '.join(new)}" if new else ""
    return {name: taken for name in (*_TAKEN, "network")} | {
        "normalisation": "; ".join(part for part in (taken, changed) if part),
        "objective": f"{taken}; {why_heads}",
        "optimiser": f"{taken}, with {RATE:g} times its rate",
    }


@dataclass(frozen=True)
class Transfer:
    """What became of a model's weights.

    Args:
        reused: tensors taken over, whole or in part.
        total: tensors of the new network.
        outputs: names of those whose rows were taken over.
        channels: likewise.
        fresh: names of tensors that begin at random.
    """

    reused: int
    total: int
    outputs: tuple[str, ...]
    channels: tuple[str, ...]
    fresh: tuple[str, ...]

    def words(self) -> str:
        """For people."""
        said = [f"{self.reused} of {self.total} tensors taken over"]
        said.append(f"outputs known: {', '.join(self.outputs) or 'none'}")
        said.append(f"channels known: {', '.join(self.channels) or 'none'}")
        if self.fresh:
            more = f" and {len(self.fresh) - 3} more" if len(self.fresh) > 3 else ""
            said.append(f"begun anew: {', '.join(self.fresh[:3])}{more}")
        return "; ".join(said)


@torch.no_grad()
def transfer(network: nn.Module, plan: Plan, model: Model) -> Transfer:
    """Copy into `network`, of `plan`, what it shares with the model's first member.

    Tensors match by name and shape; rows of a U-Net's heads by name of output, columns of its first
    convolution by name of channel.

    Raises:
        PlanError: nothing matches.
    """
    outputs = _pairs(plan.decoder.names, model.plan.decoder.names)
    channels = _pairs(plan.channels, model.plan.channels)
    columns = _columns(plan, model.plan, channels)
    unet = is_unet(plan.network) and plan.network.slices == model.plan.network.slices
    fresh, target = [], network.state_dict()
    for name, tensor in target.items():
        source = model.members[0].get(name)
        if source is None or not _copy(name if unet else "", tensor, source, outputs, columns, plan):
            fresh.append(name)
    if len(fresh) == len(target):
        raise PlanError("None of the model's weights fit this network", expected=model.plan.network.kind)
    names, inputs = plan.decoder.names, plan.channels
    return Transfer(
        len(target) - len(fresh),
        len(target),
        tuple(names[n] for n, _ in outputs),
        tuple(inputs[n] for n, _ in channels),
        tuple(fresh),
    )


def _columns(new: Plan, old: Plan, channels: Pairs) -> Pairs:
    """Inputs of the first convolution: slices of channels, then classes of a stage before."""
    width = new.network.slices
    found = [(n * width + k, o * width + k) for n, o in channels for k in range(width)]
    if new.network.previous and old.network.previous:
        starts = new.network.inputs * width, old.network.inputs * old.network.slices
        found += [(starts[0] + n, starts[1] + o) for n, o in _pairs(new.labels.names, old.labels.names)]
    return found


def _copy(name: str, tensor: Tensor, source: Tensor, outputs: Pairs, columns: Pairs, plan: Plan) -> bool:
    """Whether something was copied; `name` is empty where nothing is known of axes."""
    if name.startswith(_HEADS) and tensor.shape[1:] == source.shape[1:]:
        for new, old in outputs:
            tensor[new].copy_(source[old])
        return bool(outputs)
    if _first(name, plan) and tensor.shape[0] == source.shape[0]:
        if tensor.shape[2:] != source.shape[2:]:
            return False
        for new, old in columns:
            tensor[:, new].copy_(source[:, old])
        return bool(columns)
    if tensor.shape != source.shape:
        return False
    tensor.copy_(source)
    return True


def _first(name: str, plan: Plan) -> bool:
    """Whether this is the layer that sees the channels."""
    return name == _STEMS[0 if plan.network.kind == "residual" else 1]


Pairs = list[tuple[int, int]]
"""Position in the new names, and in the old."""


def _pairs(new: Sequence[str], old: Sequence[str]) -> Pairs:
    places = {name.casefold(): place for place, name in enumerate(old)}
    return [(k, places[name.casefold()]) for k, name in enumerate(new) if name.casefold() in places]
