"""What a compressed frame says of itself: its size and kind, and that it is whole.

ISO/IEC 10918-1 (JPEG), 14495-1 (JPEG-LS) and 15444-1 (JPEG 2000) begin with a marker and give the size in the
header of the frame; decoders follow it and fill up what is missing, whatever DICOM's header says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_END_OF_IMAGE = b"\xff\xd9"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # start of frame; F7: JPEG-LS
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def is_whole(frame: bytes) -> bool:
    """Whether the frame ends as it should."""
    return frame.rstrip(b"\0").endswith(_END_OF_IMAGE)


@dataclass(frozen=True)
class Announced:
    """What the header of a compressed frame says."""

    rows: int
    columns: int
    samples: int
    bits: int


def announced_by(frame: bytes) -> Announced | None:
    """The frame's own header; None where it is of another kind (RLE, boxed JPEG 2000) and has none."""
    try:
        if frame.startswith(_JPEG_2000):
            right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
            samples, depth = struct.unpack_from(">HB", frame, 40)
            return Announced(bottom - top, right - left, samples, (depth & 0x7F) + 1)
        return _of_jpeg(frame) if frame.startswith(_JPEG) else None
    except struct.error:
        return None  # cut off: the decoder says so


def _of_jpeg(frame: bytes) -> Announced | None:
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
        elif marker in _FRAMES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Announced(rows, columns, samples, bits)
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None
