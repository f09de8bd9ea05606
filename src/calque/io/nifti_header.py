"""The header of a NIfTI file: what it says, as numbers, and the two places that it may give.

Parsed here and not by nibabel, whose import alone takes longer than a hundred small files to be read; nibabel
writes, and judges this in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Affine

SIZES = (348, 540)
"""Bytes of the header of NIfTI-1 and NIfTI-2, which it begins with."""

_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip

_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

_Fields = dict[str, tuple[str, int]]

# name -> type and first byte, of NIfTI-1 and of NIfTI-2
_FIRST: _Fields = {
    "dim": ("(8,)i2", 40), "datatype": ("i2", 70), "pixdim": ("(8,)f4", 76), "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112), "scl_inter": ("f4", 116), "xyzt_units": ("u1", 123), "qform_code": ("i2", 252),
    "sform_code": ("i2", 254), "quatern": ("(3,)f4", 256), "qoffset": ("(3,)f4", 268),
    "srow": ("(3,4)f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_SECOND: _Fields = {
    "dim": ("(8,)i8", 16), "datatype": ("i2", 12), "pixdim": ("(8,)f8", 104), "vox_offset": ("i8", 168),
    "scl_slope": ("f8", 176), "scl_inter": ("f8", 184), "xyzt_units": ("i4", 500), "qform_code": ("i4", 344),
    "sform_code": ("i4", 348), "quatern": ("(3,)f8", 352), "qoffset": ("(3,)f8", 376),
    "srow": ("(3,4)f8", 400), "magic": ("S4", 4),
}  # fmt: skip


def _record(fields: _Fields, size: int, order: Literal["little", "big"]) -> np.dtype[np.void]:
    formats = [np.dtype(kind).newbyteorder(order) for kind, _ in fields.values()]
    offsets = [offset for _, offset in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


_RECORDS = {
    (size, order): _record(fields, size, order)
    for size, fields in zip(SIZES, (_FIRST, _SECOND), strict=True)
    for order in _ORDERS
}


@dataclass(frozen=True)
class RawHeader:
    """What the header says, unchecked.

    Args:
        dim: how many axes, then the extents of seven.
        datatype: the code of the voxels' type.
        little: whether bytes are stored least first.
        pixdim: handedness, then spacing.
        vox_offset: where the voxels begin.
        scl_slope: stored values are multiplied by it; 0 or no number: meant as they are.
        scl_inter: added to them.
        xyzt_units: code of the units.
        qform_code: above 0: `qform` is meant.
        sform_code: above 0: `sform` is meant.
        quatern: b, c, d of the rotation.
        qoffset: RAS position of the first voxel.
        sform: (4, 4), (i, j, k) to RAS.
        magic: what sort of file it is.
    """

    dim: tuple[int, ...]
    datatype: int
    little: bool
    pixdim: tuple[float, ...]
    vox_offset: float
    scl_slope: float
    scl_inter: float
    xyzt_units: int
    qform_code: int
    sform_code: int
    quatern: tuple[float, ...]
    qoffset: tuple[float, ...]
    sform: Affine
    magic: bytes

    @property
    def stored(self) -> np.dtype[np.generic] | None:
        """Type of a voxel; None for what is no integer or real number of up to 64 bits."""
        kind = _TYPES.get(self.datatype)
        return None if kind is None else np.dtype(kind).newbyteorder("<" if self.little else ">")

    @property
    def qform(self) -> Affine:
        """(4, 4), (i, j, k) to RAS, from the quaternion, as the standard says.

        Raises:
            ValueError: no rotation has this quaternion, a spacing is negative or the handedness no sign.
        """
        if min(self.pixdim[1:4]) < 0:
            raise ValueError("a negative spacing")
        if self.pixdim[0] not in (-1.0, 1.0):
            raise ValueError(f"a handedness (pixdim[0]) of {self.pixdim[0]:g}")
        affine = np.eye(4)
        sizes = np.array(self.pixdim[1:4]) * (1.0, 1.0, self.pixdim[0])
        affine[:3, :3] = rotation(self.quatern, single=self.magic[:3] == b"n+1") * sizes
        affine[:3, 3] = self.qoffset
        return affine


def size_and_order(first: bytes) -> tuple[int, Literal["little", "big"]] | None:
    """Bytes of the header and "little" or "big", by its first four bytes; None if this is no header."""
    for order in _ORDERS:
        size = int.from_bytes(first[:4], order)
        if size in SIZES:
            return size, order
    return None


def parse(block: bytes, size: int, order: Literal["little", "big"]) -> RawHeader:
    """The header in these bytes."""
    raw = np.frombuffer(block, _RECORDS[size, order], count=1)[0]
    values = dict(zip(raw.dtype.names, raw.item(), strict=True))
    sform = np.eye(4)
    sform[:3] = values.pop("srow")
    dim, magic = (int(n) for n in values.pop("dim")), raw["magic"].tobytes()
    lists = {name: tuple(float(v) for v in values.pop(name)) for name in ("pixdim", "quatern", "qoffset")}
    values |= {**lists, "dim": tuple(dim), "magic": magic, "sform": sform, "little": order == "little"}
    return RawHeader(**values)


def rotation(quatern: tuple[float, ...], single: bool) -> NDArray[np.float64]:
    """(3, 3) of the unit quaternion of which b, c and d are given.

    In extended precision, for a is the root of a difference.

    Args:
        quatern: b, c, d.
        single: whether they were stored in single precision.

    Raises:
        ValueError: they are longer than 1.
    """
    x, y, z = (np.longdouble(v) for v in quatern)
    square = 1.0 - (x * x + y * y + z * z)
    if abs(square) < 3 * float(np.finfo(np.float32 if single else np.float64).eps):
        w = np.longdouble(0)
    elif not square >= 0:
        raise ValueError(f"a quaternion of which the last square is {float(square):g}")
    else:
        w = np.sqrt(square)
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
        ],
        dtype=np.float64,
    )
