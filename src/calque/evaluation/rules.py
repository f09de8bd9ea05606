"""How cases are scored, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.evaluation.metrics import DEFAULT
from calque.labels import PLAIN, Coding

Tolerance = float | Mapping[str, float]
"""Millimetres, for all classes or by name."""


@dataclass(frozen=True)
class Rules:
    """How cases are scored.

    Args:
        metrics: keys of `METRICS`, or percentiles such as "hd90".
        tolerance_mm: for the normalised surface distance and boundary IoU, one for all or by class.
        lesion_iou: above which IoU two objects match.
        resample: whether a prediction on another grid is brought onto that of the truth; else it is an error.
        probabilities: folder of `case_probabilities.npy`, `.npz` or nnU-Net's `case.npz`; adds ece and brier.
        coding: what the truth's files store in place of label values.
        structures: of a DICOM SEG or RTSTRUCT these alone; empty: all. Of use without `labels`.
        priority: of structures that overlap in a DICOM SEG or RTSTRUCT: the first of these names wins.
        reference: where the DICOM series lie on which these were drawn: a folder, or "ct@2"; None: see
            `calque.evaluation.reading`.
    """

    metrics: Sequence[str] = DEFAULT
    tolerance_mm: Tolerance = 1.0
    lesion_iou: float = 0.5
    resample: bool = False
    probabilities: Path | None = None
    coding: Coding = PLAIN
    structures: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    reference: Path | None = None


PLAIN_RULES = Rules()
"""Every default."""
