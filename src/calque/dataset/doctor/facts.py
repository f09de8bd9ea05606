"""What one reading of a case's files tells; small enough to be kept for every case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset.doctor.masks import (
    MANY,
    UNSCATTERED,
    MaskFacts,
    count_values,
    equal_channels,
    is_fractional,
    scattering,
)
from calque.dataset.doctor.measures import Spread, at_type_end, looks_lettered, share_at, spread_of
from calque.dataset.doctor.placement import Placement, place
from calque.dataset.doctor.sniff import belies_its_name
from calque.dataset.model import Case, Dataset
from calque.dataset.reading import marked_by
from calque.errors import InputError
from calque.geometry import Grid
from calque.io import Header, Volume, label_values, read_mask_volume, read_volume
from calque.io.dicom.label_files import read_structures
from calque.io.dicom.labelling import Choice, Overlap, label
from calque.io.dicom.source import as_source
from calque.io.dicom.structures import Note
from calque.io.reading import as_reference, is_structures, to_label_values
from calque.labels import PLAIN, Coding


@dataclass(frozen=True)
class ScanFacts:
    """What the voxels of an image tell.

    Args:
        digest: of all of them.
        not_finite: how many are NaN or infinite.
        not_finite_inside: how many of these lie in the mask; None without a mask on the same grid.
        constant: numbers of the channels with one value everywhere.
        spreads: of each channel.
        top: the largest part of a channel's voxels that have its highest value.
        top_is_end: whether that is the largest value that the type holds.
        lettered: whether letters seem to be burned in.
    """

    digest: bytes
    not_finite: int = 0
    not_finite_inside: int | None = None
    constant: tuple[int, ...] = ()
    spreads: tuple[Spread, ...] = ()
    top: float = 0.0
    top_is_end: bool = False
    lettered: bool = False


@dataclass(frozen=True)
class Drawn:
    """What a DICOM SEG or RTSTRUCT tells beside its voxels.

    Args:
        notes: how it was placed and drawn; their names are those of findings.
        undecided: overlaps that nothing decides.
        missing: classes for which it has no structure.
        names: of its structures.
    """

    notes: tuple[Note, ...]
    undecided: tuple[Overlap, ...] = ()
    missing: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileFacts:
    """One file.

    Args:
        path: the file.
        missing: there is no such file.
        problem: why it could not be read, or not as a mask.
        belied: the suffix that its content asks for, where the name has another.
        header: None where it could not be read.
        scan: of an image that could be read.
        mask: of a mask that could be read.
        stands_for: name of the class, of a mask that holds one class alone.
        drawn: of a DICOM SEG or RTSTRUCT.
    """

    path: Path
    missing: bool = False
    problem: InputError | None = None
    belied: str | None = None
    header: Header | None = None
    scan: ScanFacts | None = None
    mask: MaskFacts | None = None
    stands_for: str | None = None
    drawn: Drawn | None = None


@dataclass(frozen=True)
class CaseFacts:
    """A case with what its files told; `masks` has one entry, one for each class, or none."""

    case: Case
    images: tuple[FileFacts, ...]
    masks: tuple[FileFacts, ...]
    placement: Placement | None = None

    @property
    def files(self) -> tuple[FileFacts, ...]:
        """Images, then masks."""
        return (*self.images, *self.masks)

    def sizes(self, dataset: Dataset) -> dict[int, int]:
        """Label value -> voxels, of the declared classes that the masks hold."""
        values = dict(zip(dataset.labels.names, dataset.labels.values, strict=True))
        meant = dict(dataset.rule.coding.values) or {value: value for value in values.values()}
        found: dict[int, int] = {}
        for file in self.masks:
            counts = {} if file.mask is None else file.mask.counts
            if file.stands_for is not None:
                counts = {values[file.stands_for]: sum(n for value, n in counts.items() if value)}
            elif not dataset.rule.coding.colours:
                counts = {meant[stored]: n for stored, n in counts.items() if stored in meant}
            for value, voxels in counts.items():
                found[value] = found.get(value, 0) + voxels
        return {value: voxels for value, voxels in found.items() if value in values.values() and voxels}

    @property
    def headers(self) -> tuple[Header, ...]:
        """Of the images that could be read."""
        return tuple(f.header for f in self.images if f.header is not None)


def inspect(case: Case, dataset: Dataset) -> CaseFacts:
    """Read every file of the case, once; of the voxels, the mask's and one image's are held at a time."""
    masks, marked = _masks(case, dataset)
    images: list[FileFacts] = []
    placement: Placement | None = None
    for path in case.images:
        facts, volume = _opened(path)
        if volume is not None:
            fits = marked is not None and volume.array.shape[1:] == marked.shape
            inside = marked != 0 if marked is not None and fits else None
            facts = replace(facts, scan=_measured(volume, inside))
            if not images and marked is not None and fits:
                placement = place(volume.array, marked, volume.header.grid)
        images.append(facts)
    return CaseFacts(case, tuple(images), masks, placement)


def _masks(case: Case, dataset: Dataset) -> tuple[tuple[FileFacts, ...], NDArray[np.unsignedinteger] | None]:
    """Facts of each mask, and one map of what is marked; None where there is none that could be read."""
    if case.label is not None:
        try:
            drawn = is_structures(case.label)
        except InputError as problem:
            return (FileFacts(case.label, problem=problem),), None
        if drawn:
            facts, marked = _structures(case, case.label, dataset)
        else:
            facts, marked = _mask(case.label, dataset.rule.coding)
        return (facts,), marked
    found: list[FileFacts] = []
    merged: NDArray[np.unsignedinteger] | None = None
    for number, (name, path) in enumerate(case.parts, start=1):
        facts, marked = _part(case, name, path) if is_structures(path) else _mask(path, PLAIN)
        found.append(replace(facts, stands_for=name))
        if marked is not None and merged is None:
            merged = np.zeros(marked.shape, np.uint16)
        if marked is not None and merged is not None and marked.shape == merged.shape:
            merged[marked > 0] = number
    return tuple(found), merged


def _structures(
    case: Case, path: Path, dataset: Dataset
) -> tuple[FileFacts, NDArray[np.unsignedinteger] | None]:
    """Of a SEG or RTSTRUCT, placed on the case's image."""
    rule = dataset.rule
    try:
        structures = read_structures(path, as_reference(case.reference))
        found = label(structures, path, dataset.labels, Choice(priority=rule.priority), rule.coding)
    except InputError as problem:
        return FileFacts(path, problem=problem), None
    drawn = Drawn(structures.notes, found.undecided, found.missing, structures.names)
    array = np.asarray(found.label_map.array)
    return replace(_marked(path, array, found.label_map.grid), drawn=drawn), array


def _part(case: Case, name: str, path: Path) -> tuple[FileFacts, NDArray[np.unsignedinteger] | None]:
    """Of the one structure of a SEG or RTSTRUCT that a class is made of."""
    try:
        inside, header = marked_by(name, path, case.reference)
    except InputError as problem:
        return FileFacts(path, problem=problem), None
    array = inside.view(np.uint8)
    return _marked(path, array, header.grid), array


def _marked(path: Path, array: NDArray[np.unsignedinteger], grid: Grid) -> FileFacts:
    mask = MaskFacts(count_values(array), digest=digest_of(array))
    return FileFacts(path, header=Header(grid, 1, array.dtype), mask=mask)


def _opened(path: Path, read: Callable[[Path], Volume] = read_volume) -> tuple[FileFacts, Volume | None]:
    if not path.is_file() and as_source(path) is None:
        return FileFacts(path, missing=True), None
    try:
        belied = belies_its_name(path)
    except OSError:
        belied = None  # the reader below says why the file cannot be opened
    try:
        volume = read(path)
    except InputError as problem:
        return FileFacts(path, problem=problem, belied=belied), None
    return FileFacts(path, belied=belied, header=volume.header), volume


def _measured(volume: Volume, inside: NDArray[np.bool_] | None) -> ScanFacts:
    array = volume.array
    ranges = [(channel.min(), channel.max()) for channel in array]
    sick = [k for k, limits in enumerate(ranges) if not np.isfinite(limits).all()]
    holes = [~np.isfinite(array[k]) for k in sick]
    tops = [(share_at(channel, high), high) for channel, (_, high) in zip(array, ranges, strict=True)]
    share, highest = max(tops, key=lambda top: top[0])
    return ScanFacts(
        digest=digest_of(array),
        not_finite=sum(int(np.count_nonzero(hole)) for hole in holes),
        not_finite_inside=None if inside is None else sum(int((hole & inside).sum()) for hole in holes),
        constant=tuple(k for k, (low, high) in enumerate(ranges) if low == high),
        spreads=tuple(spread_of(channel) for channel in array),
        top=share,
        top_is_end=at_type_end(highest),
        lettered=looks_lettered(array) if not sick else False,
    )


def _mask(path: Path, coding: Coding) -> tuple[FileFacts, NDArray[np.unsignedinteger] | None]:
    facts, volume = _opened(path, read_mask_volume)
    if volume is None:
        return facts, None
    array, grey = volume.array, None
    if len(array) > 1:
        grey = equal_channels(array)
    digest = digest_of(array)
    try:
        if coding.colours:
            values, grey = label_values(volume, path, coding), None
        else:
            values = to_label_values(array[0], path)
    except InputError as problem:
        strays = scattering(array[0]) if is_fractional(array[0]) else UNSCATTERED
        return replace(facts, problem=problem, mask=MaskFacts({}, grey, *strays, digest)), None
    counts = count_values(values)
    strays = scattering(values) if len(counts) > MANY else UNSCATTERED
    return replace(facts, mask=MaskFacts(counts, grey, *strays, digest)), values


def digest_of(array: NDArray[np.generic]) -> bytes:
    """Of shape, type and voxels: equal for equal content, whatever the file around it."""
    digest = hashlib.blake2b(f"{array.shape} {array.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
