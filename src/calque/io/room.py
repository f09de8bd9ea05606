"""Is there room on the disk? Asked before hours are spent or gigabytes written."""

from __future__ import annotations

import shutil
from pathlib import Path

from calque.errors import ResourceError


def require_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin where the disk of `folder`, which need not exist yet, has fewer free bytes.

    Args:
        folder: where something will be written.
        needed: bytes.
        what: that is to be written, for people: "the prepared cases".

    Raises:
        ResourceError: there is not enough room.
    """
    place = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ResourceError(
            f"The disk has not enough room for {what}",
            where=folder,
            expected=f"about {size_in_words(needed)}",
            got=f"{size_in_words(free)} free",
            fix="free some space, or choose another folder",
        )


def size_in_words(size: int) -> str:
    """ "28.4 MB", "7.6 GB": decimal units."""
    return f"{size / 10**9:.3g} GB" if size >= 10**9 else f"{size / 10**6:.3g} MB"
