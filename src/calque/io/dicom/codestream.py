"""What a compressed frame says of itself: its size and kind, and that it is whole.

ISO/IEC 10918-1 (JPEG), 14495-1 (JPEG-LS) and 15444-1 (JPEG 2000) begin with a marker and give the size in the
header of the frame; decoders follow it and fill up what is missing, whatever DICOM's header says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_END_OF_IMAGE = b"\xff\xd9"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # start of frame; F7: JPEG-LS
_HUFFMAN, _SCAN = 0xC4, 0xDA
_WITHOUT_TABLES = {0xF7, *range(0xC9, 0xD0)}  # JPEG-LS, arithmetic coding
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def is_whole(frame: bytes) -> bool:
    """Whether the frame ends as it should and, in JPEG, what stands before its first scan is in order."""
    ends = frame.rstrip(b"\0").endswith(_END_OF_IMAGE)
    return ends and (not frame.startswith(_JPEG) or _leads_to_scan(frame))


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
    for marker, body in _segments(frame):
        if marker in _FRAMES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
            return Announced(rows, columns, samples, bits)
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan; stops where one does not follow the other."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        yield marker, frame[at + 4 : end]
        if marker == _SCAN:
            return
        at = end


def _leads_to_scan(frame: bytes) -> bool:
    """Whether segments lead to a scan and its Huffman tables are possible; else gdcm ends the process."""
    tables: set[int] = set()
    kind = None
    for marker, body in _segments(frame):
        if marker in _FRAMES:
            kind = marker
        elif marker == _HUFFMAN:
            found = _tables(body)
            if found is None:
                return False
            tables |= found
        elif marker == _SCAN:
            count = body[0] if body else 0
            used = {byte >> 4 for byte in body[2 : 1 + 2 * count : 2]}
            sound = count > 0 and len(body) == 4 + 2 * count and kind is not None
            return sound and (kind in _WITHOUT_TABLES or used <= tables)
    return False


def _tables(body: bytes) -> set[int] | None:
    """Which Huffman tables of this segment are for differences; None where one is impossible."""
    found, at = set(), 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        room = sum(count / 2 ** (k + 1) for k, count in enumerate(counts))
        if len(counts) < 16 or len(symbols) < sum(counts) or not 0 < room <= 1 or body[at] & 0xEF > 3:
            return None
        if body[at] < 4:
            if max(symbols) > 16:
                return None
            found.add(body[at])
        at += 17 + len(symbols)
    return found
