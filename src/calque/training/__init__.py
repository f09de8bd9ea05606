"""From a dataset and a plan to a model.

What needs torch is imported when it is first used: options and the run's folder do not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calque.training.crossval import cross_validate
    from calque.training.extension import More, extend
    from calque.training.finetune import plan_finetuning
    from calque.training.options import TrainOptions
    from calque.training.setting import require_free
    from calque.training.stages import train
    from calque.training.track import require_tracker
    from calque.training.until import Until

_HOME = {
    "More": "extension",
    "TrainOptions": "options",
    "Until": "until",
    "cross_validate": "crossval",
    "extend": "extension",
    "plan_finetuning": "finetune",
    "require_free": "setting",
    "require_tracker": "track",
    "train": "stages",
}

__all__ = [
    "More",
    "TrainOptions",
    "Until",
    "cross_validate",
    "extend",
    "plan_finetuning",
    "require_free",
    "require_tracker",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'calque.training' has no attribute {name!r}")
    return getattr(import_module(f"calque.training.{_HOME[name]}"), name)
