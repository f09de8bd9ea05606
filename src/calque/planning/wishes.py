"""`Wishes`: what a person decides in place of the planner, and what the data ask of the loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, PositiveFloat

from calque.heads import Head, region_heads
from calque.labels import Labels
from calque.planning.model import Objective
from calque.planning.seen import Fingerprint
from calque.value import Value

Kind = Literal["2d", "2.5d", "3d", "lowres", "cascade"]

SLICES: dict[Kind, int | None] = {"2d": 1, "2.5d": 3}
"""Slices that a network sees at once; of other kinds volumes."""

COARSE: tuple[Kind, ...] = ("lowres", "cascade")
"""Kinds that look at a coarser grid."""

_RARE_FRACTION = 1e-3
_RARE_CASES = 0.5


class Wishes(Value):
    """What a person decides; None leaves it to the planner.

    Args:
        kind: slices one by one, with their neighbours as channels, or volumes: at full resolution, on a
            coarser grid, or on that first and then at full resolution.
        outputs: what the network answers with.
        loss: a key of `calque.training.losses.LOSSES`.
        class_weights: by name of output.
        network: "plain", "residual", "monai:NAME", "module:NAME".
        network_options: of a network of MONAI.
        memory: bytes that training may take; by default 70 % of what is free.
    """

    kind: Kind | None = None
    outputs: Literal["classes", "regions"] = "classes"
    loss: str | None = None
    class_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    network: str | None = None
    network_options: dict[str, JsonValue] = Field(default_factory=dict)
    memory: int | None = None

    @property
    def decided(self) -> bool:
        """Whether anything is wished for."""
        return self != Wishes()

    def heads(self, labels: Labels) -> tuple[Head, ...]:
        """Sigmoid outputs; none for classes.

        Raises:
            LabelError: there are no regions, or classes cannot be told from them.
        """
        return region_heads(labels) if self.outputs == "regions" else ()


def rare_classes(fingerprint: Fingerprint, labels: Labels) -> tuple[str, ...]:
    """Classes of less than a thousandth of the voxels, or in fewer than half of the cases."""
    return tuple(
        name
        for name, share, cases in zip(
            labels.names, fingerprint.class_fractions, fingerprint.cases_with_class, strict=True
        )
        if cases and (share < _RARE_FRACTION or cases < _RARE_CASES * fingerprint.cases)
    )


def choose_objective(wishes: Wishes, rare: tuple[str, ...]) -> tuple[Objective, str]:
    """The loss, and why."""
    regions = wishes.outputs == "regions"
    name = wishes.loss or ("dice_bce" if regions else "dice_ce")
    why = "regions overlap, so each has a sigmoid of its own" if regions else "classes exclude each other"
    if wishes.loss:
        why = "asked for"
    if rare:
        why += f"; Dice is pooled over the batch, for {', '.join(rare)} would be absent from most patches"
    if wishes.class_weights:
        why += "; weights as asked for"
    return Objective(loss=name, class_weights=wishes.class_weights, batch_dice=bool(rare)), why
