"""Layouts that nothing describes: folders and names of files are all there is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calque.dataset.layouts.derive import channels_from_files, labels_from_cases
from calque.dataset.layouts.gather import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    Named,
    ambiguous,
    by_stem,
    named,
    paired,
    readable,
    readable_below,
    subfolders,
)
from calque.dataset.layouts.patients import by_folder
from calque.dataset.model import Case, Dataset, MaskRule
from calque.errors import DatasetError
from calque.io import FORMATS, read_header, stem_of, suffix_of

_TEST_IMAGES, _TEST_MASKS = "imagests", "labelsts"


def two_folders(root: Path) -> Dataset | None:
    """Images and masks of the same names, in two folders beside each other, perhaps with folders within."""
    folders = subfolders(root)
    images = next((folders[name] for name in IMAGE_FOLDERS if name in folders), None)
    masks = next((folders[name] for name in MASK_FOLDERS if name in folders), None)
    if images is None or masks is None:
        return None
    scans, truths = (by_stem(readable_below(folder), folder) for folder in (images, masks))
    if scans and truths and not scans.keys() & truths.keys():
        scans, truths = _without_words(scans), _without_words(truths)
    if not truths:
        raise DatasetError(
            "There is no mask to learn from", where=masks, expected="files named as those of the images"
        )
    if len(scans) > 1 and len(truths) > 1 and not scans.keys() & truths.keys():
        raise ambiguous(
            root, [*list(scans)[:4], *list(truths)[:4]], f"the same names in {images.name} and {masks.name}"
        )
    cases = paired(scans, truths, split=None)
    keys = sorted(scans.keys() | truths.keys())
    dataset = by_folder(_dataset(root, "two-folders", cases), keys)
    if _TEST_IMAGES not in folders:
        return dataset
    tests = folders[_TEST_IMAGES]
    held = folders.get(_TEST_MASKS)
    aside = paired(
        by_stem(readable_below(tests), tests),
        {} if held is None else by_stem(readable_below(held), held),
        split="test",
    )
    return replace(dataset, cases=(*dataset.cases, *aside))


def _without_words(files: Mapping[str, Path]) -> dict[str, Path]:
    """The same files by their names without words such as "mask"; as they were where that makes two alike."""
    found: dict[str, Path] = {}
    for key, path in files.items():
        folder = key.rsplit("/", 1)[0] + "/" if "/" in key else ""
        found[folder + named(path).core] = path
    return found if len(found) == len(files) else dict(files)


def side_by_side(root: Path) -> Dataset | None:
    """Images and masks in the same folder: one stem and two suffixes, or a word such as "_mask"."""
    files = readable_below(root)
    if len(files) < 2:
        return None
    stems: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        stems[path.parent / stem_of(path)].append(path)
    twins = [group for group in stems.values() if len(group) == 2]
    if len(twins) == len(stems):
        return _twins(root, twins)
    if twins or not any(named(path).is_mask for path in files):
        return None
    return _by_words(root, files)


def _twins(root: Path, twins: Sequence[Sequence[Path]]) -> Dataset:
    """x.bmp and x.png: which suffix is that of masks?"""
    kinds = Counter(tuple(suffix_of(path) or "" for path in group) for group in twins)
    if len(kinds) != 1:
        raise ambiguous(
            root, [f"{n} pairs of {' and '.join(k)}" for k, n in kinds.items()], "one kind of pair"
        )
    place = _mask_place(root, twins[0])
    masks = {str(group[0]): group[place] for group in twins}
    images = {str(group[0]): group[1 - place] for group in twins}
    keys = {key: (p.parent / stem_of(p)).relative_to(root).as_posix() for key, p in images.items()}
    cases = paired({keys[k]: p for k, p in images.items()}, {keys[k]: p for k, p in masks.items()}, None)
    return by_folder(_dataset(root, "side-by-side", cases), sorted(keys.values()))


def _mask_place(root: Path, pair: Sequence[Path]) -> int:
    """Which of two files is the mask: JPEG never is, and what has fewer channels is.

    Raises:
        DatasetError: both could be.
    """
    lossy = [FORMATS[suffix_of(path) or ""].name == "JPEG" for path in pair]
    if lossy[0] != lossy[1]:
        return lossy.index(False)
    counts = [read_header(path).channels for path in pair]
    if counts[0] == counts[1]:
        raise ambiguous(
            root,
            [f"{p.name} of {n} channels" for p, n in zip(pair, counts, strict=True)],
            "an image and a mask",
        )
    return counts.index(min(counts))


def _by_words(root: Path, files: Sequence[Path]) -> Dataset | None:
    """a.nii.gz and a_mask.nii.gz."""
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for path in files:
        found = named(path)
        folder = path.parent.relative_to(root).as_posix()
        key = found.core if folder == "." else f"{folder}/{found.core}"
        side = masks if found.is_mask else images
        if key in side:
            raise ambiguous(root, [side[key].name, path.name], "one image and one mask of a name")
        side[key] = path
    shared = images.keys() & masks.keys()
    if not shared or masks.keys() - images.keys():
        lonely = sorted(masks.keys() - images.keys())
        raise ambiguous(
            root,
            [masks[key].relative_to(root).as_posix() for key in lonely] or [p.name for p in files],
            "for each mask an image of its name, as a.nii.gz and a_mask.nii.gz",
        )
    cases = paired(images, masks, None)
    return by_folder(_dataset(root, "side-by-side", cases), sorted(images.keys() | masks.keys()))


@dataclass(frozen=True)
class _Folder:
    """The files of one patient, by what their names are about."""

    path: Path
    images: dict[str, Path]
    masks: dict[str, Path]


def patient_folders(root: Path) -> Dataset | None:
    """A folder for each patient; files of one role have one name in all of them."""
    folders = [folder for path in subfolders(root).values() if (folder := _folder(path)) is not None]
    if readable(root) or not folders:
        return None
    roles = Counter(role for folder in folders for role in folder.images)
    channels = [role for role, n in roles.items() if n == len(folders)]
    if not channels or not all(folder.masks for folder in folders):
        return None
    mask_roles = Counter(role for folder in folders for role in folder.masks)
    if len(channels) < len(roles) or len(set(mask_roles.values())) != 1:
        return None if len(folders) > 1 and not _alike(folders) else _unclear(root, folders)
    return _cases_of(root, folders, sorted(channels), sorted(mask_roles))


def _alike(folders: Sequence[_Folder]) -> bool:
    shared = set.intersection(*(set(folder.images) for folder in folders))
    return bool(shared)


def _unclear(root: Path, folders: Sequence[_Folder]) -> Dataset:
    seen = [
        f"{f.path.name}: {', '.join(p.name for p in (*f.images.values(), *f.masks.values()))}"
        for f in folders
    ]
    raise ambiguous(root, seen, "files of the same names in each folder")


def _folder(path: Path) -> _Folder | None:
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for file in readable(path):
        found: Named = named(file, without=path.name)
        side = masks if found.is_mask else images
        if found.core in side:
            return None
        side[found.core] = file
    return _Folder(path, images, masks) if images or masks else None


def _cases_of(root: Path, folders: Sequence[_Folder], channels: list[str], masks: list[str]) -> Dataset:
    """One mask; a mask for each channel, of which the first counts; or a mask for each class."""
    names = _distinct(channels)
    channels = sorted(channels, key=lambda channel: names[channel])
    own = [channel for channel in channels if channel in masks]
    classes: list[str] = []
    if len(masks) == 1:
        if own:  # the mask lies on this channel's grid: the others are resampled to it
            channels = own + [channel for channel in channels if channel not in own]
    elif set(masks) <= set(channels):
        channels = own + [channel for channel in channels if channel not in own]
    elif not own:
        classes = masks
    else:
        _unclear(root, folders)
    cases = tuple(
        Case(
            id=folder.path.name,
            images=tuple(folder.images[channel] for channel in channels),
            label=None if classes else folder.masks[channels[0] if own else masks[0]],
            patient=folder.path.name,
            parts=tuple((role or "object", folder.masks[role]) for role in classes),
        )
        for folder in folders
    )
    single = len(channels) == 1 and not channels[0]
    found = tuple(names[channel] for channel in channels)
    return _dataset(root, "patient-folders", cases, channels=None if single else found)


def _distinct(roles: Sequence[str]) -> dict[str, str]:
    """Role -> name: without the words with which all roles end."""
    words = {role: role.split("_") for role in roles}
    if len(roles) < 2:
        return {role: role for role in roles}
    while len({tuple(w[-1:]) for w in words.values()}) == 1 and min(map(len, words.values())) > 1:
        words = {role: w[:-1] for role, w in words.items()}
    found = {role: "_".join(rest) for role, rest in words.items()}
    return found if len(set(found.values())) == len(roles) else {role: role for role in roles}


def _dataset(
    root: Path, layout: str, cases: tuple[Case, ...], channels: tuple[str, ...] | None = None
) -> Dataset:
    labels, coding = labels_from_cases(cases, root)
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout=layout,
        channels=channels or channels_from_files([case.images[0] for case in cases], root),
        labels=labels,
        cases=cases,
        rule=MaskRule(coding=coding),
    )
