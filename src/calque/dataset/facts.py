"""What one reading of a case's files tells; small enough to be kept for every case."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset.model import Case
from calque.errors import InputError
from calque.io import Header, read_volume
from calque.io.reading import to_label_values
from calque.labels import present_values


@dataclass(frozen=True)
class FileFacts:
    """One file.

    Args:
        path: the file.
        missing: there is no such file.
        problem: why it could not be read, or not as a mask.
        header: None where it could not be read.
        digest: of the voxels.
        not_finite: how many voxels are NaN or infinite.
        constant: numbers of the channels with one value everywhere.
        values: of a mask, ascending.
    """

    path: Path
    missing: bool = False
    problem: InputError | None = None
    header: Header | None = None
    digest: bytes = b""
    not_finite: int = 0
    constant: tuple[int, ...] = ()
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class CaseFacts:
    """A case with what its files told; `mask` is None where the dataset lists none."""

    case: Case
    images: tuple[FileFacts, ...]
    mask: FileFacts | None

    @property
    def files(self) -> tuple[FileFacts, ...]:
        """Images, then the mask."""
        return self.images if self.mask is None else (*self.images, self.mask)

    @property
    def headers(self) -> tuple[Header, ...]:
        """Of the images that could be read."""
        return tuple(f.header for f in self.images if f.header is not None)


def inspect(case: Case) -> CaseFacts:
    """Read every file of the case, once, one after the other."""
    images = tuple(_image(path) for path in case.images)
    return CaseFacts(case, images, None if case.label is None else _mask(case.label))


def _image(path: Path) -> FileFacts:
    if not path.is_file():
        return FileFacts(path, missing=True)
    try:
        volume = read_volume(path)
    except InputError as problem:
        return FileFacts(path, problem=problem)
    ranges = [(channel.min(), channel.max()) for channel in volume.array]
    return FileFacts(
        path,
        header=volume.header,
        digest=_digest(volume.array),
        not_finite=sum(
            0 if np.isfinite(limits).all() else int(np.count_nonzero(~np.isfinite(channel)))
            for limits, channel in zip(ranges, volume.array, strict=True)
        ),
        constant=tuple(k for k, (low, high) in enumerate(ranges) if low == high),
    )


def _mask(path: Path) -> FileFacts:
    if not path.is_file():
        return FileFacts(path, missing=True)
    try:
        volume = read_volume(path)
    except InputError as problem:
        return FileFacts(path, problem=problem)
    try:
        values = present_values(to_label_values(volume.array, path))
    except InputError as problem:
        return FileFacts(path, header=volume.header, problem=problem)
    return FileFacts(path, header=volume.header, values=values)


def _digest(array: NDArray[np.generic]) -> bytes:
    digest = hashlib.blake2b(f"{array.shape} {array.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
