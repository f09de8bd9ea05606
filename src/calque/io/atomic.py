"""Files that appear whole or not at all: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calque.errors import CalqueError, InputError, ResourceError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.EEXIST,
}


@contextmanager
def atomic_path(path: Path | str, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it becomes `path`, else it is removed.

    The temporary name ends as `path` does, so that writers choose the same format. Missing parents are made.
    What is written there may be a file or a folder; a folder replaces only an absent or empty one.

    Args:
        path: what it becomes.
        lasting: whether it must be on the disk before its name is there, so that it outlives a power failure;
            if not, the caller calls `flush` for many at once, before anything relies on them.

    Raises:
        ResourceError: the disk or the quota is full.
        InputError: this place cannot be written to.
    """
    path = Path(path)
    # The tail of the name keeps every suffix and leaves room below the usual limit of 255 bytes.
    aside = path.with_name(f".{secrets.token_hex(4)}-{path.name[-100:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if lasting:
            flush(aside)
        aside.replace(path)
        if lasting:
            _flush_folder(path.parent)
    except Exception as problem:
        explained = _explained(problem, aside, path)
        if explained is None:
            raise
        raise explained from problem
    finally:
        _remove(aside)


def write_bytes_atomic(path: Path | str, data: bytes) -> None:
    """Write `data` so that `path` holds either what it held before or all of it."""
    with atomic_path(path) as aside:
        aside.write_bytes(data)


def write_text_atomic(path: Path | str, text: str) -> None:
    """Write UTF-8 with newlines as they are; see `write_bytes_atomic`."""
    write_bytes_atomic(path, text.encode("utf-8"))


def _explained(problem: Exception, aside: Path, path: Path) -> CalqueError | None:
    """What to raise instead of `problem`; None where it has nothing to do with writing `path`."""
    code = _code(problem)
    if code in _FULL:
        return ResourceError(
            "The disk is full", where=path, got=problem, fix="free some space, or choose another disk"
        )
    if code in _REFUSED and _ours(getattr(problem, "filename", None), aside, path):
        return InputError(
            "This cannot be written", where=path, got=problem, fix="choose another place for the output"
        )
    return None


def _ours(named: str | None, aside: Path, path: Path) -> bool:
    """Whether the file that the system refused is one that we write, or a folder above it."""
    if named is None:
        return True
    refused = Path(named)
    return refused in (path, *path.parents) or aside in (refused, *refused.parents)


def _code(problem: Exception) -> int | None:
    """The system's error number, also where a library tells it in words alone."""
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno
    text = str(problem)
    if isinstance(problem, OSError) and re.fullmatch(r"\d+ requested and \d+ written", text):
        return errno.ENOSPC  # numpy's way to say that a write fell short
    rust = re.search(r"\(os error (\d+)\)", text)  # safetensors
    return int(rust.group(1)) if rust else None


def flush(path: Path) -> None:
    """Force a file's bytes, or those of every file in a folder, to the disk."""
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            flush(inner)
        _flush_folder(path)
        return
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows has no such call and needs none."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
