"""How datasets lie on disk: a folder -> `Dataset`, or None where the layout is another.

A recogniser opens no image. Where nothing declares channels it reads one header, and where nothing declares
labels it reads the masks, since their values are the only source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from calque.dataset.derive import channels_from_files, labels_from_masks
from calque.dataset.model import Case, Dataset
from calque.dataset.msd import MANIFEST, read_msd
from calque.errors import DatasetError
from calque.io import stem_of, suffix_of

IMAGE_FOLDERS = ("imagestr", "images", "image", "imgs", "img", "scans", "volumes")
MASK_FOLDERS = ("labelstr", "labels", "label", "masks", "mask", "segmentations", "segmentation", "seg")
TEST_IMAGE_FOLDER, TEST_MASK_FOLDER = "imagests", "labelsts"


@dataclass(frozen=True)
class Layout:
    """A way in which datasets lie on disk.

    Args:
        looks_for: what it needs to see, for people.
        recognise: folder -> Dataset, or None where this is another layout; DatasetError where it is this one
            and broken.
    """

    looks_for: str
    recognise: Callable[[Path], Dataset | None]


def open_dataset(path: Path | str, patient_pattern: str | None = None) -> Dataset:
    """Recognise a dataset. No image is read, and a listed file that is missing is left to `check`.

    Args:
        path: a folder, or its `dataset.json`.
        patient_pattern: a regular expression with one group that finds the patient in a case's id, such as
            r"(P\\d+)_" for "P01_t0". None: each case is another patient.

    Raises:
        DatasetError: nothing is there, nothing is recognised, the description is broken, or a case's id does
            not match the pattern.
    """
    root = _folder(Path(path))
    for layout in LAYOUTS.values():
        dataset = layout.recognise(root)
        if dataset is not None:
            return dataset if patient_pattern is None else _with_patients(dataset, patient_pattern)
    names = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    raise DatasetError(
        "No dataset was recognised here",
        where=root,
        expected="; or ".join(layout.looks_for for layout in LAYOUTS.values()),
        got=", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "an empty folder",
    )


def _folder(path: Path) -> Path:
    if path.is_file() and path.name == MANIFEST:
        return path.parent
    if path.is_file():
        raise DatasetError(
            "A dataset is a folder", where=path, got="a file", fix=f"give its folder, or {MANIFEST}"
        )
    if not path.is_dir():
        raise DatasetError("There is no such folder", where=path)
    return path


def _with_patients(dataset: Dataset, pattern: str) -> Dataset:
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
    return replace(dataset, cases=tuple(cases))


def _msd(root: Path) -> Dataset | None:
    return read_msd(root) if (root / MANIFEST).is_file() else None


def _two_folders(root: Path) -> Dataset | None:
    """Images and masks of the same names, in two folders beside each other."""
    folders = {p.name.lower(): p for p in sorted(root.iterdir()) if p.is_dir()}
    images = next((folders[name] for name in IMAGE_FOLDERS if name in folders), None)
    masks = next((folders[name] for name in MASK_FOLDERS if name in folders), None)
    if images is None or masks is None:
        return None
    cases = _paired(images, masks, split=None)
    if not any(case.label for case in cases):
        raise DatasetError(
            "There is no mask to learn from", where=masks, expected="NIfTI files named as those of the images"
        )
    if TEST_IMAGE_FOLDER in folders:
        test_masks = folders.get(TEST_MASK_FOLDER)
        cases += _paired(folders[TEST_IMAGE_FOLDER], test_masks, split="test")
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="two-folders",
        channels=channels_from_files([case.images[0] for case in cases], root),
        labels=labels_from_masks([case.label for case in cases if case.label], root),
        cases=cases,
    )


def _paired(images: Path, masks: Path | None, split: str | None) -> tuple[Case, ...]:
    """A case per name in either folder; what has a mask alone names the image that it lacks."""
    scans = _files(images)
    labels = {} if masks is None else _files(masks)
    return tuple(
        Case(
            id=name,
            images=(scans[name] if name in scans else images / labels[name].name,),
            label=labels.get(name),
            patient=name,
            split=split,
        )
        for name in sorted(scans.keys() | labels.keys())
    )


def _files(folder: Path) -> dict[str, Path]:
    """Stem -> file, of the files of a known format; hidden ones (macOS's "._a.nii.gz") are not data."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if suffix_of(path) is None:
            continue
        if stem_of(path) in found:
            raise DatasetError(
                "Two files have the same name but for the suffix",
                where=folder,
                got=f"{found[stem_of(path)].name} and {path.name}",
                fix="remove one of them",
            )
        found[stem_of(path)] = path
    return found


LAYOUTS: dict[str, Layout] = {
    "msd": Layout(f"a {MANIFEST} as in the Medical Segmentation Decathlon", _msd),
    "two-folders": Layout(
        "two folders with files of the same names, such as images/ and labels/ or imagesTr/ and labelsTr/",
        _two_folders,
    ),
}
"""Name -> layout, tried in this order."""
