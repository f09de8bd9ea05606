"""DICOM where Calque takes a path: a folder, a zip, a file, or any of them with "@" and the series.

`ct@2` is series number 2 of the folder `ct`, `ct@2/time 1` one of its volumes, `ct@1.2.840.1` a series by its
UID. A path that exists as it is written is that path: "@" may be part of a folder's name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from calque.errors import CalqueError, InputError, ReadError
from calque.image import Image
from calque.io.dicom.files import list_files
from calque.io.dicom.finding import addressing, choose_stack, find_stacks
from calque.io.dicom.model import Found, Stack
from calque.io.dicom.voxels import dtype_of, read_stack
from calque.io.model import Header, Volume
from calque.io.plane import RGB
from calque.progress import SILENT, Progress

SUFFIXES = (".dcm", ".zip")
"""Names of DICOM files may end so; most end otherwise, or in nothing."""

_OTHERS = (".nii", ".gz", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".mha", ".mhd", ".nrrd", ".npz",
           ".npy", ".json", ".csv", ".txt", ".calque")  # fmt: skip
"""Suffixes of files that are not opened to see whether they are DICOM."""

_KEPT = 4  # sources whose headers are remembered
_known: dict[tuple[object, ...], Found] = {}


@dataclass(frozen=True)
class Source:
    """A DICOM source.

    Args:
        base: the folder, zip or file.
        wanted: what stands after "@"; None: nothing.
    """

    base: Path
    wanted: str | None = None

    @property
    def name(self) -> str:
        """For outputs: the folder's name, and which series; never a UID, which is a patient's."""
        base = without_suffix(self.base.resolve().name)
        return base if self.wanted is None else f"{base}_{_short(self.wanted)}"


def without_suffix(name: str) -> str:
    """`name` without ".dcm" or ".zip"."""
    for suffix in SUFFIXES:
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def as_source(path: Path | str) -> Source | None:
    """What this path means as a DICOM source; None where it is none. A folder is one if a file in it is."""
    path = Path(path)
    if path.exists():
        return Source(path) if holds_dicom(path) else None
    text, at, wanted = str(path).rpartition("@")
    if not at or not wanted or not text or not Path(text).exists():
        return None
    return Source(Path(text), wanted) if holds_dicom(Path(text)) else None


def stacks_of(base: Path, progress: Progress = SILENT) -> Found:
    """`find_stacks` of a source; what was found is remembered while its files stay the same.

    Raises:
        ReadError, MissingExtraError: as `find_stacks`.
    """
    files = list_files(base)
    key = tuple((path, facts.st_mtime_ns, facts.st_size) for path in files for facts in [path.stat()])
    if key not in _known:
        found = find_stacks(files, progress=progress)
        while len(_known) >= _KEPT:
            _known.pop(next(iter(_known)), None)
        _known[key] = found
    return _known[key]


def stack_of(path: Path) -> Stack:
    """The volume or picture that a path means.

    Raises:
        InputError: it is not said which of several is meant, or what is said is not there.
        CalqueError: it was refused, with the reason.
    """
    source = as_source(path)
    if source is None:
        raise ReadError("There is no DICOM here", where=path)
    return choose_stack(stacks_of(source.base), source.wanted, source.base)


def path_of(stack: Stack, place: Path) -> Path:
    """How the volume of a source is written as a path; `place` is the source, perhaps with the series."""
    source = as_source(place)
    if source is None or source.wanted is not None or len(stacks_of(source.base).stacks) == 1:
        return place
    name = f"/{stack.name}" if stack.name else ""
    return Path(f"{place}@{stack.series.uid}{name}")


def read_source(path: Path, *, suv: bool = True) -> Image:
    """The volume that a path means; see `stack_of` and `read_stack`."""
    return read_stack(stack_of(path), suv=suv)


def read(path: Path) -> Volume:
    """As `read_source`, with a header as every format gives it."""
    stack = stack_of(path)
    image = read_stack(stack)
    return Volume(image.array, _header(stack, image))


def read_header(path: Path) -> Header:
    """Grid and type of the volume that a path means; see `stack_of`."""
    return _header(stack_of(path), None)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files of the volume that a path means; see `stack_of`."""
    return tuple(dict.fromkeys(item.path for item in stack_of(path).slices))


def content_of(path: Path) -> tuple[str, tuple[Path, ...]]:
    """What tells one scan from another: which volume of a DICOM source is meant, and the files that hold it.

    A file that is no DICOM source, or is not there, is itself.
    """
    source = None if path.is_file() and path.suffix.lower() != ".zip" else as_source(path)
    return ("", (path,)) if source is None else (f"@{source.wanted}", files_of(path))


def series_paths(base: Path, progress: Progress = SILENT) -> dict[str, Path]:
    """Name for outputs -> path, of every volume and picture of a source; also of what was refused.

    Raises:
        ReadError: nothing is there, or a damaged file.
        InputError: two would have one name.
    """
    found = stacks_of(base, progress)
    for item in found.refused:
        if item.series is None:
            raise item.error
    entries = [(stack.series, stack.name) for stack in found.stacks]
    entries += [(item.series, "") for item in found.refused if item.series is not None]
    if not entries:
        raise ReadError("There are no DICOM images here", where=base)
    address = addressing(found)
    paths: dict[str, Path] = {}
    for series, name in entries:
        path = Path(f"{base}@{address(series, name)}")
        called = Source(base, address(series, name)).name
        if paths.setdefault(called, path) != path:
            raise InputError("Two volumes would have one name", where=base, got=called)
    return paths


def _header(stack: Stack, image: Image | None) -> Header:
    colour = stack.slices[0].layout.colour
    return Header(
        stack.grid,
        3 if colour else 1,
        dtype_of(stack) if image is None else image.array.dtype,
        names=RGB if colour else None,
        placed=stack.placed,
        spacing_known=stack.spacing_known,
    )


def _short(wanted: str) -> str:
    series, _, name = wanted.partition("/")
    if "." in series:
        series = hashlib.sha256(series.encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
    return f"{series}_{plain}" if plain else series


def holds_dicom(path: Path) -> bool:
    """Whether a file, or a file in a folder or zip, is DICOM, or is named as if it were."""
    if path.is_dir():
        return any(holds_dicom(inner) for inner in path.rglob("*") if inner.is_file())
    if path.name.startswith(".") or path.suffix.lower() in _OTHERS:
        return False
    if path.suffix.lower() == ".zip":
        return _zipholds_dicom(path)
    try:
        with path.open("rb") as file:
            return path.suffix.lower() == ".dcm" or file.read(132)[128:] == b"DICM"
    except OSError:
        return False  # reading it says so


def _zipholds_dicom(path: Path) -> bool:
    """Whether one of its files is DICOM; a zip that cannot be opened is for the reader to refuse."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as held:
            for member in held.infolist():
                if member.is_dir() or Path(member.filename).suffix.lower() in _OTHERS:
                    continue
                with held.open(member) as file:
                    if file.read(132)[128:] == b"DICM":
                        return True
    except (zipfile.BadZipFile, CalqueError, RuntimeError, OSError, NotImplementedError):
        return True
    return False
