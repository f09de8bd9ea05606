"""Whether a TIFF file is whole: its directories of pages and their tags, without reading a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from calque.errors import ReadError
from calque.io.stream import truncated

_TAG_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # by type of tag


def require_chain(path: Path) -> None:
    """Follow the directories of pages from first to last: tifffile reads what it can where they end early.

    Raises:
        TruncatedError: a directory, or the value of a tag, lies beyond the end of the file.
        ReadError: it is no TIFF file, or the directories go round in a circle.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        order: Literal["little", "big"] = "little" if start[:2] == b"II" else "big"
        version = int.from_bytes(start[2:4], order)
        if start[:2] not in (b"II", b"MM") or version not in (42, 43):
            raise ReadError(
                "This file is not what its name says",
                where=path,
                expected="TIFF",
                got=f"first bytes {start[:8]!r}" if start else "an empty file",
                fix="export it again, or give it the right suffix",
            )
        form = _Directory(order, *((8, 20, 8) if version == 43 else (2, 12, 4)))
        offset = int.from_bytes(start[8:16] if version == 43 else start[4:8], order)
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise ReadError("The pages of this TIFF file go round in a circle", where=path)
            seen.add(offset)
            file.seek(offset)
            needed, offset = form.follow(file, size)
            if needed > size:
                raise truncated(path, f"{needed} bytes, as page {len(seen)} announces", f"{size} bytes")
        if not seen:
            raise truncated(path, "at least one page", "none")


@dataclass(frozen=True)
class _Directory:
    """Byte order, and the bytes of a directory's count, entries and offsets: TIFF 6.0, and BigTIFF."""

    order: Literal["little", "big"]
    count: int
    entry: int
    offset: int

    def follow(self, file: BinaryIO, size: int) -> tuple[int, int]:
        """How many bytes the file must have for the directory that begins here, and where the next one is."""
        begin = file.tell()
        entries = int.from_bytes(file.read(self.count), self.order)
        needed = begin + self.count + entries * self.entry + self.offset
        if needed > size:
            return needed, 0
        block = file.read(entries * self.entry)
        following = int.from_bytes(file.read(self.offset), self.order)
        for at in range(0, len(block), self.entry):
            needed = max(needed, self._end(block[at : at + self.entry]))
        return needed, following

    def _end(self, entry: bytes) -> int:
        """Where the value of a tag ends, if it lies outside the entry; 0 if within."""
        kind = int.from_bytes(entry[2:4], self.order)
        count = int.from_bytes(entry[4 : 4 + self.offset], self.order)
        length = count * _TAG_BYTES.get(kind, 1)
        return int.from_bytes(entry[4 + self.offset :], self.order) + length if length > self.offset else 0
