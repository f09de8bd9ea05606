"""Patients from the names of cases, so that slices and visits of one never stand on both sides of a split.

Taking two patients for one costs nothing but a coarser split; taking one for two would flatter every score.
So a rule is used where it explains every name, and where it joins some cases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from calque.dataset.model import Dataset
from calque.errors import DatasetError

RULES = (
    r"^(sub-[A-Za-z0-9]+)",
    # What comes before the number of a picture, slice, frame, time or visit: "SC-HF-I-01" of
    # "SC-HF-I-01-IM-0001-0068".
    r"(?i)^(.*\d.*?)[-_. ](?:im|img|image|sl|slice|fr|frame|z|t|time|tp|visit|ses|scan|phase|day)"
    r"[-_]?\d+(?=\D|$)",
    r"(?i)^(.+)_frame_\d+$",  # as `write_frames` names them
    r"(?i)^((?:patient|pat|pt|subject|subj|case)[-_]?\d+)[-_. ]",
)
"""Tried in this order; each has one group."""


def with_patients(dataset: Dataset, pattern: str) -> Dataset:
    """The same dataset, patients found in the cases' ids by a regular expression with one group.

    Raises:
        DatasetError: the expression is none, has another number of groups, or does not match some case.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise DatasetError("This is not a regular expression", where=pattern, got=problem) from None
    if compiled.groups != 1:
        raise DatasetError(
            "The pattern of patients has one group", where=pattern, got=f"{compiled.groups} groups"
        )
    cases = []
    for case in dataset.cases:
        match = compiled.search(case.id)
        if match is None or not match.group(1):
            raise DatasetError(
                "A case's id does not match the pattern of patients",
                where=dataset.root,
                expected=pattern,
                got=case.id,
            )
        cases.append(replace(case, patient=match.group(1)))
    return replace(dataset, cases=tuple(cases), patients="name")


def guess_patients(dataset: Dataset) -> Dataset:
    """The same dataset, patients found by the first of `RULES` that explains every name; else as it was."""
    ids = [case.id for case in dataset.cases]
    for rule in RULES:
        found = [re.search(rule, name) for name in ids]
        groups = {match[1] for match in found if match}
        if all(found) and 1 < len(groups) < len(ids):
            return with_patients(dataset, rule)
    return dataset


def by_folder(dataset: Dataset, keys: Sequence[str]) -> Dataset:
    """Cases of one folder are one patient, where there are several folders and several cases in some.

    Args:
        dataset: as recognised.
        keys: of each case, its path below the folder of images.
    """
    folders = [key.rsplit("/", 1)[0] if "/" in key else "" for key in keys]
    if not 1 < len(set(folders)) < len(folders) or "" in folders:
        return dataset
    cases = tuple(replace(case, patient=folder) for case, folder in zip(dataset.cases, folders, strict=True))
    return replace(dataset, cases=cases, patients="folder")
