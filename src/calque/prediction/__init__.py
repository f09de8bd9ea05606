"""Sliding windows, engines, the way back to the image's own grid, files and folders."""

from calque.prediction.cohort import CohortResult, Done, Failure, predict, predict_many
from calque.prediction.learn import learn, learn_windows, measure_parity
from calque.prediction.learned import (
    Calibration,
    Learned,
    MirrorTrial,
    Parity,
    Step,
    WindowTrial,
    merge_learned,
)
from calque.prediction.options import PredictOptions
from calque.prediction.postprocess import apply_steps, learn_postprocessing
from calque.prediction.predictor import Predictor
from calque.prediction.result import Prediction, Seconds
from calque.prediction.scans import Scan, find_scans
from calque.prediction.tiling import Tiling
from calque.prediction.windows import Slab, slabs, sliding_window

__all__ = [
    "Calibration",
    "CohortResult",
    "Done",
    "Failure",
    "Learned",
    "MirrorTrial",
    "Parity",
    "PredictOptions",
    "Prediction",
    "Predictor",
    "Scan",
    "Seconds",
    "Slab",
    "Step",
    "Tiling",
    "WindowTrial",
    "apply_steps",
    "find_scans",
    "learn",
    "learn_postprocessing",
    "learn_windows",
    "measure_parity",
    "merge_learned",
    "predict",
    "predict_many",
    "slabs",
    "sliding_window",
]
