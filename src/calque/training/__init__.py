"""From a dataset and a plan to a model."""

from calque.training.crossval import cross_validate
from calque.training.fold import require_free, train
from calque.training.options import TrainOptions

__all__ = ["TrainOptions", "cross_validate", "require_free", "train"]
