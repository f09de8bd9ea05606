"""The layout of nnU-Net's raw data: imagesTr/CASE_0000.ext a channel each, labelsTr/CASE.ext, dataset.json.

See https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from calque.dataset.layouts.derive import channels_from_files
from calque.dataset.layouts.gather import readable
from calque.dataset.layouts.msd import MANIFEST, describe
from calque.dataset.model import Case, Dataset
from calque.errors import DatasetError
from calque.io import stem_of, suffix_of

_NUMBERED = re.compile(r"(.+)_(\d{4})")


def read_nnunet(root: Path) -> Dataset | None:
    """Read `root` where its files are named as nnU-Net names them; None where they are not.

    Raises:
        DatasetError: the description cannot be understood, or there is no mask.
    """
    if not (root / MANIFEST).is_file() or not (root / "imagesTr").is_dir():
        return None
    series = _series(root / "imagesTr")
    described = describe(root / MANIFEST)
    if not series or described.lists_existing(root):
        return None
    if not (root / "labelsTr").is_dir():
        raise DatasetError("There is no mask to learn from", where=root, expected="labelsTr")
    count = len(described.channels) or max(len(found) for found in series.values())
    cases = [_case(name, found, count, root / "labelsTr", None) for name, found in series.items()]
    if (root / "imagesTs").is_dir():
        tests = _series(root / "imagesTs").items()
        cases += [_case(name, found, count, root / "labelsTs", "test") for name, found in tests]
    channels = described.channels
    if not channels:
        channels = channels_from_files([cases[0].images[0]], root) if count == 1 else ()
    return Dataset(
        name=described.name or root.resolve().name,
        root=root,
        layout="nnunet",
        channels=channels or tuple(f"channel {k + 1}" for k in range(count)),
        labels=described.labels,
        cases=tuple(cases),
    )


def _series(folder: Path) -> dict[str, dict[int, Path]]:
    """Case -> number of the channel -> file, in the order of names."""
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in readable(folder):
        match = _NUMBERED.fullmatch(stem_of(path))
        if match:
            found[match[1]][int(match[2])] = path
    return dict(sorted(found.items()))


def _case(name: str, found: dict[int, Path], count: int, masks: Path, split: str | None) -> Case:
    """Files that are missing are listed all the same: `check` names them."""
    some = next(iter(found.values()))
    suffix = some.name[len(stem_of(some)) :]
    if len(found) == 1 and 0 in found and count > 1 and suffix_of(some) in (".png", ".bmp", ".tif", ".tiff"):
        images: tuple[Path, ...] = (found[0],)  # nnU-Net keeps red, green and blue in one picture
    else:
        images = tuple(found.get(k, some.with_name(f"{name}_{k:04d}{suffix}")) for k in range(count))
    mask = masks / f"{name}{suffix}"
    return Case(name, images, mask if mask.is_file() or split is None else None, name, split)
