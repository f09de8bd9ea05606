"""From a dataset and a plan to a model."""

from calque.training.crossval import cross_validate
from calque.training.extend import More, extend
from calque.training.finetune import plan_finetuning
from calque.training.options import TrainOptions
from calque.training.setting import require_free
from calque.training.stages import train
from calque.training.track import require_tracker
from calque.training.until import Until

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
