"""Calque: semantic segmentation of medical images, a label for every voxel.

read -> check -> plan -> prepare -> train -> Model -> predict -> evaluate -> report

Every stage is one function here. Names are imported when they are first used, so that `import calque` and
`calque --help` stay quick: torch alone takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calque.dataset import Case as Case
    from calque.dataset import Dataset as Dataset
    from calque.dataset import check as check
    from calque.dataset import open_dataset as open_dataset
    from calque.errors import CalqueError as CalqueError
    from calque.evaluation import Scores as Scores
    from calque.evaluation import compare as compare
    from calque.evaluation import evaluate as evaluate
    from calque.geometry import Grid as Grid
    from calque.image import Image as Image
    from calque.image import LabelMap as LabelMap
    from calque.io import read_image as read_image
    from calque.io import read_labels as read_labels
    from calque.io import write_image as write_image
    from calque.io import write_labels as write_labels
    from calque.labels import Labels as Labels
    from calque.model import Model as Model
    from calque.ops.objects import find_objects as find_objects
    from calque.planning import Plan as Plan
    from calque.planning import plan as plan
    from calque.prediction import predict as predict
    from calque.preparation import prepare as prepare
    from calque.reporting import report as report
    from calque.training import train as train

__version__ = "0.1.0"

_HOME = {
    "CalqueError": "errors",
    "Grid": "geometry",
    "Labels": "labels",
    "Image": "image",
    "LabelMap": "image",
    "read_image": "io",
    "read_labels": "io",
    "write_image": "io",
    "write_labels": "io",
    "Case": "dataset",
    "Dataset": "dataset",
    "open_dataset": "dataset",
    "check": "dataset",
    "Plan": "planning",
    "plan": "planning",
    "prepare": "preparation",
    "train": "training",
    "Model": "model",
    "predict": "prediction",
    "find_objects": "ops.objects",
    "Scores": "evaluation",
    "evaluate": "evaluation",
    "compare": "evaluation",
    "report": "reporting",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'calque' has no attribute {name!r}")
    return getattr(import_module(f"calque.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
