"""From images as they are to arrays as networks see them, and where these are kept."""

from calque.preparation.case import prepare_image, prepare_labels
from calque.preparation.cohort import prepare
from calque.preparation.model import Placement, Prepared, PreparedCase
from calque.preparation.store import Store

__all__ = [
    "Placement",
    "Prepared",
    "PreparedCase",
    "Store",
    "prepare",
    "prepare_image",
    "prepare_labels",
]
