"""What the outputs of a network stand for: exclusive classes (softmax), or regions (sigmoid)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from calque.errors import LabelError
from calque.labels import BACKGROUND, Labels
from calque.value import Value


class Head(Value):
    """One sigmoid output.

    Args:
        name: of the region.
        values: label values that belong to it.
        paints: the label value that a voxel takes where this is the last output above a half
            (an entry of nnU-Net's `regions_class_order`).
    """

    name: str = Field(min_length=1)
    values: tuple[int, ...] = Field(min_length=1)
    paints: int


class Decoder(Value):
    """From logits to class numbers.

    Args:
        labels: the classes.
        heads: sigmoid outputs, painted in this order, the later over the earlier; none: one softmax output
            for the background and each class.

    Raises:
        LabelError: the heads cannot tell the classes apart.
    """

    labels: Labels
    heads: tuple[Head, ...] = ()

    @cached_property
    def outputs(self) -> int:
        """How many outputs a network has."""
        return len(self.heads) or self.labels.outputs

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each output stands for."""
        return tuple(h.name for h in self.heads) or ("background", *self.labels.names)

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """(output, class number): which classes an output is about."""
        if not self.heads:
            return np.eye(self.labels.outputs, dtype=bool)
        return np.array([[v in h.values for v in (BACKGROUND, *self.labels.values)] for h in self.heads])

    @cached_property
    def _painted(self) -> tuple[int, ...]:
        numbers = {value: number for number, value in enumerate(self.labels.values, start=1)}
        return tuple(numbers[h.paints] for h in self.heads)

    @cached_property
    def decisions(self) -> tuple[int, ...]:
        """Class numbers by what was decided: the largest output; of regions none (0), or 1 + the last."""
        return (0, *self._painted) if self.heads else tuple(range(self.outputs))

    def decide(self, logits: NDArray[np.floating]) -> NDArray[np.intp]:
        """(output, ...) -> class numbers (...).

        Softmax: the largest. Sigmoid: each output above 0 (a probability above a half) paints its class.
        """
        if not self.heads:
            return np.asarray(logits.argmax(axis=0))
        found = np.zeros(logits.shape[1:], np.intp)
        for number, one in zip(self._painted, logits, strict=True):
            found[one > 0] = number
        return found

    def require_exact(self) -> None:
        """Refuse heads whose true outputs do not give the true class back.

        Raises:
            LabelError: it names the classes.
        """
        declared = set(self.labels.values)
        foreign = sorted({v for h in self.heads for v in (*h.values, h.paints)} - declared)
        if foreign:
            raise LabelError("Regions name values that are no class", got=foreign, expected=sorted(declared))
        found = self.decide(np.where(self.members, 1.0, -1.0))
        names = ("background", *self.labels.names)
        lost = [f"{names[k]} is read as {names[n]}" for k, n in enumerate(found) if k != n]
        if lost:
            raise LabelError(
                "These regions cannot be turned back into classes",
                expected="painted one over the other in their order, the regions of a class end with it",
                got="; ".join(lost),
                fix="order them from large to small, and add the class itself as a region",
            )


def region_heads(labels: Labels) -> tuple[Head, ...]:
    """Sigmoid outputs for the regions of `labels`: large ones first, so that those inside paint over them.

    A region paints the class that no smaller region reaches; classes that no region reaches last become
    outputs of their own. With nnU-Net's example, whole tumour (1, 2, 3), core (2, 3) and class 3, that is
    its `regions_class_order` (1, 2, 3).

    Raises:
        LabelError: there is no region, or regions overlap in a way that classes cannot be told from.
    """
    if not labels.regions:
        raise LabelError(
            "There are no regions to train on",
            got=", ".join(labels.names),
            fix="declare unions of classes in the labels, or train on classes",
        )
    unions = sorted(labels.regions, key=lambda region: -len(set(region.values)))
    heads: list[Head] = []
    for position, region in enumerate(unions):
        inner = {value for other in unions[position + 1 :] for value in other.values}
        own = [value for value in region.values if value not in inner]
        heads.append(Head(name=region.name, values=region.values, paints=(own or [region.values[0]])[0]))
    painted = {head.paints for head in heads}
    singles = {head.values[0] for head in heads if len(head.values) == 1}
    heads += [
        Head(name=label.name, values=(label.value,), paints=label.value)
        for label in labels.classes
        if label.value not in painted | singles
    ]
    Decoder(labels=labels, heads=tuple(heads)).require_exact()
    return tuple(heads)
