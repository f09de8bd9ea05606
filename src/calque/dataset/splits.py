"""Who is trained on and who is validated on: by patient, the same every time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import Field

from calque.dataset.model import Dataset
from calque.errors import DatasetError
from calque.value import Value


class Fold(Value):
    """Ids of cases, each in alphabetical order; no patient stands on both sides."""

    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = Field(min_length=1)


def kfold(
    dataset: Dataset,
    folds: int = 5,
    seed: int = 0,
    *,
    alike: Mapping[str, str] | None = None,
    classes: Mapping[str, Sequence[int]] | None = None,
) -> tuple[Fold, ...]:
    """Split the annotated cases into `folds` parts by patient; each part is validated on once.

    The parts depend on the seed and on the patients' ids, not on the order of files. They are as equal in
    cases as whole patients allow, and each has its share of the patients with a rare class.

    Args:
        dataset: its annotated cases are dealt.
        folds: how many parts.
        seed: of the order of patients.
        alike: case -> what it shows; cases that show the same (duplicates) stay together.
        classes: case -> its classes; those that fewer than half of the patients have are spread first.

    Raises:
        DatasetError: fewer than two folds, or fewer patients than folds.
    """
    patients = _patients(dataset, alike)
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
    for having in _rare(patients, classes or {}):
        counts = [0] * folds
        for patient in [p for p in order if p in having]:
            least = min(range(folds), key=lambda k: (counts[k], len(parts[k])))
            counts[least] += 1
            parts[least] += patients[patient]
            order.remove(patient)
    for patient in order:
        min(parts, key=len).extend(patients[patient])
    return tuple(_fold(patients, part) for part in parts)


def _rare(patients: dict[str, list[str]], classes: Mapping[str, Sequence[int]]) -> list[set[str]]:
    """For each class that fewer than half of the patients have, who has it; the rarest first."""
    having: dict[int, set[str]] = defaultdict(set)
    for patient, cases in patients.items():
        for case in cases:
            for number in classes.get(case, ()):
                having[number].add(patient)
    rare = [found for _, found in sorted(having.items()) if 2 * len(found) < len(patients)]
    return sorted(rare, key=len)


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


def _patients(dataset: Dataset, alike: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Patient -> ids of annotated cases, both in alphabetical order; patients who share an image are one."""
    found: dict[str, list[str]] = defaultdict(list)
    for case in sorted(dataset.annotated, key=lambda c: (c.patient, c.id)):
        found[case.patient].append(case.id)
    first: dict[str, str] = {}  # what a case shows -> the patient who showed it first
    for patient in list(found):
        twins = {
            first.setdefault((alike or {}).get(case, f"case {case}"), patient) for case in found[patient]
        }
        joined = min(twins | {patient})
        for other in (twins | {patient}) - {joined}:
            found[joined] += found.pop(other)
            first.update({shown: joined for shown, owner in first.items() if owner == other})
    return {patient: sorted(found[patient]) for patient in sorted(found)}


def _shuffled(patients: dict[str, list[str]], seed: int) -> list[str]:
    """In the order of a hash of seed and id: the same with every version of every library."""
    return sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).digest())


def _fold(patients: dict[str, list[str]], validation: list[str]) -> Fold:
    everyone = {case for cases in patients.values() for case in cases}
    return Fold(train=tuple(sorted(everyone - set(validation))), validation=tuple(sorted(validation)))
