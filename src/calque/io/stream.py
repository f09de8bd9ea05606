"""Bytes out of plain and gzipped files, in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from calque.errors import ReadError, ResourceError, TruncatedError

_DEFLATE_LIMIT = 1032  # deflate packs at most 258 bytes into 2 bits: RFC 1951
_ISAL_ERROR = cast(type[Exception], isal_zlib.IsalError)  # its stubs take it for an instance
_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open for reading, through gzip where the name ends in .gz; what the bytes provoke becomes ReadError."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if zipped != path.name.lower().endswith(".gz"):
                found = "gzip-compressed bytes" if zipped else "bytes that are not gzip-compressed"
                raise ReadError(
                    "This file is not what its name says",
                    where=path,
                    got=found if path.stat().st_size else "an empty file",
                    fix="export it again, or give it the right suffix (.nii or .nii.gz)",
                )
            if not zipped:
                yield raw
                return
            with igzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
                yield cast(BinaryIO, unzipped)
    except EOFError:
        raise truncated(path) from None
    except (_ISAL_ERROR, zlib.error, gzip.BadGzipFile) as problem:
        raise ReadError("The compressed data are damaged", where=path, got=problem, fix=_AGAIN) from None
    except FileNotFoundError:
        raise ReadError("There is no such file", where=path) from None
    except OSError as problem:
        raise ReadError("This file cannot be read", where=path, got=problem) from None


def read_exactly(stream: BinaryIO, size: int, path: Path) -> NDArray[np.uint8]:
    """The next `size` bytes, (size,), writable.

    Pages of the result are taken from the system only as bytes arrive, so a header that lies costs nothing.
    """
    try:
        buffer = np.empty(size, dtype=np.uint8)
    except MemoryError:
        raise ResourceError(
            "There is not enough memory for this file", where=path, got=f"{size} bytes"
        ) from None
    view, done = memoryview(buffer.data), 0
    while done < size:
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise truncated(path, f"{size} bytes of voxels", f"{done}")
        done += count
    return buffer


def check_capacity(path: Path, announced: int) -> None:
    """Refuse a file too small to hold `announced` bytes, compressed or not."""
    size = path.stat().st_size
    room = size * _DEFLATE_LIMIT if path.name.lower().endswith(".gz") else size
    if announced > room:
        raise truncated(path, f"{announced} bytes, as its header announces", f"a file of {size} bytes")


def truncated(path: Path, expected: object = None, got: object = None) -> TruncatedError:
    """The error for a file that ends too early."""
    return TruncatedError(
        "This file ends before its data do", where=path, expected=expected, got=got, fix=_AGAIN
    )


_AGAIN = "copy or download it again"
