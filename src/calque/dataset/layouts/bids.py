"""BIDS with derivatives: sub-X[/ses-Y]/anat/..., and masks under derivatives/ with the same entities.

See https://bids-specification.readthedocs.io/en/stable/derivatives/imaging.html
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

from calque.dataset.layouts.derive import labels_from_cases
from calque.dataset.layouts.gather import ambiguous, readable_below, subfolders
from calque.dataset.model import Case, Dataset, MaskRule
from calque.errors import DatasetError
from calque.io import stem_of
from calque.labels import PLAIN, Coding, Labels

_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?_(.*?_)?([A-Za-z0-9]+)")
_MASKS = ("dseg", "mask", "seg", "probseg")


def read_bids(root: Path) -> Dataset | None:
    """Read `root` where it has folders sub-* and derivatives; None where not.

    Raises:
        DatasetError: several masks or images of one kind for a session, or none that all sessions have.
    """
    folders = subfolders(root)
    subjects = [path for name, path in folders.items() if name.startswith("sub-")]
    if not subjects or "derivatives" not in folders:
        return None
    images = _images(root, [path for subject in subjects for path in readable_below(subject)])
    masks = _masks(root, readable_below(folders["derivatives"]))
    if not masks:
        raise DatasetError(
            "There is no mask to learn from",
            where=folders["derivatives"],
            expected="files such as sub-01_dseg.nii.gz",
        )
    counts = Counter(kind for found in images.values() for kind in found)
    annotated = [images[key] for key in images if key in masks]
    if not annotated:
        raise ambiguous(root, [*images, *masks], "masks with the subjects and sessions of images")
    channels = sorted(kind for kind in counts if all(kind in found for found in annotated))
    if not channels:
        raise ambiguous(root, [f"{kind} in {n}" for kind, n in counts.items()], "a kind of image in all")
    cases = tuple(
        Case(
            id=key,
            images=tuple(found[kind] for kind in channels),
            label=masks.get(key),
            patient=key.split("_")[0],
        )
        for key, found in images.items()
        if all(kind in found for kind in channels)
    )
    labels, coding = _labels(folders["derivatives"], cases, root)
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="bids",
        channels=tuple(channels),
        labels=labels,
        cases=cases,
        rule=MaskRule(coding=coding),
        patients="subject",
    )


def _images(root: Path, paths: list[Path]) -> dict[str, dict[str, Path]]:
    """Subject and session -> kind, such as T1w -> file."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        match = _SUBJECT.fullmatch(stem_of(path))
        if match is None:
            continue
        key = "_".join(part for part in match.groups()[:2] if part)
        kind = f"{match[3] or ''}{match[4]}"
        if kind in found[key]:
            raise ambiguous(root, [found[key][kind].name, path.name], "one image of a kind for each session")
        found[key][kind] = path
    return dict(sorted(found.items()))


def _masks(root: Path, paths: list[Path]) -> dict[str, Path]:
    """Subject and session -> mask."""
    found: dict[str, Path] = {}
    for path in paths:
        match = _SUBJECT.fullmatch(stem_of(path))
        if match is None or match[4] not in _MASKS:
            continue
        key = "_".join(part for part in match.groups()[:2] if part)
        if key in found:
            raise ambiguous(root, [found[key].name, path.name], "one mask for each session")
        found[key] = path
    return found


def _labels(derivatives: Path, cases: tuple[Case, ...], root: Path) -> tuple[Labels, Coding]:
    """From a table `*dseg.tsv` with columns index and name, else from the masks."""
    tables = sorted(derivatives.rglob("*dseg.tsv"))
    if not tables:
        return labels_from_cases(cases, root)
    try:
        with tables[0].open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return Labels.from_names({row["name"]: int(row["index"]) for row in rows}), PLAIN
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as problem:
        raise DatasetError(
            "The table of labels cannot be read",
            where=tables[0],
            expected="columns index and name",
            got=problem,
        ) from None
