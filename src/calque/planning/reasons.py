"""Why: a sentence for each decision, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from calque.nets import NetworkConfig, is_unet
from calque.planning import variation
from calque.planning.model import Normalisation, Plan
from calque.planning.probe import Mode
from calque.planning.rules import Geometry
from calque.planning.schedule import Schedule
from calque.planning.search import Choice

Row = tuple[str, str, str]
"""Field, value, reason."""


def reasons(geometry: Geometry, choice: Choice, schedule: Schedule) -> dict[str, str]:
    """Field of the plan -> one line."""
    seen = geometry.fingerprint
    most = max(seen.orientations.values())
    cubic = "cubic splines keep detail; "
    return {
        "orientation": f"{most} of {seen.cases} cases are stored along these axes"
        + (", the thick one first" if geometry.separate_z else ""),
        "spacing": f"median of {seen.cases} cases per axis"
        + (", 10th percentile where slices are thick" if geometry.separate_z else ""),
        "crop": "a border of zeros tells nothing and costs time",
        "image_order": cubic + "results stay within the range of the image",
        "separate_z": "slices are more than 3 times thicker than their pixels: the nearest is taken"
        if geometry.separate_z
        else "voxels are near enough to cubes",
        "patch": f"the median case has {_by(geometry.shape)} voxels at this spacing; a multiple of "
        f"{_by(choice.network.divisor)}, within time and memory",
        "batch": f"{choice.batch * prod(choice.topology.patch):,} voxels per step, within memory",
        "foreground": "a third of the patches is centred on a class, so that small ones are seen",
        "network": f"{choice.rung.base} features pay from about {choice.rung.steps:,} steps on; an axis is "
        "halved while its edge stays at 4 or more"
        if is_unet(choice.network)
        else "asked for; its cost is that of a U-Net until it is timed",
        "augmentation": variation.why(geometry),
        "optimiser": "AdamW; Muon learns more in some hundred steps only (docs/decisions/optimiser.md)",
        "schedule": "the number of steps that was asked for"
        if schedule.steps is not None
        else "the budget: from the first look at the data to the end of the validation",
    }


NORMALISATION = {
    "ct": "CT units mean the same everywhere: clip to the foreground's 0.5 to 99.5 percentiles",
    "zscore": "values have no unit that scans share: each scan is brought to mean 0 and deviation 1",
    "none": "values are taken as they are",
}
"""Scheme -> why."""


def normalisation_reason(rules: Sequence[Normalisation]) -> str:
    """Of the schemes that a plan's channels have."""
    return "; ".join(NORMALISATION[scheme] for scheme in dict.fromkeys(rule.scheme for rule in rules))


def mode_reason(times: dict[Mode, float]) -> str:
    """The timings of precisions and layouts in words."""
    if len(times) == 1:
        return "what the hardware is made for; nothing else was timed"
    words = [
        f"{precision}{' channels last' if last else ''} {seconds:.2f} s"
        for (precision, last), seconds in sorted(times.items(), key=lambda item: item[1])
    ]
    return "timed on this machine: " + ", ".join(words)


def explain(plan: Plan) -> list[Row]:
    """Rows (field, value, reason) that say what a plan decides; for tables."""
    network = plan.network
    normal = ", ".join(f"{c} {n.scheme}" for c, n in zip(plan.channels, plan.normalisation, strict=True))
    length = (
        f"{plan.schedule.steps} steps" if plan.schedule.steps else f"{_minutes(plan.schedule.seconds or 0)}"
    )
    features = "-".join(map(str, network.features))
    mirrored = ", ".join(axis for axis, on in zip("zyx", plan.augmentation.mirror, strict=True) if on)
    values = {
        "orientation": plan.orientation,
        "spacing": " x ".join(f"{s:.4g}" for s in plan.spacing) + " mm",
        "crop": plan.crop,
        "image_order": str(plan.image_order),
        "separate_z": "auto" if plan.separate_z == "auto" else _yes(plan.separate_z),
        "normalisation": normal,
        "patch": _by(plan.patch),
        "batch": str(plan.batch),
        "foreground": f"{plan.foreground:.0%}",
        "network": f"{network.kind} {_dimensions(network)} U-Net, features {features}"
        if is_unet(network)
        else f"{network.kind}, {_dimensions(network)}, {network.options or 'its own defaults'}",
        "augmentation": f"mirror {mirrored or 'none'}",
        "objective": f"{plan.objective.loss} on {'regions' if plan.heads else 'classes'}"
        + (", Dice over the batch" if plan.objective.batch_dice else ""),
        "optimiser": f"{plan.optimiser.name}, rate {plan.optimiser.rate:g}",
        "schedule": length,
        "precision": plan.precision,
        "channels_last": _yes(plan.channels_last),
    }
    rows = [(name, value, plan.reasons.get(name, "")) for name, value in values.items()]
    if plan.first is not None:
        rows.insert(0, ("first stage", _first(plan.first), plan.reasons.get("first", "")))
    if plan.forecast is not None:
        ahead = plan.forecast
        rows.append(
            (
                "forecast",
                f"{ahead.steps:,} steps of {ahead.step_seconds:.2f} s",
                f"{plan.reasons.get('forecast', 'timed')}; {ahead.machine}",
            )
        )
        rows.append(("memory", f"{ahead.train_memory_bytes / 1e9:.1f} GB", "estimated from the network"))
        rows.append(("store", f"{ahead.store_bytes / 1e9:.2f} GB", "prepared cases on disk, float32"))
    return rows


def _first(plan: Plan) -> str:
    """The stage before, in a few words."""
    features = "-".join(map(str, plan.network.features))
    return f"{' x '.join(f'{s:.4g}' for s in plan.spacing)} mm, patch {_by(plan.patch)}, features {features}"


def _dimensions(network: NetworkConfig) -> str:
    return f"2.5-D ({network.slices} slices)" if network.slices > 1 else f"{network.dimensions}-D"


def _by(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"
