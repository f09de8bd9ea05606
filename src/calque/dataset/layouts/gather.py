"""The readable files of a folder, and what their names tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.dataset.model import Case
from calque.errors import DatasetError
from calque.io import stem_of, suffix_of

IMAGE_FOLDERS = ("imagestr", "images", "image", "imgs", "img", "scans", "volumes")
MASK_FOLDERS = ("labelstr", "labels", "label", "masks", "mask", "segmentations", "segmentation", "seg")

_MASK_WORDS = ("mask", "masks", "seg", "segmentation", "label", "labels", "gt", "gold", "truth",
               "groundtruth", "annotation", "contour", "consensus", "dseg", "roi")  # fmt: skip
_IMAGE_WORDS = ("image", "img", "scan", "volume", "raw", "orig", "original")
_DEEPEST = 6
_SHOWN = 8


@dataclass(frozen=True)
class Named:
    """A file, and its name apart from words that only say what it is.

    Args:
        path: the file.
        core: the stem without such words, such as "CT" of "CT_mask".
        is_mask: whether a word says that it is a mask.
    """

    path: Path
    core: str
    is_mask: bool


def named(path: Path, without: str = "") -> Named:
    """Look at a name; `without`, such as the name of its folder, is cut off at its beginning."""
    stem = stem_of(path)
    if without and stem.casefold().startswith(without.casefold()) and len(stem) > len(without):
        stem = stem[len(without) :]
    parts = [part for part in re.split(r"[_\-. ]+", stem) if part]
    mask_at = [k for k, part in enumerate(parts) if _says_mask(part.casefold())]
    if mask_at:
        core = [part for k, part in enumerate(parts) if k not in mask_at]
    else:
        core = [part for part in parts if part.casefold() not in _IMAGE_WORDS]
    return Named(path, "_".join(core), bool(mask_at))


def _says_mask(word: str) -> bool:
    return word in _MASK_WORDS or word.endswith(("seg", "mask"))


def subfolders(folder: Path) -> dict[str, Path]:
    """Name in lower case -> folder, hidden ones left out."""
    return {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] not in "._"}


def readable(folder: Path) -> list[Path]:
    """Files of a known format in this folder alone, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and suffix_of(path) is not None)


def readable_below(folder: Path, depth: int = _DEEPEST) -> list[Path]:
    """Files of a known format in this folder and those below."""
    found = readable(folder)
    for inner in subfolders(folder).values() if depth else ():
        found += readable_below(inner, depth - 1)
    return found


def by_stem(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    """Path below `root` without suffix -> file, in the order given.

    Raises:
        DatasetError: two files differ in the suffix alone.
    """
    found: dict[str, Path] = {}
    for path in paths:
        key = (path.parent / stem_of(path)).relative_to(root).as_posix()
        if key in found:
            raise DatasetError(
                "Two files have the same name but for the suffix",
                where=root,
                got=f"{found[key].name} and {path.name}",
                fix="remove one of them",
            )
        found[key] = path
    return found


def case_ids(keys: Sequence[str]) -> dict[str, str]:
    """Path below the folder -> id: the file's stem where all are different, else with its folders."""
    stems = [key.rsplit("/", 1)[-1] for key in keys]
    unique = len({stem.casefold() for stem in stems}) == len(stems)
    return dict(zip(keys, stems if unique else [key.replace("/", "_") for key in keys], strict=True))


def paired(images: dict[str, Path], masks: dict[str, Path], split: str | None) -> tuple[Case, ...]:
    """A case per name in either; what has a mask alone names the image that it lacks."""
    keys = sorted(images.keys() | masks.keys())
    ids = case_ids(keys)
    image_root = {key: path.parent for key, path in images.items()}
    fallback = next(iter(image_root.values()), Path())
    return tuple(
        Case(
            id=ids[key],
            images=(images[key] if key in images else fallback / masks[key].name,),
            label=masks.get(key),
            patient=ids[key],
            split=split,
        )
        for key in keys
    )


def ambiguous(root: Path, seen: Sequence[str], expected: str) -> DatasetError:
    """The error where files could be understood in more than one way."""
    listed = "; ".join(seen[:_SHOWN]) + ("; ..." if len(seen) > _SHOWN else "")
    return DatasetError(
        "How the files of this folder belong together is not clear",
        where=root,
        expected=expected,
        got=listed,
        fix=f"calque dataset init {root} -o manifest.csv, correct what it wrote, and give that file",
    )
