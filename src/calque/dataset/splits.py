"""Who is trained on and who is validated on: by patient, the same every time."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from pydantic import Field

from calque.dataset.model import Dataset
from calque.errors import DatasetError
from calque.value import Value


class Fold(Value):
    """Ids of cases, each in alphabetical order; no patient stands on both sides."""

    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = Field(min_length=1)


def kfold(dataset: Dataset, folds: int = 5, seed: int = 0) -> tuple[Fold, ...]:
    """Split the annotated cases into `folds` parts by patient; each part is validated on once.

    The parts depend on the seed and on the patients' ids, not on the order of files. They are as equal in
    cases as whole patients allow.

    Raises:
        DatasetError: fewer than two folds, or fewer patients than folds.
    """
    patients = _patients(dataset)
    if not 2 <= folds <= len(patients):
        raise DatasetError(
            "These patients cannot be split into so many folds",
            where=dataset.root,
            expected=f"2 to {len(patients)} folds"
            if len(patients) > 1
            else "at least two patients with masks",
            got=folds,
        )
    parts: list[list[str]] = [[] for _ in range(folds)]
    order = sorted(_shuffled(patients, seed), key=lambda p: -len(patients[p]))  # stable: large ones first
    for patient in order:
        min(parts, key=len).extend(patients[patient])
    return tuple(_fold(patients, part) for part in parts)


def holdout(dataset: Dataset, fraction: float = 0.2, seed: int = 0) -> Fold:
    """Set patients aside until they hold about `fraction` of the annotated cases, at least one patient.

    Raises:
        DatasetError: the fraction is not between 0 and 1, or there are fewer than two patients.
    """
    patients = _patients(dataset)
    if not 0 < fraction < 1 or len(patients) < 2:
        raise DatasetError(
            "These patients cannot be split so",
            where=dataset.root,
            expected="a fraction between 0 and 1, and at least two patients with masks",
            got=f"a fraction of {fraction} and {len(patients)} patients",
        )
    order = _shuffled(patients, seed)
    wanted = fraction * sum(map(len, patients.values()))
    aside = list(patients[order[0]])
    for patient in order[1:-1]:  # one is left to train on
        grown = len(aside) + len(patients[patient])
        if grown - wanted < wanted - len(aside):
            aside += patients[patient]
    return _fold(patients, aside)


def _patients(dataset: Dataset) -> dict[str, list[str]]:
    """Patient -> ids of annotated cases, both in alphabetical order."""
    found: dict[str, list[str]] = defaultdict(list)
    for case in sorted(dataset.annotated, key=lambda c: (c.patient, c.id)):
        found[case.patient].append(case.id)
    return dict(found)


def _shuffled(patients: dict[str, list[str]], seed: int) -> list[str]:
    """In the order of a hash of seed and id: the same with every version of every library."""
    return sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).digest())


def _fold(patients: dict[str, list[str]], validation: list[str]) -> Fold:
    everyone = {case for cases in patients.values() for case in cases}
    return Fold(train=tuple(sorted(everyone - set(validation))), validation=tuple(sorted(validation)))
