"""Sliding windows, engines, the way back to the image's own grid, files and folders."""

from calque.prediction.options import PredictOptions
from calque.prediction.predictor import Prediction, Predictor
from calque.prediction.windows import Tiling, sliding_window

__all__ = ["PredictOptions", "Prediction", "Predictor", "Tiling", "sliding_window"]
