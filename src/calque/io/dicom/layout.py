"""How the pixels of a file are stored, and where they begin; what is announced is measured first."""

from __future__ import annotations

import os
import struct
from functools import cache
from pathlib import Path
from typing import BinaryIO

from calque.errors import ReadError, TruncatedError
from calque.io.dicom.model import Layout
from calque.io.dicom.raw import Elements

_MOST_FRAMES = 2**20

_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # little endian, implicit and explicit
_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF

PHOTOMETRIC = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Photometric interpretation -> samples of a pixel."""


def layout_of(elements: Elements, transfer_syntax: str) -> Layout:
    """How pixels are stored, by a data set's own elements.

    Raises:
        ReadError: it does not say so, or they are of a kind that is not supported.
    """
    shorts = {
        name: elements.whole(name)
        for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
    }
    rows, columns, samples, allocated, stored, high = shorts.values()
    samples, photometric = samples or 1, elements.text("PhotometricInterpretation")
    stored = stored or allocated
    if not rows or not columns or allocated is None or stored is None:
        missing = [name for name in ("Rows", "Columns", "BitsAllocated") if not shorts[name]]
        raise ReadError("This image does not say how large it is", where=elements.where, got=f"no {missing}")
    if elements.item("ModalityLUTSequence") is not None:
        raise ReadError(
            "Values of this image go through a table, which is not supported",
            where=elements.where,
            got="ModalityLUTSequence",
            fix="convert it with dcmtk's dcmj2pnm or ask for linear values",
        )
    known = photometric in PHOTOMETRIC and samples == PHOTOMETRIC[photometric]
    sound = allocated in (8, 16, 32) and 0 < stored <= allocated and high in (None, stored - 1)
    if not known or not sound:
        raise ReadError(
            "Pixels of this kind are not supported",
            where=elements.where,
            expected=f"grey or colours of 8, 16 or 32 bits: {', '.join(PHOTOMETRIC)}",
            got=f"{photometric or 'no PhotometricInterpretation'}, {samples} samples, {allocated} bits "
            f"allocated, {stored} stored, high bit {high}",
        )
    signed = elements.whole("PixelRepresentation") == 1
    return _one_layout(rows, columns, samples, photometric, allocated, stored, signed, transfer_syntax)


_one_layout = cache(Layout)


def pixels_begin(file: BinaryIO, layout: Layout, frames: int, path: Path) -> int | None:
    """Where the bytes of the first frame begin; None where they are compressed.

    Nothing that is announced is allocated before the file was seen to hold it.

    Raises:
        TruncatedError: the file ends before its pixels do.
        ReadError: there are no pixels, or other many than announced.
    """
    if layout.transfer_syntax == "1.2.840.10008.1.2.1.99":  # deflated: pydicom inflates the whole file
        return None
    if not 0 < frames <= _MOST_FRAMES:
        raise ReadError("This is no possible number of frames", where=path, got=frames)
    head = file.read(12)
    order = ">" if layout.transfer_syntax == "1.2.840.10008.1.2.2" else "<"
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != _PIXEL_DATA:
        raise TruncatedError("This image has no pixels", where=path, fix="copy or export it again")
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    length = struct.unpack(order + "I", head[8:12] if explicit else head[4:8])[0]
    start = file.tell() - (0 if explicit else 4)
    if length == _UNDEFINED:
        return None
    needed, there = frames * layout.frame_bytes, os.fstat(file.fileno()).st_size - start
    if layout.photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    if there < min(length, needed):
        raise TruncatedError(
            "The file ends before its pixels do",
            where=path,
            expected=f"{max(length, needed)} bytes",
            got=f"{there}",
            fix="copy it again",
        )
    if not needed <= length < needed + max(needed // frames, 2):
        raise ReadError(
            "There are other many pixels than rows, columns and frames announce",
            where=path,
            expected=f"{needed} bytes",
            got=f"{length}",
            fix="export it again",
        )
    plain = layout.transfer_syntax in _NATIVE and not layout.colour
    return start if plain else None
