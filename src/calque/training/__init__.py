"""From a dataset and a plan to a model."""

from calque.training.fold import train
from calque.training.options import TrainOptions

__all__ = ["TrainOptions", "train"]
