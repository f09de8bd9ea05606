"""Which files belong to which scan: one file, a file per channel, folders of either."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.dataset.layouts.gather import named
from calque.errors import CalqueError, InputError, ReadError
from calque.io import read_header, stem_of, suffix_of
from calque.io.dicom import find_stacks
from calque.io.dicom.source import as_source

Input = Path | str | Sequence[Path | str]
"""A file, a folder, or the files of one scan in the order of the channels; or a DICOM source."""

_NUMBERED = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Scan:
    """One scan to be predicted.

    Args:
        id: names the outputs.
        paths: a file with every channel, or a file per channel in the model's order.
    """

    id: str
    paths: tuple[Path, ...]


def find_scans(inputs: Path | str | Sequence[Input], channels: Sequence[str]) -> tuple[Scan, ...]:
    """The scans among files and folders, without reading their voxels.

    Files `case_0000`, `case_0001`, ... are the channels of one scan, as in nnU-Net, unless each of them holds
    every channel. In a folder, files whose names contain the channels' names, one each, are one scan, and so
    is each folder within. A folder that holds DICOM is its series. Everything else is a scan by itself.

    Args:
        inputs: a file or folder, or several; an entry that is itself a sequence is one scan's files.
        channels: names of the model's channels.

    Raises:
        ReadError: a path does not exist.
        InputError: a folder without scans, two scans of one name, or files that cannot be told apart.
    """
    entries: Sequence[Input] = [inputs] if isinstance(inputs, Path | str) else inputs
    scans: list[Scan] = []
    loose: list[Path] = []
    for entry in entries:
        if not isinstance(entry, Path | str):
            paths = tuple(_existing(path) for path in entry)
            if not paths:
                raise InputError("A scan has at least one file", got="none")
            scans.append(Scan(_common_name(paths), paths))
        elif (source := as_source(entry)) is not None and (source.wanted or source.base.is_dir()):
            _require_unmixed(source.base)
            scans.append(Scan(source.name, (Path(entry),)))
        elif _existing(entry).is_dir():
            scans += _in_folder(Path(entry), channels)
        else:
            loose.append(Path(entry))
    _refuse_slices(loose)
    scans += _group(loose, channels)
    if not scans:
        raise InputError("There is nothing to predict", expected="at least one scan")
    _refuse_twins(scans)
    return tuple(scans)


def _refuse_slices(files: Sequence[Path]) -> None:
    """Slices that are given one by one would become a scan each.

    Raises:
        InputError: two files are slices of one volume.
    """
    slices = [path for path in files if suffix_of(path) is None and as_source(path) is not None]
    if len(slices) < 2:
        return
    for stack in find_stacks(slices).stacks:
        if len({item.path for item in stack.slices}) > 1:
            raise InputError(
                "These files are slices of one volume",
                where=stack.slices[0].path,
                got=f"{len(stack.slices)} slices",
                fix="give their folder",
            )


def _require_unmixed(folder: Path) -> None:
    """Refuse a folder that holds other scans beside DICOM: it is not clear which are meant.

    Raises:
        InputError: it does.
    """
    if not folder.is_dir():
        return
    others = [*_files(folder), *(file for inner in _folders(folder) for file in _files(inner))]
    if others:
        raise InputError(
            "This folder holds DICOM and other scans",
            where=folder,
            got=others[0].name,
            fix="give the files of one kind, or the folder of the DICOM series alone",
        )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def _existing(path: Path | str) -> Path:
    if not Path(path).exists() and as_source(path) is None:
        raise ReadError("There is no such file or folder", where=path)
    return Path(path)


def _in_folder(folder: Path, channels: Sequence[str]) -> list[Scan]:
    scans = _group(_files(folder), channels, folder.resolve().name)
    for inner in _folders(folder):
        files = _files(inner)
        if len(files) == 1:
            scans.append(Scan(inner.name, tuple(files)))
        elif files:
            scans += _group(files, channels, inner.name)
    if not scans:
        raise InputError("This folder holds no scans that can be read", where=folder)
    return scans


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and suffix_of(path) is not None)


def _group(files: Sequence[Path], channels: Sequence[str], name: str = "") -> list[Scan]:
    """Scans among files of one folder (called `name`), or among files that were given one by one."""
    named = _by_channel_name(files, channels)
    if named is not None:
        return [Scan(name or _common_name(named), named)]
    series: dict[tuple[Path, str], dict[int, Path]] = defaultdict(dict)
    scans = []
    for path in files:
        match = _NUMBERED.fullmatch(stem_of(path))
        if match is None:
            scans.append(Scan(stem_of(path), (path,)))
        else:
            series[path.parent, match[1]][int(match[2])] = path
    _refuse_more_channels(list(series.values()), channels)
    for (_, base), numbered in series.items():
        scans += _from_series(base, numbered, channels)
    return sorted(scans, key=lambda scan: scan.id)


def _from_series(base: str, numbered: dict[int, Path], channels: Sequence[str]) -> list[Scan]:
    """Files `base_NNNN`: the channels of one scan, or scans that are counted."""
    alone = [Scan(stem_of(path), (path,)) for path in numbered.values()]
    if len(channels) == 1:
        return [Scan(base, (numbered[0],))] if list(numbered) == [0] else alone
    if 0 not in numbered or _holds_all(numbered[0], len(channels)):
        return alone
    missing = sorted(set(range(len(channels))) - set(numbered))
    first = numbered[0]
    absent = {k: first.with_name(first.name.replace(f"{base}_0000", f"{base}_{k:04d}", 1)) for k in missing}
    every = {**numbered, **absent}  # a missing channel is named when the scan is read
    return [Scan(base, tuple(every[k] for k in sorted(every)))]


def _holds_all(path: Path, channels: int) -> bool:
    try:
        return read_header(path).channels == channels
    except CalqueError:  # a sick file is named when the scan is read
        return False


def _refuse_more_channels(series: Sequence[dict[int, Path]], channels: Sequence[str]) -> None:
    """A model of one channel must not take every channel of several scans for a scan of its own."""
    numbers = {tuple(sorted(numbered)) for numbered in series}
    if len(channels) > 1 or len(series) < 2 or len(numbers) != 1:
        return
    found = numbers.pop()
    if len(found) > 1 and found == tuple(range(len(found))):
        raise InputError(
            "These scans have more channels than the model",
            where=series[0][0].parent,
            expected=f"1 channel: {channels[0]}",
            got=f"{len(found)} numbered files per scan: {', '.join(p.name for p in series[0].values())}",
            fix="give the files of the right channel only",
        )


def _by_channel_name(files: Sequence[Path], channels: Sequence[str]) -> tuple[Path, ...] | None:
    """One file per channel, if the names tell; long names first, so that "T1" does not take "T1ce".

    Masks that lie beside the channels, and are named so, are none of them.
    """
    if len(files) > len(channels):
        files = [path for path in files if not named(path).is_mask]
    if len(channels) < 2 or len(files) != len(channels):
        return None
    left, found = list(files), {}
    for channel in sorted(channels, key=len, reverse=True):
        fitting = [path for path in left if channel.casefold() in stem_of(path).casefold()]
        if len(fitting) != 1:
            return None
        found[channel] = fitting[0]
        left.remove(fitting[0])
    return tuple(found[channel] for channel in channels)


def _common_name(paths: Sequence[Path]) -> str:
    """What the names of a scan's files share; the first one's where they share nothing."""
    stems = [stem_of(path) for path in paths]
    length = next((k for k, letters in enumerate(zip(*stems, strict=False)) if len(set(letters)) > 1), None)
    shared = stems[0][: min(map(len, stems)) if length is None else length]
    numbered = _NUMBERED.fullmatch(stems[0])
    if numbered is not None and numbered[2] == "0000":
        return numbered[1]
    return stems[0] if len(paths) == 1 else shared.rstrip("_-. ") or stems[0]


def _refuse_twins(scans: Sequence[Scan]) -> None:
    seen: dict[str, Scan] = {}
    for scan in scans:
        twin = seen.setdefault(scan.id.casefold(), scan)  # some file systems do not tell a from A
        if twin is not scan:
            raise InputError(
                "Two scans would be written to one file",
                where=f"{twin.paths[0]} and {scan.paths[0]}",
                got=scan.id,
                fix="predict them into two folders, or rename one",
            )
