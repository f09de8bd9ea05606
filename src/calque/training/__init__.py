"""From a dataset and a plan to a model."""

from calque.training.options import TrainOptions
from calque.training.train import train

__all__ = ["TrainOptions", "train"]
