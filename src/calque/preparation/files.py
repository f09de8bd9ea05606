"""The files of a prepared case: as bytes with check sums, and read again."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import ReadError

_BLOCK = 2**20

Files = dict[str, tuple[memoryview, ...]]
"""Name -> bytes, in parts that are written one after the other."""


def packed(
    image: NDArray[np.generic], labels: NDArray[np.generic], foreground: dict[int, NDArray[np.int32]]
) -> Files:
    """The files of a case: image (channel, z, y, x), labels (z, y, x), class number -> (n, 3) voxels."""
    places: dict[str, Any] = {str(number): at for number, at in foreground.items()}
    zipped = io.BytesIO()
    np.savez(zipped, **places)
    return {"image.npy": _npy(image), "labels.npy": _npy(labels), "foreground.npz": (zipped.getbuffer(),)}


def _npy(array: NDArray[np.generic]) -> tuple[memoryview, ...]:
    """What np.save writes, without a copy of the voxels."""
    array, header = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getbuffer(), array.reshape(-1).view(np.uint8).data


def write(path: Path, parts: Iterable[memoryview]) -> None:
    """Write a file; np.save would lose the error number when the disk is full."""
    with path.open("wb") as file:
        for part in parts:
            file.write(part)


def sum_of(path: Path) -> int:
    """CRC-32 of a file."""
    with path.open("rb") as file:
        return check_sum(iter(partial(file.read, _BLOCK), b""))


def check_sum(parts: Iterable[bytes | memoryview]) -> int:
    """CRC-32 of all parts together."""
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found


@contextmanager
def reading(what: str, where: Path, fix: str) -> Iterator[None]:
    """Reading files of arrays: what NumPy and the system say of missing or damaged ones is a ReadError."""
    try:
        yield
    except (OSError, ValueError) as problem:
        raise ReadError(what, where=where, got=problem, fix=fix) from problem


def mapped(path: Path) -> NDArray[Any]:
    """An array in a file, memory-mapped and read-only."""
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
