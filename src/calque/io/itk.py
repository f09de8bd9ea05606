"""MetaImage (.mha, .mhd) and NRRD through SimpleITK, the extra `itk`. Positions are LPS there as here."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError, MissingExtraError, ReadError
from calque.geometry import Grid
from calque.io.model import Header, Volume
from calque.io.stream import truncated

_PACKED = 1032  # deflate: see calque.io.stream
_XYZ_TO_ZYX = np.eye(4)[[2, 1, 0, 3]]
_LARGEST_HEADER = 2**16
_BLOCK = 2**20
_STARTS = {".nrrd": b"NRRD000"}


def read(path: Path) -> Volume:
    """Read voxels and header.

    Raises:
        ReadError: missing, damaged or truncated.
        GeometryError: the header gives an impossible position.
        MissingExtraError: SimpleITK is not installed.
    """
    reader, header = _information(path)
    sitk = _simpleitk()
    _check_body(path, header.channels * header.grid.voxels * header.dtype.itemsize)
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as problem:
        raise _damaged(path, problem) from None
    channels = header.channels
    array = np.moveaxis(array, -1, 0) if channels > 1 else array[np.newaxis]
    array = array.reshape(channels, *header.grid.shape)
    return Volume(np.ascontiguousarray(array, dtype=header.dtype), header)


def read_header(path: Path) -> Header:
    """Read the header alone.

    Raises:
        ReadError: missing or damaged.
        GeometryError: the header gives an impossible position.
        MissingExtraError: SimpleITK is not installed.
    """
    return _information(path)[1]


def write(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write (channel, z, y, x), compressed. Same values, same bytes.

    Raises:
        InputError: values of a type that ITK cannot hold.
        GeometryError: a grid whose axes are not at right angles, which these formats cannot say.
        MissingExtraError: SimpleITK is not installed.
    """
    sitk = _simpleitk()
    held = array.astype({"b1": "u1", "f2": "f4"}.get(array.dtype.str[1:], array.dtype), copy=False)
    if held.dtype.kind not in "iuf" or held.dtype.itemsize > 8:
        raise InputError("This format cannot hold values of this type", got=array.dtype)
    direction = grid.direction
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise GeometryError(
            "This format cannot hold a grid whose axes are not at right angles", fix="write .nii.gz"
        )
    several = held.shape[0] > 1
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(np.moveaxis(held, 0, -1) if several else held[0]), isVector=several
    )
    image.SetSpacing([float(s) for s in reversed(grid.spacing)])
    image.SetDirection(direction[:, ::-1].ravel().tolist())
    image.SetOrigin(grid.origin.tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as problem:
        raise InputError("This cannot be written", where=path, got=_last_line(problem)) from None


def _information(path: Path) -> tuple[Any, Header]:
    """A reader that has read the header, and the header; refuses what the file cannot hold."""
    sitk = _simpleitk()
    if not path.is_file():
        raise ReadError("There is no such file", where=path)
    _check_start(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() == ".nrrd" else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as problem:
        raise _damaged(path, problem) from None
    return reader, _header(reader, path)


def _header(reader: Any, path: Path) -> Header:
    sitk = _simpleitk()
    count = int(reader.GetDimension())
    size = [int(n) for n in reader.GetSize()]
    if count not in (2, 3):
        raise ReadError("Only two or three axes in space are understood", where=path, got=size)
    if any(n < 1 for n in size):
        raise _damaged(path, f"size {size}")
    stored = _stored_type(sitk, reader, path)
    channels = int(reader.GetNumberOfComponents())
    _check_capacity(path, math.prod(size) * channels * stored.itemsize)
    affine = np.eye(4)
    direction = np.array(reader.GetDirection()).reshape(count, count)
    affine[:count, :count] = direction * np.array(reader.GetSpacing())
    affine[:count, 3] = reader.GetOrigin()
    x, y, z = (*size, 1)[:3]
    try:
        return Header(Grid((z, y, x), affine @ _XYZ_TO_ZYX), channels, stored)
    except GeometryError as problem:
        raise GeometryError(
            problem.what, where=path, expected=problem.expected, got=problem.got, fix="mend the file's header"
        ) from None


def _stored_type(sitk: Any, reader: Any, path: Path) -> np.dtype[np.generic]:
    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    kinds = {"8-bit": 1, "16-bit": 2, "32-bit": 4, "64-bit": 8}
    bits = next((size for word, size in kinds.items() if word in name), 0)
    kind = "f" if "float" in name else "u" if "unsigned" in name else "i"
    if not bits or "complex" in name:
        raise ReadError("Voxels of this type are not supported", where=path, got=name)
    return np.dtype(f"{kind}{bits}")


def _check_body(path: Path, announced: int) -> None:
    """Refuse files that end before their voxels do, where header and voxels are one file: ITK may not notice.

    Raises:
        TruncatedError: bytes are missing.
        ReadError: compressed data are damaged.
    """
    with path.open("rb") as file:
        head = file.read(_LARGEST_HEADER)
        nrrd = head.startswith(b"NRRD")
        end = re.search(rb"\r?\n\r?\n" if nrrd else rb"ElementDataFile *= *LOCAL[^\n]*\n", head)
        if end is None or (nrrd and re.search(rb"\n *data *file *:", head[: end.end()], re.IGNORECASE)):
            return
        there = path.stat().st_size - end.end()
        packed = re.search(rb"CompressedDataSize *= *(\d+)", head[: end.end()])
        zipped = re.search(rb"\nencoding: *(gz|gzip|bz2|bzip2|txt|text|ascii|hex)\b", head[: end.end()])
        if zipped and zipped[1].startswith(b"gz"):
            file.seek(end.end())
            _check_gzip(file, announced, path)
        elif not zipped and b"CompressedData = True" not in head[: end.end()] and there < announced:
            raise truncated(path, f"{announced} bytes of voxels", there)
        elif packed and there < int(packed[1]):
            raise truncated(path, f"{int(packed[1])} bytes of compressed voxels", there)


def _check_gzip(file: BinaryIO, announced: int, path: Path) -> None:
    """Unfold to the end, where the checksum is; holds a block at a time."""
    done = 0
    try:
        with igzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            while block := unzipped.read(_BLOCK):
                done += len(block)
    except EOFError:
        raise truncated(path) from None
    except Exception as problem:  # isal, zlib and gzip each have their own
        raise _damaged(path, problem) from None
    if done < announced:
        raise truncated(path, f"{announced} bytes of voxels", done)


def _check_start(path: Path) -> None:
    """ITK would read any text as a header."""
    with path.open("rb") as file:
        start = file.read(4096)
    wanted = _STARTS.get(path.suffix.lower())
    right = start.startswith(wanted) if wanted else b"NDims" in start and b"ElementDataFile" in start
    if not right:
        raise _damaged(path, f"first bytes {start[:16]!r}" if start else "an empty file")


def _check_capacity(path: Path, announced: int) -> None:
    """Refuse files too small to hold the voxels, compressed or not; a header may name files beside it."""
    size = path.stat().st_size
    if path.suffix.lower() == ".mhd":
        size = sum(p.stat().st_size for p in path.parent.iterdir() if p.is_file())
    if announced > size * _PACKED:
        raise truncated(path, f"{announced} bytes, as its header announces", f"{size} bytes")


def _damaged(path: Path, problem: object) -> ReadError:
    return ReadError(
        "This file is damaged, or not what its name says",
        where=path,
        got=_last_line(problem),
        fix="export or download it again",
    )


def _last_line(problem: object) -> str:
    return (str(problem).strip().splitlines() or [""])[-1]


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise MissingExtraError("SimpleITK", "itk") from None
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK
