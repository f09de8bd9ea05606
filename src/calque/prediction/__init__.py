"""Sliding windows, engines, the way back to the image's own grid, files and folders."""

from calque.prediction.cohort import CohortResult, Done, Failure, predict
from calque.prediction.options import PredictOptions
from calque.prediction.predictor import Prediction, Predictor, Seconds
from calque.prediction.scans import Scan, find_scans
from calque.prediction.windows import Slab, Tiling, slabs, sliding_window

__all__ = [
    "CohortResult",
    "Done",
    "Failure",
    "PredictOptions",
    "Prediction",
    "Predictor",
    "Scan",
    "Seconds",
    "Slab",
    "Tiling",
    "find_scans",
    "predict",
    "slabs",
    "sliding_window",
]
