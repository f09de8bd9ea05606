"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped.

Headers are parsed in `nifti_header` and written by nibabel; bytes go through isal, which is
several times as fast as zlib. Arrays are only transposed, never flipped: (i, j, k) becomes (z, y, x), and the
RAS affine becomes LPS with its columns permuted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError, ReadError
from calque.geometry import Affine, Grid
from calque.io.model import Header, Volume
from calque.io.nifti_header import RawHeader, parse, size_and_order
from calque.io.stream import check_capacity, open_bytes, read_exactly

if TYPE_CHECKING:
    from nibabel import Nifti1Header

_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units & 7: unknown (taken as mm), m, mm, micrometres
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ZYX_TO_IJK = np.eye(4)[[2, 1, 0, 3]]
_CHUNK = 2**20
_LARGEST_AXIS = 32767  # NIfTI-1 counts voxels in 16 bits
_OTHER_TYPES = {
    1: "bits", 32: "complex64", 128: "RGB", 1536: "float128", 1792: "complex128", 2048: "complex256",
    2304: "RGBA",
}  # fmt: skip
_WRITTEN_AS = {"b1": "u1", "f2": "f4"}  # types that NIfTI lacks -> the next that holds their values


@dataclass(frozen=True)
class _Layout:
    """Where the voxels of a file lie and how they become values.

    `shape` is (channel, z, y, x); `slope` and `inter` are None where stored values are meant as they are.
    """

    header: Header
    shape: tuple[int, int, int, int]
    stored: np.dtype[np.generic]
    offset: int
    slope: float | None
    inter: float


def read(path: Path) -> Volume:
    """Read voxels and header; integers stay integers unless the header asks for scaling.

    Raises:
        ReadError: missing, damaged, truncated or not a NIfTI file.
        GeometryError: the header gives no position, or an impossible one.
    """
    with open_bytes(path) as stream:
        layout, position = _layout(stream, path)
        size = prod(layout.shape) * layout.stored.itemsize
        check_capacity(path, layout.offset + size)
        read_exactly(stream, layout.offset - position, path)  # extensions
        data = read_exactly(stream, size, path)
        while stream.read(_CHUNK):  # to the end of a gzip stream, where its checksum is verified
            pass
    array = data.view(layout.stored).reshape(layout.shape)
    return Volume(_values(array, layout), layout.header)


def read_header(path: Path) -> Header:
    """Read the header alone: the first bytes of the file.

    Raises:
        ReadError: missing, damaged or not a NIfTI file.
        GeometryError: the header gives no position, or an impossible one.
    """
    with open_bytes(path) as stream:
        layout, _ = _layout(stream, path)
    check_capacity(path, layout.offset + prod(layout.shape) * layout.stored.itemsize)
    return layout.header


def write(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write (channel, z, y, x); several channels become the fourth axis. Same values, same bytes.

    Booleans are written as uint8 and float16 as float32, which hold the same values.

    Raises:
        GeometryError: an axis is too long for NIfTI-1.
        InputError: values of a type that NIfTI cannot hold.
    """
    header = _header_to_write(array, grid, path)
    voxels = np.ascontiguousarray(array, dtype=header.get_data_dtype())
    head = header.binaryblock + bytes(4)  # four zeros: no extensions
    with path.open("wb") as raw:
        if not path.name.lower().endswith(".gz"):
            raw.write(head)
            raw.write(voxels.data)
            return
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=2, fileobj=raw, mtime=0) as zipped:
            zipped.write(head)
            zipped.write(voxels.data)


def _layout(stream: BinaryIO, path: Path) -> tuple[_Layout, int]:
    """Parse the header; also the number of bytes that were consumed."""
    raw, consumed = _raw_header(stream, path)
    stored = _stored_type(raw, path)
    channels, shape = _extents(raw, path)
    slope, inter = _scaling(raw)
    scaled = slope is not None
    value_type = _scaled_type(stored) if scaled else stored.newbyteorder("=")
    grid, disagreement = _grid(raw, shape, path)
    offset = raw.vox_offset
    if not consumed <= offset < 2**40 or offset != int(offset):
        raise _not_nifti(path, f"voxels that start at byte {offset:g}")
    header = Header(grid, channels, value_type, disagreement)
    return _Layout(header, (channels, *shape), stored, int(offset), slope, inter), consumed


def _raw_header(stream: BinaryIO, path: Path) -> tuple[RawHeader, int]:
    """The header, unchecked, and its bytes."""
    block = stream.read(348)
    found = size_and_order(block)
    if found is None:
        raise _not_nifti(path, f"first bytes {block[:4]!r}")
    size, order = found
    block += stream.read(size - len(block))
    if len(block) < size:
        raise _not_nifti(path, f"{len(block)} bytes of header")
    raw = parse(block, size, order)
    if raw.magic[:3] not in (b"n+1", b"n+2"):
        raise _not_nifti(path, f"magic {raw.magic!r}")
    return raw, size


def _stored_type(raw: RawHeader, path: Path) -> np.dtype[np.generic]:
    stored = raw.stored
    if stored is None and raw.datatype not in _OTHER_TYPES:
        raise _not_nifti(path, f"type of voxels {raw.datatype}")
    if stored is None:
        raise ReadError(
            "Voxels of this type are not supported",
            where=path,
            got=_OTHER_TYPES[raw.datatype],
            expected="integers or real numbers of up to 64 bits, one per voxel and channel",
            fix="export the scan as plain integers or floats",
        )
    return stored


def _extents(raw: RawHeader, path: Path) -> tuple[int, tuple[int, int, int]]:
    """Channels and (z, y, x). Channels lie on the fourth axis, or on the fifth (vectors)."""
    count = raw.dim[0]
    if not 1 <= count <= 7:
        raise _not_nifti(path, f"{count} dimensions")
    i, j, k, *others = (*raw.dim[1 : count + 1], *[1] * (7 - count))
    if min(i, j, k, *others) < 1:
        raise _not_nifti(path, f"dimensions {list(raw.dim[1 : count + 1])}")
    if sum(n > 1 for n in others) > 1:
        raise ReadError(
            "This file has more than one axis beyond space",
            where=path,
            got=list(raw.dim[1 : count + 1]),
            expected="three axes in space and at most one of channels",
        )
    return max(others), (k, j, i)


def _scaling(raw: RawHeader) -> tuple[float | None, float]:
    """Slope and intercept; slope None where there is nothing to do (zero or no number means unset)."""
    slope, inter = raw.scl_slope, raw.scl_inter
    inter = inter if np.isfinite(inter) else 0.0
    if slope == 0 or not np.isfinite(slope) or (slope == 1 and inter == 0):
        return None, 0.0
    return slope, inter


def _scaled_type(stored: np.dtype[np.generic]) -> np.dtype[np.generic]:
    return np.result_type(stored.newbyteorder("="), np.float32)  # float64 for integers of 32 bits and more


def _values(array: NDArray[np.generic], layout: _Layout) -> NDArray[np.generic]:
    values = array.astype(layout.header.dtype, copy=False)
    if layout.slope is not None:
        kind = layout.header.dtype.type
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is for `check` to report
            values = values * kind(layout.slope) + kind(layout.inter)
    return values


def _grid(raw: RawHeader, shape: tuple[int, int, int], path: Path) -> tuple[Grid, float]:
    """The grid in LPS mm and the gap between sform and qform, mm."""
    scale = _UNITS.get(raw.xyzt_units & 7, 1.0)
    sform = raw.sform if raw.sform_code > 0 else None
    try:
        qform = raw.qform if raw.qform_code > 0 else None
    except ValueError as problem:
        if sform is None:
            raise GeometryError("The header's rotation is impossible", where=path, got=problem) from None
        return _to_grid(sform, shape, scale, path), float("inf")
    best = qform if sform is None else sform
    if best is None:
        raise GeometryError(
            "The header does not say where the voxels are in the patient",
            where=path,
            got="sform and qform codes of 0",
            expected="an sform or a qform",
            fix="export the scan again from its source, or set its orientation after looking at it",
        )
    grid = _to_grid(best, shape, scale, path)
    if sform is None or qform is None:
        return grid, 0.0
    with np.errstate(all="ignore"):
        gap = np.abs((sform - qform) @ _corners(shape)).max() * scale
    return grid, float(gap) if np.isfinite(gap) else float("inf")


def _corners(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(4, 8): homogeneous (i, j, k) of the corner voxels."""
    k, j, i = shape
    mesh = np.meshgrid((0, i - 1), (0, j - 1), (0, k - 1), (1,))
    return np.array(mesh, dtype=np.float64).reshape(4, -1)


def _to_grid(ras: Affine, shape: tuple[int, int, int], scale: float, path: Path) -> Grid:
    if not np.isfinite(ras).all():
        raise GeometryError(
            "The header's affine is not finite", where=path, got=ras.tolist(), fix="mend the file's header"
        )
    affine = np.diag([scale, scale, scale, 1.0]) @ _RAS_TO_LPS @ ras @ _ZYX_TO_IJK
    try:
        return Grid(shape, affine)
    except GeometryError as problem:
        raise GeometryError(
            problem.what, where=path, expected=problem.expected, got=problem.got, fix="mend the file's header"
        ) from None


def _header_to_write(array: NDArray[np.generic], grid: Grid, path: Path) -> Nifti1Header:
    from nibabel import Nifti1Header  # slow to import, and for writing alone

    channels, k, j, i = array.shape
    if max(array.shape) > _LARGEST_AXIS:
        raise GeometryError(
            "This image is too large for NIfTI-1",
            where=path,
            got=array.shape,
            expected=f"at most {_LARGEST_AXIS} voxels along an axis",
        )
    header = Nifti1Header()
    wanted = np.dtype(_WRITTEN_AS.get(array.dtype.str[1:], array.dtype))
    if wanted.kind not in "iuf" or wanted.itemsize > 8:
        raise InputError("NIfTI cannot hold values of this type", where=path, got=array.dtype)
    header.set_data_dtype(wanted.newbyteorder("="))
    header.set_data_shape((i, j, k) if channels == 1 else (i, j, k, channels))
    header.set_xyzt_units("mm")
    affine = _RAS_TO_LPS @ grid.affine @ _ZYX_TO_IJK
    header.set_qform(affine, code="scanner")
    gap = np.abs((header.get_qform() - affine) @ _corners(grid.shape)).max()
    if not gap <= 5e-4 * min(grid.spacing):  # sheared axes, or a turn that is lost in a float32 quaternion
        header["qform_code"] = 0  # the sform alone is given, rather than two places that differ
    header.set_sform(affine, code="scanner")
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1.0, 0.0, 352
    return header


def _not_nifti(path: Path, got: object) -> ReadError:
    return ReadError(
        "This is not a NIfTI file, or its header is damaged",
        where=path,
        got=got,
        fix="export or download it again",
    )
