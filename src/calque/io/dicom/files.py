"""Which files a DICOM source is made of."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from calque.errors import ReadError
from calque.io.archive import unpack_zip

_LARGEST_ZIP = 2**37  # bytes that it may unpack to: 128 GB
_unpacked: dict[tuple[Path, int, int], Path] = {}


def list_files(paths: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """The files of folders (recursive) and zips, sorted, and files as given; no hidden ones, no DICOMDIR.

    Raises:
        ReadError: a path does not exist; a zip is damaged or holds what it should not.
        ResourceError: there is no room to unpack a zip.
    """
    entries = [paths] if isinstance(paths, Path | str) else paths
    found: dict[Path, None] = {}
    for entry in map(Path, entries):
        if entry.is_dir():
            found.update(dict.fromkeys(_within(entry)))
        elif not entry.is_file():
            raise ReadError("There is no such file or folder", where=entry)
        elif entry.suffix.lower() == ".zip":
            found.update(dict.fromkeys(_within(unzipped(entry))))
        else:
            found[entry] = None
    return tuple(found)


def unzipped(archive: Path) -> Path:
    """A temporary folder with what a zip holds, that lasts as long as this process.

    Raises:
        ReadError: it is damaged or holds what it should not.
        ResourceError: there is no room for it.
    """
    facts = archive.stat()
    key = (archive.resolve(), facts.st_mtime_ns, facts.st_size)
    if key not in _unpacked:
        aside = Path(tempfile.mkdtemp(prefix="calque-dicom-"))
        atexit.register(shutil.rmtree, aside, ignore_errors=True)
        unpack_zip(archive, aside / "files", _LARGEST_ZIP)
        _unpacked[key] = aside / "files"
    return _unpacked[key]


def _within(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and path.is_file()
    )
