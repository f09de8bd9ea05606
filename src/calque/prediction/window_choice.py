"""Windows as in training, or larger ones (docs/decisions/larger-windows.md)."""

from __future__ import annotations

from math import prod
from typing import Literal

from calque.errors import InputError
from calque.geometry import Shape
from calque.nets import NetworkConfig
from calque.planning import Plan
from calque.prediction.engines import any_window
from calque.prediction.learned import WindowTrial
from calque.prediction.options import WindowMode
from calque.prediction.tiling import fewest

_LARGEST = (2.0, 1.5, 1.25)
"""Voxels of larger windows, as multiples of those of training: beyond twice, Dice suffers."""


def settled_windows(
    wanted: Literal["auto", "trained", "fewest"], network: NetworkConfig, trial: WindowTrial | None
) -> WindowMode:
    """The windows that "auto" stands for: larger ones where validation cases did not suffer by them.

    Raises:
        InputError: larger ones were asked for, and the network takes none.
    """
    able = any_window(network) is not None
    if wanted == "fewest" and not able:
        raise InputError(
            "This network takes only windows of the size that it was trained on",
            expected="a U-Net of volumes or of single slices, for --windows fewest",
            got=network.kind,
            fix="predict with --windows trained",
        )
    if wanted != "auto":
        return wanted
    return "fewest" if able and trial is not None and trial.admitted else "trained"


def larger_windows(plan: Plan, shape: Shape, overlap: float) -> tuple[Shape, ...]:
    """For a prepared image of `shape`: the window of the fewest voxels, smaller ones, that of training.

    The first for which there is memory is to be taken.
    """
    sizes = (int(times * prod(plan.patch)) for times in _LARGEST)
    larger = [fewest(shape, plan.patch, plan.network.divisor, most, overlap) for most in sizes]
    return tuple(dict.fromkeys([*larger, plan.patch]))
