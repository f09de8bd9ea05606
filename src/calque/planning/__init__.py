"""Deciding how to train, from what the data look like and what the machine can do."""

from calque.planning.model import (
    Augmentation,
    Fingerprint,
    Forecast,
    Intensity,
    Normalisation,
    Optimiser,
    Plan,
    Schedule,
)

__all__ = [
    "Augmentation",
    "Fingerprint",
    "Forecast",
    "Intensity",
    "Normalisation",
    "Optimiser",
    "Plan",
    "Schedule",
]
