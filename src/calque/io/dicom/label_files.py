"""SEG and RTSTRUCT files to label maps: which file is one, and how it becomes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calque.errors import ReadError
from calque.io.dicom.labelling import EVERY, Choice, Labelled, label
from calque.io.dicom.objects import structures_kind
from calque.io.dicom.rtstruct import read_rtstruct
from calque.io.dicom.seg import THRESHOLD, read_seg
from calque.io.dicom.structures import Reference, Structures
from calque.labels import PLAIN, Coding, Labels


def read_structures(
    path: Path, reference: Reference | None = None, threshold: float = THRESHOLD
) -> Structures:
    """Every structure of a SEG or RTSTRUCT; see `read_seg` and `read_rtstruct`.

    Raises:
        ReadError: it is neither, or damaged.
        GeometryError: it cannot be placed, or not on the reference.
        LabelError: a SEG holds values that it does not declare.
    """
    kind = structures_kind(path)
    if kind is None:
        raise ReadError("This file holds no structures", where=path, expected="a DICOM SEG or RTSTRUCT")
    return read_seg(path, reference, threshold) if kind == "SEG" else read_rtstruct(path, reference)


def read_structure_labels(
    path: Path,
    reference: Reference | None = None,
    labels: Labels | None = None,
    coding: Coding = PLAIN,
    choice: Choice = EVERY,
) -> Labelled:
    """The label map of a SEG or RTSTRUCT, with notes on it; see `read_structures` and `label`."""
    structures = read_structures(path, reference)
    return replace(label(structures, path, labels, choice, coding), notes=structures.notes)
