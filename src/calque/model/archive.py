"""The `.calque` file: a zip, stored and not deflated, of `model.json` and `members/N.safetensors`.

A cascade also has `first/N.safetensors`, the weights of its first stage.

Nothing in it is executable, no name in it is ever used as a path, and nothing is allocated that the file's
own length does not allow: entries are not compressed, so that they cannot be larger than the file.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from calque.errors import ModelError, ReadError
from calque.io.atomic import atomic_path
from calque.model.card import Card
from calque.planning import Plan
from calque.value import Value

Kept = TypeVar("Kept")

VERSION = 1

_MANIFEST = "model.json"
_MANIFEST_BYTES = 2**24
_MEMBERS, _FIRST = "members", "first"
_LOCAL = struct.Struct("<4s5H3L2H")  # of an entry
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model is the same bytes
_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError, OverflowError,
)  # fmt: skip  # what zipfile raises on bytes that are not quite a zip


class Member(Value):
    """Weights of one network: its entry, and its checksum in hexadecimal."""

    name: str
    sha256: str


class Manifest(Value):
    """What `model.json` says."""

    format: Literal["calque"] = "calque"
    version: Literal[1] = 1
    plan: Plan
    card: Card
    members: tuple[Member, ...] = Field(min_length=1, max_length=1000)
    first: tuple[Member, ...] = Field(default=(), max_length=1000)


class _Version(BaseModel):
    format: Literal["calque"]
    version: int


def write(
    path: Path | str, plan: Plan, card: Card, members: list[bytes], first: Sequence[bytes] = ()
) -> None:
    """Write aside, flush, rename; `members`, and the `first` stage's, are safetensors.

    Raises:
        ResourceError: the disk is full.
    """
    listed = tuple(_listed(_MEMBERS, number, data) for number, data in enumerate(members))
    before = tuple(_listed(_FIRST, number, data) for number, data in enumerate(first))
    manifest = Manifest(plan=plan, card=card, members=listed, first=before).to_json().encode()
    names = [_MANIFEST, *(member.name for member in (*listed, *before))]
    with atomic_path(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        for name, data in zip(names, [manifest, *members, *first], strict=True):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def _listed(folder: str, number: int, data: bytes) -> Member:
    return Member(name=_name(folder, number), sha256=hashlib.sha256(data).hexdigest())


class Part(NamedTuple):
    """A member in its file.

    Args:
        data: its bytes.
        offset: where they begin.
        handle: of the open file; it is closed after `read`.
    """

    data: bytes
    offset: int
    handle: int


def read(path: Path | str, keep: Callable[[Part], Kept]) -> tuple[Manifest, list[Kept], list[Kept]]:
    """The manifest, the members and those of the first stage, whose checksums agree.

    Args:
        path: of the file.
        keep: what is made of each member, one after the other.

    Raises:
        ReadError: there is no such file.
        ModelError: not a zip, damaged, incomplete, of an unknown version, or with entries that do not belong.
    """
    path = Path(path)
    if not path.is_file():
        raise ReadError("There is no such model", where=path, expected="a .calque file")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path)
            manifest = _manifest(_read_entry(archive, entries, _MANIFEST, path), path)
            _check_names(manifest, entries, path)
            listed = (*manifest.members, *manifest.first)
            members = [_kept(archive, entries, member, path, keep) for member in listed]
    except _DAMAGE as problem:
        raise ModelError("This is not a Calque model, or it is damaged", where=path, got=problem) from None
    own = len(manifest.members)
    return manifest, members[:own], members[own:]


def _kept(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    member: Member,
    path: Path,
    keep: Callable[[Part], Kept],
) -> Kept:
    data = _read_entry(archive, entries, member.name, path)
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise ModelError(
            "The weights do not match their checksum",
            where=f"{path}, {member.name}",
            fix="copy or download the model again",
        )
    file = archive.fp
    assert file is not None  # noqa: S101  (it is open)
    return keep(Part(data, _data_offset(file, entries[member.name]), file.fileno()))


def _data_offset(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: after its local header, its name and what else is there."""
    file.seek(entry.header_offset)
    *_, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    return entry.header_offset + _LOCAL.size + int(name) + int(extra)


def _entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise ModelError("The model holds two entries of one name", where=path)
    size = path.stat().st_size
    for name, entry in entries.items():
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        if not stored or entry.file_size > size or entry.flag_bits & 1:
            raise ModelError(
                "An entry of the model is compressed, encrypted or longer than the file",
                where=path,
                got=f"{name!r}: {entry.file_size} bytes",
            )
    if _MANIFEST in entries and entries[_MANIFEST].file_size > _MANIFEST_BYTES:
        raise ModelError(
            "The model's description is too long",
            where=path,
            expected=f"at most {_MANIFEST_BYTES} bytes",
            got=entries[_MANIFEST].file_size,
        )
    return entries


def _read_entry(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str, path: Path
) -> bytes:
    if name not in entries:
        raise ModelError("The model is incomplete", where=path, expected=name, got=sorted(entries)[:10])
    return archive.read(entries[name])


def _manifest(data: bytes, path: Path) -> Manifest:
    text = data.decode("utf-8")
    found = f"{path}, {_MANIFEST}"
    version = _Version.model_validate_json(text).version  # a ValueError, which `read` explains
    if version != VERSION:
        raise ModelError(
            "This model is of a version that is not known here",
            where=path,
            expected=VERSION,
            got=version,
            fix="install a newer Calque",
        )
    return Manifest.from_json(text, where=found, error=ModelError)


def _check_names(manifest: Manifest, entries: dict[str, zipfile.ZipInfo], path: Path) -> None:
    listed = [member.name for member in (*manifest.members, *manifest.first)]
    expected = [_name(_MEMBERS, number) for number in range(len(manifest.members))]
    expected += [_name(_FIRST, number) for number in range(len(manifest.first))]
    strangers = sorted(entries.keys() - {_MANIFEST, *expected})
    if listed != expected or strangers:
        raise ModelError(
            "The model holds entries that do not belong there",
            where=path,
            expected=[_MANIFEST, *expected],
            got=strangers or listed,
        )


def _name(folder: str, number: int) -> str:
    return f"{folder}/{number}.safetensors"
