"""What the outputs of an nnU-Net network stand for: classes, or regions with their order of painting."""

from __future__ import annotations

from pathlib import Path

from calque.dataset.layouts.msd import labels_of
from calque.errors import DatasetError, ModelError
from calque.heads import Head
from calque.interop.foreign import DatasetJson
from calque.labels import BACKGROUND, Labels

_IGNORE = "ignore"


def outputs_of(dataset: DatasetJson, where: Path) -> tuple[Labels, tuple[Head, ...]]:
    """Classes, and the sigmoid heads where the network predicts regions (nnU-Net's `LabelManager`).

    A label of several values makes all outputs regions, in the order in which dataset.json lists them;
    number k paints entry k of `regions_class_order` over what was painted before.

    Raises:
        ModelError: the labels contradict each other, or the order does not fit.
    """
    try:
        labels = labels_of(
            {n: v if isinstance(v, int) else list(v) for n, v in dataset.labels.items()}, where
        )
    except DatasetError as problem:
        raise ModelError("These labels cannot be followed", where=where, got=problem.got) from None
    several = {n: (v,) if isinstance(v, int) else v for n, v in dataset.labels.items() if n != _IGNORE}
    if all(len(values) == 1 for values in several.values()):
        if labels.values != tuple(range(1, labels.outputs)):  # nnU-Net writes the number of the channel
            raise ModelError("Labels must be 0, 1, 2, ... without gaps", where=where, got=dataset.labels)
        return labels, ()
    regions = {name: values for name, values in several.items() if set(values) != {BACKGROUND}}
    order = dataset.regions_class_order or ()
    if len(order) != len(regions):
        raise ModelError(
            "regions_class_order must say what each region paints",
            where=where,
            expected=f"{len(regions)} values, for {', '.join(regions)}",
            got=list(order),
        )
    pairs = zip(regions.items(), order, strict=True)
    return labels, tuple(Head(name=name, values=values, paints=paints) for (name, values), paints in pairs)
