"""Unpacking tar archives that came from elsewhere."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from calque.errors import ReadError
from calque.io.atomic import atomic_path


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
            size = sum(member.size for member in members)
            if size > limit:
                raise ReadError(
                    "The archive unpacks to more than it should",
                    where=archive,
                    expected=f"at most {limit / 2**30:.3g} GB",
                    got=f"{size / 2**30:.3g} GB",
                )
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


def _require_harmless(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.name
        or not (member.isfile() or member.isdir())
    ):
        raise ReadError("The archive holds what it should not", where=archive, got=member.name)
