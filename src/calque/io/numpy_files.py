"""NumPy arrays: .npz with its geometry inside, .npy with its geometry in a file of JSON beside it.

`case.npz` holds `array`, (z, y, x) or (channel, z, y, x), and `affine` (4, 4) from (z, y, x) to LPS mm, or
`spacing` (z, y, x) in mm. Beside `case.npy`, or an .npz without them, `case.json` has "affine" or "spacing".
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, GeometryError, InputError, ReadError
from calque.geometry import Grid, Shape
from calque.io.model import Header, Volume
from calque.io.stream import read_exactly, truncated

_LARGEST_HEADER = 10_000
_SMALL = 4096  # bytes: an affine is 128


def read(path: Path) -> Volume:
    """Read an array and its geometry.

    Raises:
        ReadError: missing, damaged, truncated, or no array of numbers.
        GeometryError: nothing says where its voxels are.
    """
    with _Source(path) as source:
        header, stored = source.header()
        shape = (header.channels, *header.grid.shape)
        data = read_exactly(source.stream, math.prod(shape) * stored.itemsize, path)
        source.stream.read(1)  # where a zip verifies its checksum
    return Volume(data.view(stored).reshape(shape).astype(header.dtype, copy=False), header)


def read_header(path: Path) -> Header:
    """Read shape, type and geometry.

    Raises:
        ReadError: missing, damaged, or no array of numbers.
        GeometryError: nothing says where its voxels are.
    """
    with _Source(path) as source:
        return source.header()[0]


def write(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write .npz with `array` (channel, z, y, x) and `affine`. Same values, same bytes.

    Raises:
        InputError: values that are no real numbers.
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError("Only real numbers of up to 64 bits are written", got=array.dtype)
    held = array.astype("u1") if array.dtype == np.bool_ else array
    with path.open("wb") as file:
        np.savez(file, array=np.ascontiguousarray(held), affine=np.asarray(grid.affine))


class _Source:
    """One array in a file, and what says where its voxels are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> _Source:
        try:
            if self._path.name.lower().endswith(".npy"):
                self.stream: BinaryIO = self._path.open("rb")
                self._room = self._path.stat().st_size
            else:
                self._zip = zipfile.ZipFile(self._path)
                self.stream, self._room = self._member("array")
        except BaseException as problem:
            self._close()
            raise self._explained(problem) from None
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        self._close()
        if problem is not None:
            explained = self._explained(problem)
            if explained is not problem:
                raise explained from None

    def header(self) -> tuple[Header, np.dtype[Any]]:
        """The header, and the type as stored."""
        shape, fortran, stored = _array_header(self.stream, self._path)
        if fortran and sum(n > 1 for n in shape) > 1:
            raise ReadError(
                "The array is stored in Fortran's order",
                where=self._path,
                fix="save np.ascontiguousarray(array)",
            )
        if stored.kind not in "biuf" or stored.itemsize > 8 or len(shape) not in (3, 4) or min(shape) < 1:
            raise ReadError(
                "This is no array of voxels",
                where=self._path,
                expected="(z, y, x) or (channel, z, y, x) of real numbers of up to 64 bits",
                got=f"{shape} of {stored}",
            )
        announced = math.prod(shape) * stored.itemsize
        if announced > self._room:
            raise truncated(self._path, f"{announced} bytes, as its header announces", f"{self._room}")
        z, y, x = shape[-3:]
        value_type = np.dtype("u1") if stored.kind == "b" else stored.newbyteorder("=")
        channels = shape[0] if len(shape) == 4 else 1
        return Header(self._grid((z, y, x)), channels, value_type), stored

    def _grid(self, shape: Shape) -> Grid:
        inside = {name: self._small(name) for name in ("affine", "spacing")} if self._zip else {}
        geometry = {name: value for name, value in inside.items() if value is not None}
        beside = self._path.with_suffix(".json")
        if not geometry and beside.is_file():
            geometry = _sidecar(beside)
        try:
            if "affine" in geometry:
                return Grid(shape, np.asarray(geometry["affine"], dtype=np.float64))
            if "spacing" in geometry:
                return Grid.from_parts(shape, np.asarray(geometry["spacing"], dtype=np.float64).tolist())
        except (GeometryError, ValueError, TypeError) as problem:
            raise GeometryError("The geometry is impossible", where=self._path, got=problem) from None
        raise GeometryError(
            "Nothing says where these voxels are",
            where=self._path,
            expected='an "affine" (4x4, (z, y, x) to LPS mm) or a "spacing" (z, y, x) in mm',
            fix=f'write {beside.name} beside it, such as {{"spacing": [3.0, 0.8, 0.8]}}',
        )

    def _member(self, name: str) -> tuple[BinaryIO, int]:
        """A member of the zip and how many bytes it can hold."""
        if self._zip is None:
            raise AssertionError("only archives have members")
        names = self._zip.namelist()
        if f"{name}.npy" not in names:
            raise ReadError(
                f"The archive has no array called {name!r}", where=self._path, got=", ".join(names[:8])
            )
        info = self._zip.getinfo(f"{name}.npy")
        return cast(BinaryIO, self._zip.open(info)), min(info.file_size, info.compress_size * 1032)

    def _small(self, name: str) -> NDArray[np.generic] | None:
        if self._zip is None or f"{name}.npy" not in self._zip.namelist():
            return None
        stream, _ = self._member(name)
        with stream:
            array: NDArray[np.generic] = np.lib.format.read_array(
                io.BytesIO(stream.read(_SMALL)), allow_pickle=False
            )
        return array

    def _close(self) -> None:
        if hasattr(self, "stream"):
            self.stream.close()
        if self._zip is not None:
            self._zip.close()

    def _explained(self, problem: BaseException) -> BaseException:
        if isinstance(problem, CalqueError | MemoryError) or not isinstance(problem, Exception):
            return problem
        if isinstance(problem, FileNotFoundError):
            return ReadError("There is no such file", where=self._path)
        if isinstance(problem, EOFError) or "not a zip file" in str(problem):
            return truncated(self._path, got=problem)
        if isinstance(problem, OSError | ValueError | zipfile.BadZipFile | zlib.error | RuntimeError):
            return ReadError(
                "This NumPy file is damaged",
                where=self._path,
                got=problem,
                fix="save it again, without pickles",
            )
        if isinstance(problem, NotImplementedError | KeyError | SyntaxError | TypeError | OverflowError):
            return ReadError("This NumPy file is damaged", where=self._path, got=problem)
        return problem


def _array_header(stream: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ReadError("This version of NumPy's format is unknown", where=path, got=version)
    return readers[version](stream, max_header_size=_LARGEST_HEADER)


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise GeometryError("The geometry beside the array cannot be read", where=path, got=problem) from None
    if not isinstance(document, dict):
        raise GeometryError("The geometry beside the array is no object", where=path)
    return document
