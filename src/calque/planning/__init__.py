"""Deciding how to train, from what the data look like and what the machine can do.

`plan` and `fingerprint` are imported when first used: they need torch and the readers, `Plan` does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from calque.planning.model import Augmentation, Forecast, Normalisation, Objective, Optimiser, Plan
from calque.planning.schedule import Knot, Schedule
from calque.planning.seen import Fingerprint, Intensity

if TYPE_CHECKING:
    from calque.planning.looking import fingerprint
    from calque.planning.planner import plan
    from calque.planning.reasons import explain
    from calque.planning.speed import Timing
    from calque.planning.wishes import Wishes

_HOME = {
    "fingerprint": "looking",
    "plan": "planner",
    "explain": "reasons",
    "Timing": "speed",
    "Wishes": "wishes",
}

__all__ = [
    "Augmentation",
    "Fingerprint",
    "Forecast",
    "Intensity",
    "Knot",
    "Normalisation",
    "Objective",
    "Optimiser",
    "Plan",
    "Schedule",
    "Timing",
    "Wishes",
    "explain",
    "fingerprint",
    "plan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'calque.planning' has no attribute {name!r}")
    return getattr(import_module(f"calque.planning.{_HOME[name]}"), name)
