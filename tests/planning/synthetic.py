"""Fingerprints of kinds of data, without data."""

from __future__ import annotations

from pathlib import Path

from calque.dataset import Dataset
from calque.labels import Labels
from calque.planning import Fingerprint, Intensity


def make_fingerprint(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    cases: int = 40,
    channels: int = 1,
    orientation: str = "SPL",
) -> Fingerprint:
    return Fingerprint(
        cases=cases,
        spacings=(spacing,) * cases,
        shapes=(shape,) * cases,
        orientations={orientation: cases},
        intensities=(Intensity(mean=60, std=40, low=-90, median=55, high=280),) * channels,
        class_fractions=(0.02, 0.01),
        cases_with_class=(cases, cases),
    )


def make_dataset(channels: tuple[str, ...] = ("MR",)) -> Dataset:
    labels = Labels.from_names({"organ": 1, "lesion": 2})
    return Dataset("synthetic", Path("nowhere"), "folders", channels, labels, ())


CT = make_fingerprint((300, 512, 512), (1.5, 0.8, 0.8))
PROSTATE = make_fingerprint((20, 320, 320), (3.6, 0.6, 0.6))
HIPPOCAMPUS = make_fingerprint((36, 50, 35), (1.0, 1.0, 1.0), cases=200)
SLICES = make_fingerprint((1, 256, 256), (1.0, 1.4, 1.4), cases=300)
TINY = make_fingerprint((5, 6, 4), (2.0, 2.0, 2.0), cases=3)
BRAIN = make_fingerprint((140, 170, 138), (1.0, 1.0, 1.0), channels=4)
KINDS = {
    "ct": CT,
    "prostate": PROSTATE,
    "hippocampus": HIPPOCAMPUS,
    "slices": SLICES,
    "tiny": TINY,
    "brain": BRAIN,
}
