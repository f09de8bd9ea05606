"""The series that a SEG or RTSTRUCT was drawn on, found by what the object says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calque.errors import InputError, ReadError
from calque.io.dicom.finding import addressing, find_stacks
from calque.io.dicom.model import Found, Stack
from calque.io.dicom.source import as_source, holds_dicom, stack_of, stacks_of
from calque.io.dicom.ties import read_tie, tied_stacks

_MOST = 20_000
"""Files beside an object that are looked at; where more lie, the series is to be given."""


def series_of(path: Path, where: Path) -> Stack:
    """The volume at `where` on which the SEG or RTSTRUCT `path` was drawn.

    It is the only one there; or that to which the object refers; or, where references match nothing, the only
    one of its patient and frame of reference.

    Args:
        path: the object.
        where: a folder, zip or file of DICOM, or with "@" and the series.

    Raises:
        InputError: none of several fits, or several do.
        CalqueError: there is no DICOM there, or what is there was refused.
    """
    source = as_source(where)
    if source is None:
        raise ReadError("There is no DICOM here", where=where)
    found = stacks_of(source.base)
    if source.wanted is not None or len(found.stacks) == 1 or not found.stacks:
        return stack_of(where)
    return _only(path, found, tied_stacks(read_tie(path), found.stacks), where)


def series_beside(path: Path) -> Stack | None:
    """The volume on which a SEG or RTSTRUCT was drawn, where its files lie in the folder of the object, in
    one below that, or in one beside that; None where none there fits.

    Raises:
        InputError: several fit.
        ReadError: the object is damaged.
    """
    tie = read_tie(path)
    home = path.resolve().parent
    for folders in ([home, *_below(home)], [home.parent, *_below(home.parent)]):
        found = find_stacks(_files(folders))
        fitting = tied_stacks(tie, found.stacks)
        if fitting:
            return _only(path, found, fitting, folders[0])
    return None


def _only(path: Path, found: Found, fitting: Sequence[Stack], where: Path) -> Stack:
    if len(fitting) == 1:
        return fitting[0]
    address = addressing(found)
    listed = [f"{where}@{address(s.series, s.name)}" for s in (fitting or found.stacks)[:8]]
    raise InputError(
        "It is not clear on which series these structures were drawn",
        where=path,
        expected="references to one series, or a series alone in its frame of reference",
        got=f"{len(fitting)} that fit; there are {', '.join(listed)}",
        fix="say which (--reference FOLDER@SERIES; of a report: --images)",
    )


def _below(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and inner.name[0] != ".")


def _files(folders: Sequence[Path]) -> list[Path]:
    """DICOM files of these folders alone; none where there are too many files to look at unasked."""
    files: list[Path] = []
    for folder in folders:
        files += [path for path in folder.iterdir() if path.is_file() and path.suffix.lower() != ".zip"]
        if len(files) > _MOST:
            return []
    return sorted(path for path in files if holds_dicom(path))
