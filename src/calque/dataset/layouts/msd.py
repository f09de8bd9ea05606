"""The layout of the Medical Segmentation Decathlon: a `dataset.json` that lists files.

nnU-Net's way to write the same (`channel_names`; labels as name -> value, regions as lists, "ignore") is
understood too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from calque.dataset.layouts.derive import channels_from_files
from calque.dataset.model import Case, Dataset
from calque.errors import DatasetError, LabelError
from calque.io import stem_of
from calque.labels import BACKGROUND, Labels, Region

MANIFEST = "dataset.json"
_IGNORE = "ignore"


class _Entry(BaseModel):
    image: str | list[str]
    label: str | None = None


class _Declared(BaseModel):
    """What every description has."""

    model_config = ConfigDict(extra="ignore")

    labels: dict[str, str | int | list[int]]


class _Manifest(_Declared):
    """What is used of the file; the rest of it is for people."""

    name: str | None = None
    channels: dict[int, str] | None = Field(
        default=None, validation_alias=AliasChoices("channel_names", "modality")
    )
    training: list[_Entry] = Field(min_length=1)
    test: list[str | _Entry] = []


class _Described(_Declared):
    """What is used where files are found by their names."""

    name: str | None = None
    channels: dict[int, str] | None = Field(
        default=None, validation_alias=AliasChoices("channel_names", "modality")
    )
    training: list[Any] | None = None


def read_msd(root: Path) -> Dataset:
    """Read `root`'s `dataset.json`. Files that it lists need not exist: `check` names them.

    Raises:
        DatasetError: the file cannot be understood.
    """
    path = root / MANIFEST
    manifest = _parse(path, _Manifest)
    cases = [_case(entry, root, None) for entry in manifest.training]
    for entry in manifest.test:
        cases.append(_case(_Entry(image=entry) if isinstance(entry, str) else entry, root, "test"))
    named = manifest.channels
    return Dataset(
        name=manifest.name or root.resolve().name,
        root=root,
        layout="msd",
        channels=tuple(named[key] for key in sorted(named))
        if named
        else channels_from_files([case.images[0] for case in cases], root),
        labels=labels_of(manifest.labels, path),
        cases=tuple(cases),
    )


@dataclass(frozen=True)
class Description:
    """What a `dataset.json` says beside the list of cases.

    Args:
        name: of the dataset.
        channels: their names, in order; empty where it does not say.
        labels: what the values mean.
        first: the image of the first case that is listed, where cases are.
    """

    name: str | None
    channels: tuple[str, ...]
    labels: Labels
    first: str | None

    def lists_existing(self, root: Path) -> bool:
        """Whether the files that it lists are there under these names, as in the Decathlon."""
        return self.first is not None and (root / self.first).is_file()


def describe(path: Path) -> Description:
    """Read what a `dataset.json` says; it need not list any case.

    Raises:
        DatasetError: the file cannot be understood.
    """
    found = _parse(path, _Described)
    named = found.channels or {}
    entry = found.training[0] if found.training else None
    first = entry.get("image") if isinstance(entry, dict) else None
    return Description(
        name=found.name,
        channels=tuple(named[key] for key in sorted(named)),
        labels=labels_of(found.labels, path),
        first=first if isinstance(first, str) else None,
    )


def read_manifest_labels(path: Path) -> Labels:
    """What the values of masks mean, from a `dataset.json` alone: it need not list any case.

    Raises:
        DatasetError: the file cannot be understood.
    """
    return labels_of(_parse(path, _Declared).labels, path)


Parsed = TypeVar("Parsed", bound=BaseModel)


def _parse(path: Path, form: type[Parsed]) -> Parsed:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        return form.model_validate(document)
    except ValidationError as problem:  # before ValueError, of which it is one
        wrong = [f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in problem.errors()]
        raise DatasetError(
            "The dataset's description is not as it should be",
            where=path,
            expected='"labels", and "training" as a list of {"image": ..., "label": ...}',
            got="; ".join(wrong[:5]),
        ) from None
    except (OSError, ValueError, RecursionError) as problem:  # not UTF-8, not JSON, nested without end
        raise DatasetError("The dataset's description cannot be read", where=path, got=problem) from None


def _case(entry: _Entry, root: Path, split: str | None) -> Case:
    names = [entry.image] if isinstance(entry.image, str) else entry.image
    images = tuple(root / name for name in names)
    if not images:
        raise DatasetError("A case lists no image", where=root / MANIFEST, got=entry)
    case = stem_of(images[0])
    return Case(case, images, None if entry.label is None else root / entry.label, case, split)


def labels_of(declared: Mapping[str, str | int | list[int]], path: Path) -> Labels:
    """From value -> name (the Decathlon) or name -> value, name -> values (nnU-Net).

    Raises:
        DatasetError: they contradict each other, or a value is none.
    """
    values: dict[str, int] = {}
    regions: dict[str, list[int]] = {}
    ignore: int | None = None
    for key, entry in declared.items():
        if isinstance(entry, list):
            regions[key] = entry
            continue
        flipped = isinstance(entry, str) and key.isdecimal()  # {"1": "liver"}, not {"liver": 1}
        name, number = (str(entry), key) if flipped else (key, str(entry))
        if not number.isdecimal() or len(number) > 9:
            raise DatasetError(
                "A label's value is a whole number",
                where=path,
                got=f"{key!r}: {entry!r}",
                expected="0, 1, ...",
            )
        if name == _IGNORE:
            ignore = int(number)
        elif name in values:
            raise DatasetError("Two labels have the same name", where=path, got=name)
        else:
            values[name] = int(number)
    return _built(values, regions, ignore, path)


def _built(values: dict[str, int], regions: dict[str, list[int]], ignore: int | None, path: Path) -> Labels:
    """The classes, and one more for each value that only regions name."""
    named = set(values.values())
    for region, members in regions.items():
        if len(members) == 1 and members[0] not in named:
            values[region] = members[0]
            named.add(members[0])
    unnamed = {v for members in regions.values() for v in members} - named - {BACKGROUND}
    values |= {f"class {v}": v for v in sorted(unnamed)}
    try:
        labels = Labels.from_names(values, ignore)
        unions = tuple(Region(name=n, values=tuple(m)) for n, m in regions.items() if len(m) > 1)
        return Labels(classes=labels.classes, regions=unions, ignore=ignore)
    except LabelError as problem:
        raise DatasetError("The labels contradict each other", where=path, got=problem.got) from None
    except ValidationError as problem:
        wrong = "; ".join(e["msg"] for e in problem.errors())
        raise DatasetError("The regions contradict each other", where=path, got=wrong) from None
