"""From a dataset and a plan to a model."""

from calque.training.fold import require_free, train
from calque.training.options import TrainOptions

__all__ = ["TrainOptions", "require_free", "train"]
