"""What a file holds, told from its first bytes and not from its name."""

from __future__ import annotations

import zlib
from pathlib import Path

from calque.io import suffix_of

_HEAD = 4096
_GZIP = b"\x1f\x8b"
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"BM", ".bmp"),
    (0, b"II*\x00", ".tif"),
    (0, b"MM\x00*", ".tif"),
    (0, b"II+\x00", ".tif"),
    (0, b"MM\x00+", ".tif"),
    (0, b"NRRD", ".nrrd"),
    (0, b"ObjectType", ".mha"),
    (0, b"NDims", ".mha"),
    (0, b"\x93NUMPY", ".npy"),
    (128, b"DICM", ".dcm"),
    (344, b"n+1\x00", ".nii"),
    (4, b"n+2\x00", ".nii"),
)
"""Offset, bytes, the suffix that a file with these bytes should have."""

_SAME = ({".jpg", ".jpeg"}, {".tif", ".tiff", ".ome.tif", ".ome.tiff"}, {".mha", ".mhd"})
"""Suffixes that stand for one content."""


def suffix_of_content(path: Path) -> str | None:
    """The suffix that this file's bytes ask for, such as ".nii.gz"; None where they tell nothing.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_GZIP):
        inside = _known(_unzipped(head))
        return None if inside is None else f"{inside}.gz"
    return _known(head)


def belies_its_name(path: Path) -> str | None:
    """The suffix that the content asks for, where it is known and another than the name's."""
    content, named = suffix_of_content(path), suffix_of(path)
    if content is None or named is None or content == named:
        return None
    return None if any({content, named} <= group for group in _SAME) else content


def _known(head: bytes) -> str | None:
    for offset, magic, suffix in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return suffix
    return None


def _unzipped(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 512)
    except zlib.error:
        return b""
