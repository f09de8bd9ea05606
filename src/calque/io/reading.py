"""Files to `Image` and `LabelMap`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError, LabelError, ReadError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io.coding import decode
from calque.io.dicom.label_files import read_structure_labels
from calque.io.dicom.labelling import EVERY, Choice
from calque.io.dicom.objects import structures_kind
from calque.io.dicom.source import as_source, stack_of
from calque.io.dicom.structures import Reference
from calque.io.formats import format_of, suffix_of
from calque.io.kept import read_kept
from calque.io.model import Header, Volume
from calque.labels import BACKGROUND, PLAIN, Coding, Labels, present_values

_LARGEST_VALUE = 65535
_MOST_CLASSES = 1000  # more distinct values are a scan, not a mask
_WHOLE = 1e-4  # how far from a whole number a float mask may be: rounding of 32-bit arithmetic


def read_volume(path: Path) -> Volume:
    """The voxels (channel, z, y, x) of one file and its header, as they are.

    Raises:
        ReadError: missing, damaged, truncated (TruncatedError) or of an unknown format.
        GeometryError: the header gives no position, or an impossible one.
    """
    return read_kept(path, format_of(path).read)


def read_mask_volume(path: Path) -> Volume:
    """As `read_volume`, but in a mask a palette's indices are the values, not its colours."""
    chosen = format_of(path)
    return read_kept(path, chosen.read_mask or chosen.read)


def read_header(path: Path | str) -> Header:
    """Grid, channels and type of a file; voxels are not read.

    Raises:
        ReadError: missing, damaged or of an unknown format.
        GeometryError: the header gives no position, or an impossible one.
    """
    return format_of(Path(path)).read_header(Path(path))


def read_image(path: Path | str | Sequence[Path | str], channels: Sequence[str] | None = None) -> Image:
    """Read a scan from one file, or from several that hold one channel each.

    Args:
        path: a file with all its channels, or a file per channel.
        channels: their names; by default the file's own ("red", "green", "blue"), else "channel 1", ...

    Raises:
        ReadError: a file is missing, damaged, truncated or of an unknown format.
        GeometryError: a grid is impossible, or the grids of two files differ.
        InputError: there are not as many names as channels.
    """
    paths = [Path(path)] if isinstance(path, Path | str) else [Path(p) for p in path]
    if not paths:
        raise InputError("An image needs at least one file")
    volumes = [read_volume(p) for p in paths]
    array = volumes[0].array if len(volumes) == 1 else _stacked(volumes, paths)
    names = tuple(channels) if channels is not None else _own_names(volumes, len(array))
    if len(names) != len(array):
        raise InputError(
            "The image does not have the channels that were expected",
            where=", ".join(map(str, paths)),
            expected=f"{len(names)}: {', '.join(names)}",
            got=f"{len(array)} channels",
        )
    return Image(array, volumes[0].header.grid, names, volumes[0].header.placed)


def _own_names(volumes: Sequence[Volume], count: int) -> tuple[str, ...]:
    names = volumes[0].header.names
    return (
        names if len(volumes) == 1 and names is not None else tuple(f"channel {k + 1}" for k in range(count))
    )


def _stacked(volumes: Sequence[Volume], paths: Sequence[Path]) -> NDArray[np.generic]:
    """One array (channel, z, y, x) of single-channel volumes on one grid."""
    for volume, path in zip(volumes, paths, strict=True):
        if volume.header.channels != 1:
            raise ReadError(
                "Of several files, each holds one channel",
                where=path,
                got=f"{volume.header.channels} channels",
            )
        if not volume.header.grid.isclose(volumes[0].header.grid):
            raise grids_differ(volumes[0].header, paths[0], volume.header, path)
    return np.concatenate([volume.array for volume in volumes])


def grids_differ(one: Header, first: Path, other: Header, second: Path) -> GeometryError:
    """The error for two files that should lie on one grid."""
    return GeometryError(
        "Two files do not lie on the same grid",
        where=f"{first} and {second}",
        expected=f"{one.grid.shape} voxels of {_millimetres(one)} from {one.grid.origin.round(2).tolist()}",
        got=f"{other.grid.shape} voxels of {_millimetres(other)} from {other.grid.origin.round(2).tolist()}",
        fix="resample one onto the grid of the other",
    )


def _millimetres(header: Header) -> str:
    return " x ".join(f"{s:.4g}" for s in header.grid.spacing) + " mm"


def read_labels(
    path: Path | str,
    labels: Labels | None = None,
    coding: Coding = PLAIN,
    *,
    reference: Path | str | Grid | Reference | None = None,
    choice: Choice = EVERY,
) -> LabelMap:
    """Read a mask; its type becomes the smallest unsigned one.

    A DICOM SEG or RTSTRUCT is placed on the grid of its reference, without resampling; see `calque.io.dicom`.

    Args:
        path: a file with one channel, or a picture whose red, green and blue are equal; floats are accepted
            where all are whole.
        labels: what the values mean. None: each value above 0 becomes a class "class N" (an empty mask gets
            "class 1").
        coding: what stored values or colours stand for, where the mask does not hold label values itself.
        reference: of a SEG or RTSTRUCT: the series that it belongs to, or another image on the same grid, or
            the grid. A SEG needs none. Other masks lie where they say.
        choice: of a SEG or RTSTRUCT: which structures, and how overlaps are decided.

    Raises:
        LabelError: values that are fractional, negative, too large or not declared; colours without a coding;
            structures that overlap without a choice, or are not there.
        ReadError: missing, damaged, truncated or of an unknown format.
        GeometryError: the header gives no position, or an impossible one.
    """
    path = Path(path)
    if is_structures(path):
        found = read_structure_labels(path, as_reference(reference), labels, coding, choice)
        return found.require_decided(path)
    volume = read_mask_volume(path)
    array = label_values(volume, path, coding)
    if labels is None:
        labels = derive_labels(present_values(array), path)
    else:
        labels.require_declared(array, where=path)
    return LabelMap(array, volume.header.grid, labels)


def is_structures(path: Path) -> bool:
    """Whether this file is a DICOM SEG or RTSTRUCT; of other formats only the name is looked at."""
    suffix = suffix_of(path)
    return (suffix is None or suffix == ".dcm") and structures_kind(path) is not None


def as_reference(source: Path | str | Grid | Reference | None) -> Reference | None:
    """Where structures are to be placed, from whatever tells it.

    Raises:
        ReadError, GeometryError: an image that tells it cannot be read.
    """
    if source is None or isinstance(source, Reference):
        return source
    if isinstance(source, Grid):
        return Reference(source)
    if as_source(source) is None:
        return Reference(read_header(source).grid)
    stack = stack_of(Path(source))
    return Reference(stack.grid, stack)


def label_values(volume: Volume, where: Path, coding: Coding = PLAIN) -> NDArray[np.unsignedinteger]:
    """(z, y, x): the label values of a mask as read, in the smallest unsigned type.

    Raises:
        LabelError: several channels, or values that cannot be labels; see `read_labels`.
    """
    array = decode(volume, coding, where)
    return to_label_values(array, where)


def derive_labels(values: Sequence[int], where: Path) -> Labels:
    """A class "class N" for each value N above 0; "class 1" alone where there is none.

    Raises:
        LabelError: so many values that this must be a scan.
    """
    found = [v for v in values if v != BACKGROUND] or [1]
    if len(found) > _MOST_CLASSES:
        raise LabelError(
            "This looks like a scan, not like a mask",
            where=where,
            got=f"{len(found)} different values",
            expected=f"at most {_MOST_CLASSES}",
        )
    return Labels.from_names({f"class {v}": v for v in found})


def to_label_values(array: NDArray[np.generic], where: Path) -> NDArray[np.unsignedinteger]:
    """The same values in the smallest unsigned type (uint8 or uint16).

    Raises:
        LabelError: values that are fractional, not finite, negative or above 65535.
    """
    low, high = float(np.min(array)), float(np.max(array))
    if not np.isfinite((low, high)).all():
        raise LabelError("The mask holds NaN or infinity", where=where, fix="export the mask as integers")
    if low < -_WHOLE or high > _LARGEST_VALUE + _WHOLE:
        raise LabelError(
            "The mask holds values that cannot be labels",
            where=where,
            expected=f"0 to {_LARGEST_VALUE}",
            got=f"{low:g} to {high:g}",
        )
    small = np.uint8 if high < 255.5 else np.uint16
    if array.dtype.kind != "f":
        return array.astype(small, copy=False)
    whole = np.rint(array)
    gap = np.abs(array - whole)
    if float(gap.max()) > _WHOLE:
        raise LabelError(
            "The mask holds values that are not whole",
            where=where,
            got=f"{float(array.flat[int(gap.argmax())]):g} among others",
            fix="resample masks with nearest neighbours, and export them as integers",
        )
    return np.asarray(whole.astype(small))
