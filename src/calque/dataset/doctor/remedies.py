"""Remedies: a finding's name -> what mends it in one file of a case, written to a bench."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset.doctor.mask_rules import spread_map
from calque.dataset.doctor.sniff import belies_its_name
from calque.dataset.model import Case, Dataset
from calque.errors import DatasetError
from calque.geometry import Grid
from calque.io import (
    Volume,
    atomic_path,
    format_of,
    read_header,
    read_mask_volume,
    read_volume,
    stem_of,
    suffix_of,
)
from calque.io.reading import to_label_values
from calque.labels import BACKGROUND, present_values


@dataclass(frozen=True)
class Bench:
    """Where one case is mended.

    Args:
        dataset: which it belongs to.
        folder: of the new files.
        renumbered: label value -> new one, in every mask; empty: as they are.
    """

    dataset: Dataset
    folder: Path
    renumbered: dict[int, int]

    def place_for(self, case: Case, file: Path, suffix: str | None = None) -> Path:
        """The new file that replaces `file`."""
        kind = "masks" if file in case.masks else "images"
        if file.parent == self.folder / kind:
            return file.with_name(stem_of(file) + (suffix or _writable(file)))
        several = len(case.images) > 1 if kind == "images" else bool(case.parts)
        place = (case.images if kind == "images" else case.masks).index(file)
        ending = suffix or _writable(file)
        return self.folder / kind / f"{case.id}{f'_{place:04d}' if several else ''}{ending}"


def swapped(case: Case, old: Path, new: Path) -> Case:
    """The case with another file in the place of one."""
    return replace(
        case,
        images=tuple(new if path == old else path for path in case.images),
        label=new if case.label == old else case.label,
        parts=tuple((name, new if path == old else path) for name, path in case.parts),
    )


Mend = tuple[Case, str, Path]


def _suffix(case: Case, file: Path, bench: Bench) -> Mend:
    right = belies_its_name(file)
    target = bench.place_for(case, file, right)
    with atomic_path(target) as aside:
        shutil.copyfile(file, aside)
    return swapped(case, file, target), f"the same bytes with the suffix {right}", target


def written(
    case: Case, file: Path, bench: Bench, array: NDArray[np.generic], grid: Grid
) -> tuple[Case, Path]:
    """An array in the place of a case's file: the case with the new file, and the file."""
    target = bench.place_for(case, file)
    writer = format_of(target).write
    if writer is None:
        raise DatasetError("No file of this format can be written", where=target)
    with atomic_path(target) as aside:
        writer(array, grid, aside)
    if file.parent == target.parent and file != target:
        file.unlink()  # an earlier repair wrote it, under a suffix that cannot hold this one
    return swapped(case, file, target), target


def _writable(file: Path) -> str:
    """The suffix of this file, or one that can be written and loses nothing."""
    chosen = format_of(file)
    if chosen.write is not None:
        return suffix_of(file) or ".nii.gz"
    return ".png" if chosen.picture else ".nii.gz"


def _read(case: Case, file: Path) -> Volume:
    return read_mask_volume(file) if file in case.masks else read_volume(file)


def _grey(case: Case, file: Path, bench: Bench) -> Mend:
    volume = read_mask_volume(file)
    new, target = written(case, file, bench, volume.array[:1], volume.header.grid)
    return new, "one of the equal channels", target


def _integers(case: Case, file: Path, bench: Bench) -> Mend:
    volume = read_mask_volume(file)
    values = to_label_values(volume.array, file)
    new, target = written(case, file, bench, values, volume.header.grid)
    return new, f"the same values as {values.dtype}", target


def _divided(case: Case, file: Path, bench: Bench) -> Mend:
    volume = read_mask_volume(file)
    values = to_label_values(volume.array, file)
    change = spread_map(present_values(values), bench.dataset.labels.values)
    if change is None:
        raise DatasetError("These values are not the classes spread over 0 to 255", where=file)
    new, target = written(case, file, bench, mapped(values, change), volume.header.grid)
    return new, in_words(change), target


def in_words(change: dict[int, int]) -> str:
    """What becomes of values, for people."""
    return ", ".join(f"{old} -> {new}" for old, new in change.items() if old != BACKGROUND)


def mapped(values: NDArray[np.unsignedinteger], change: dict[int, int]) -> NDArray[np.unsignedinteger]:
    """Values exchanged; those that are not listed stay."""
    table = np.arange(max(int(values.max()), *change) + 1)
    for old, new in change.items():
        table[old] = new
    return np.asarray(table.astype(np.uint8 if table.max() < 256 else np.uint16)[values])


def _filled(case: Case, file: Path, bench: Bench) -> Mend:
    volume = read_volume(file)
    array = volume.array.copy()
    for channel in array:
        finite = np.isfinite(channel)
        if not finite.any():
            raise DatasetError("A channel has no finite value to fill holes with", where=file)
        channel[~finite] = channel[finite].min()
    new, target = written(case, file, bench, array, volume.header.grid)
    return new, "the lowest finite value of the channel", target


def _first_grid(case: Case, file: Path, bench: Bench) -> Mend:
    reference = read_header(case.images[0]).grid
    new, target = written(case, file, bench, _read(case, file).array, reference)
    return new, f"the grid of {case.images[0].name}", target


def _one_position(case: Case, file: Path, bench: Bench) -> Mend:
    volume = _read(case, file)
    new, target = written(case, file, bench, volume.array, volume.header.grid)
    return new, "the position of the sform in both fields", target


def _straight(case: Case, file: Path, bench: Bench) -> Mend:
    """This file and all on its grid, so that they still fit each other."""
    skewed = _read(case, file).header.grid
    straight = orthonormal(skewed)
    new, first = case, file
    for path in (*case.images, *case.masks):
        volume = _read(case, path)
        if volume.header.grid.isclose(skewed):
            new, target = written(new, path, bench, volume.array, straight)
            first = target if path == file else first
    return new, "the nearest axes at right angles, about the centre", first


def orthonormal(grid: Grid) -> Grid:
    """The grid with the nearest direction at right angles, same spacing and same centre.

    By singular values: the orthogonal factor of the polar decomposition is the nearest orthogonal matrix in
    the Frobenius norm (Higham 1986, doi:10.1137/0907079).
    """
    left, _, right = np.linalg.svd(grid.direction)
    affine = grid.affine.copy()
    affine[:3, :3] = left @ right * np.asarray(grid.spacing)
    middle = (np.array(grid.shape) - 1) / 2
    affine[:3, 3] = grid.to_world(middle) - affine[:3, :3] @ middle
    return Grid(grid.shape, affine)


MENDERS: dict[str, Callable[[Case, Path, Bench], Mend]] = {
    "wrong-suffix": _suffix,
    "mask-rgb": _grey,
    "labels-scaled": _divided,
    "labels-float": _integers,
    "direction-skewed": _straight,
    "positions-disagree": _one_position,
    "grids-nearly-equal": _first_grid,
    "not-finite": _filled,
}
"""Name of the finding -> what mends it, in this order: what makes a file readable comes first."""
