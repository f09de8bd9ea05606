"""Unpacking archives that came from elsewhere."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from calque.errors import ReadError
from calque.io.atomic import atomic_path
from calque.io.room import require_room


def unpack(archive: Path, target: Path, limit: int) -> None:
    """Unpack the single folder of a tar archive as `target`; whole, or not at all.

    Only plain files and folders with relative names are taken; names that begin with "._" are macOS's.

    Args:
        archive: a tar file, compressed or not.
        target: the new folder.
        limit: bytes that the files may have together.

    Raises:
        ReadError: a damaged archive, a name that leads outside, a link or device, or too much in it.
        ResourceError: the disk is full.
    """
    try:
        with tarfile.open(archive) as tar, atomic_path(target) as aside:
            members = [m for m in tar.getmembers() if not PurePosixPath(m.name).name.startswith("._")]
            for member in members:
                _require_harmless(member, archive)
            _require_size(sum(member.size for member in members), limit, archive)
            for member in members:
                inside = PurePosixPath(member.name).parts[1:]
                source = tar.extractfile(member)
                if source is None or not inside:
                    continue
                path = aside.joinpath(*inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                with source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError) as problem:
        raise ReadError("This archive is damaged", where=archive, got=problem, fix="fetch it again") from None


def unpack_zip(archive: Path, target: Path, limit: int) -> None:
    """Unpack a zip as the folder `target`; whole, or not at all. Names within are kept.

    Args:
        archive: a zip file.
        target: the new folder.
        limit: bytes that the files may have together.

    Raises:
        ReadError: a damaged or encrypted archive, a name that leads outside, a link, or too much in it.
        ResourceError: the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as held:
            members = [member for member in held.infolist() if not member.is_dir()]
            for member in members:
                link = stat.S_ISLNK(member.external_attr >> 16)
                _require_inside(member.filename, archive, harmless=not link)
            size = sum(member.file_size for member in members)
            _require_size(size, limit, archive)
            require_room(target.parent, size, "what the archive holds")
            with atomic_path(target) as aside:
                aside.mkdir(exist_ok=True)
                for member in members:
                    path = aside.joinpath(*PurePosixPath(member.filename).parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with held.open(member) as source, path.open("wb") as file:
                        shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as problem:
        raise ReadError(
            "This archive is damaged or encrypted", where=archive, got=problem, fix="fetch it again"
        ) from None


def _require_size(size: int, limit: int, archive: Path) -> None:
    if size > limit:
        raise ReadError(
            "The archive unpacks to more than it should",
            where=archive,
            expected=f"at most {limit / 2**30:.3g} GB",
            got=f"{size / 2**30:.3g} GB",
        )


def _require_harmless(member: tarfile.TarInfo, archive: Path) -> None:
    _require_inside(member.name, archive, harmless=member.isfile() or member.isdir())


def _require_inside(name: str, archive: Path, *, harmless: bool) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not harmless:
        raise ReadError("The archive holds what it should not", where=archive, got=name)
