"""What is asked of all cases of a dataset together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from calque.dataset.facts import CaseFacts
from calque.dataset.findings import Finding, finding
from calque.dataset.model import Dataset

ENOUGH = 5
"""Fewer cases than this have no "rest" to differ from; a class in fewer patients than this is rare."""

USUAL = 0.9
"""An orientation that this part of the cases share is the usual one."""

UNLIKE = 3.0
"""A spacing this many times larger or smaller than the median stands out."""


def classes(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    """Every class is there, in patients enough that each of five folds can have one."""
    masks = [(f.case.patient, f.mask) for f in facts if f.mask is not None and f.case.split != "test"]
    readable = [(patient, set(mask.values)) for patient, mask in masks if mask.values]
    if not readable:
        return
    patients = {patient for patient, _ in readable}
    for label in dataset.labels.classes:
        having = {patient for patient, values in readable if label.value in values}
        if not having:
            yield finding(
                "class-absent", expected=f"{label.name} ({label.value}) in some mask", got="in none"
            )
        elif len(having) < min(ENOUGH, len(patients)):
            yield finding(
                "class-rare",
                expected=f"{label.name} ({label.value}) in at least {ENOUGH} patients",
                got=f"in {len(having)} of {len(patients)}",
            )


def orientation(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """A case that lies otherwise than nearly all others may have a wrong header."""
    found = {f.case.id: (f, f.headers[0].grid.orientation) for f in facts if f.headers}
    if len(found) < ENOUGH:
        return
    ((usual, count),) = Counter(codes for _, codes in found.values()).most_common(1)
    if count < USUAL * len(found):
        return
    for case, (fact, codes) in found.items():
        if codes != usual:
            yield finding(
                "orientation",
                case=case,
                file=fact.images[0].path,
                expected=f"{usual}, as in {count} of {len(found)} cases",
                got=codes,
            )


def spacing(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """A case far finer or coarser than the others may have a spacing in another unit, or none."""
    found = [f for f in facts if f.headers]
    if len(found) < ENOUGH:
        return
    # Sorted, since array axes may stand for other axes of the patient in another case.
    sizes = np.array([sorted(f.headers[0].grid.spacing) for f in found])
    usual = np.median(sizes, axis=0)
    far = (np.maximum(sizes / usual, usual / sizes) > UNLIKE).any(axis=1)
    for fact, size in ((f, s) for f, s, unlike in zip(found, sizes, far, strict=True) if unlike):
        yield finding(
            "spacing",
            case=fact.case.id,
            file=fact.images[0].path,
            expected=f"about {_millimetres(usual)}",
            got=_millimetres(size),
        )


def _millimetres(sizes: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return " x ".join(f"{s:.4g}" for s in sizes) + " mm, finest axis first"


def duplicates(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """The same voxels under two names: in training and in validation they would flatter the scores."""
    first: dict[tuple[bytes, ...], CaseFacts] = {}
    for fact in facts:
        key = tuple(file.digest for file in fact.images)
        if not all(key) or any(file.constant for file in fact.images):
            continue
        other = first.setdefault(key, fact)
        if other is not fact:
            yield finding(
                "duplicate",
                case=fact.case.id,
                file=fact.images[0].path,
                expected="each image once",
                got=f"the voxels of {other.case.id}",
            )


COHORT_RULES: Sequence[Callable[[Sequence[CaseFacts], Dataset], Iterator[Finding]]] = (
    classes,
    orientation,
    spacing,
    duplicates,
)
"""What is asked of the dataset as a whole."""
