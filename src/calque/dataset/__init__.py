"""Where the files of a dataset lie, how they are split, and what is wrong with them."""

from calque.dataset.doctor.checking import check
from calque.dataset.doctor.findings import CheckReport, Finding
from calque.dataset.init import init_manifest
from calque.dataset.layouts.recognise import open_dataset
from calque.dataset.model import Case, Dataset
from calque.dataset.splits import Fold, holdout, kfold

__all__ = [
    "Case",
    "CheckReport",
    "Dataset",
    "Finding",
    "Fold",
    "check",
    "holdout",
    "init_manifest",
    "kfold",
    "open_dataset",
]
