"""Prepared cases on disk, keyed by content and memory-mapped.

A store is a folder:

    index.json                case name -> key, as the last `prepare` left it
    <key>/image.npy           (channel, z, y, x), float32
    <key>/labels.npy          (z, y, x), class numbers
    <key>/foreground.npz      class number -> (n, 3) int32
    <key>/case.json           `Record`: placement, size and check sum of each file

A key is a hash of the files' bytes and of what the plan says about preparation, so that an edited mask or
another spacing gives another key, and whatever is already there need not be made again. Images stay float32:
training then sees exactly what prediction sees, no intensity overflows, and a memory map reads patches only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from calque.dataset import Case
from calque.dataset.doctor.facts import digest_of
from calque.dataset.model import PLAIN_RULE, MaskRule
from calque.errors import DatasetError, InputError, ReadError
from calque.geometry import Box, Grid, Shape
from calque.io.atomic import atomic_path, flush, write_text_atomic
from calque.io.dicom.source import content_of
from calque.planning.model import Plan
from calque.preparation.files import Files, check_sum, mapped, packed, reading, sum_of, write
from calque.preparation.model import Placement, Prepared, PreparedCase
from calque.value import Value

STORE_VERSION = 4
FOREGROUND_PER_CLASS = 10_000

_PLAN_PARTS: dict[str, bool | set[str]] = {
    "orientation": True,
    "transpose": True,
    "spacing": True,
    "crop": True,
    "image_order": True,
    "separate_z": True,
    "normalisation": True,
    "network": {"dimensions"},
}
_ARRAYS = ("image.npy", "labels.npy", "foreground.npz")
_BLOCK = 2**20


class Record(Value):
    """What `case.json` holds: where the case lies, how large its files must be, and what is in it.

    `sums`: CRC-32 of each file; `digest`: of the prepared image, equal for equal images; `classes`: numbers
    of those that occur.
    """

    case: str
    shape: Shape
    affine: tuple[tuple[float, ...], ...]
    orientation: str
    start: Shape
    stop: Shape
    prepared: Shape
    sizes: dict[str, int]
    sums: dict[str, int]
    digest: str
    classes: tuple[int, ...]

    @property
    def placement(self) -> Placement:
        """The way back; exactly that of the first preparation, as floats survive JSON."""
        original = Grid(self.shape, np.array(self.affine))
        reoriented = original.reorientation(self.orientation).grid(original)
        box = Box(self.start, self.stop)
        return Placement(original, reoriented, box, reoriented.cropped(box).resized(self.prepared))


class Store:
    """Prepared cases in a folder.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._index = self._read_index()
        self._fresh: set[str] = set()
        self._lock = threading.Lock()

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases that can be loaded, in order."""
        return tuple(self._index)

    def load(self, case: str) -> PreparedCase:
        """A case with memory-mapped, read-only arrays.

        Raises:
            DatasetError: the store does not hold it.
            ReadError: its files are damaged.
        """
        if case not in self._index:
            raise DatasetError("This case has not been prepared", where=self.folder, got=case)
        folder = self.folder / self._index[case]
        with reading("A prepared case is damaged", folder, "delete the folder and prepare again"):
            record = Record.read(folder / "case.json", error=ReadError)
            image, labels = mapped(folder / "image.npy"), mapped(folder / "labels.npy")
            with np.load(folder / "foreground.npz", allow_pickle=False) as file:
                foreground = {int(number): file[number] for number in file.files}
        return PreparedCase(case, image, labels, foreground, record.placement)

    def contents(self) -> dict[str, Record]:
        """Name -> what is known of each case without opening its arrays.

        Raises:
            ReadError: a record is damaged.
        """
        folders = {name: self.folder / key for name, key in self._index.items()}
        return {name: Record.read(folder / "case.json", error=ReadError) for name, folder in folders.items()}

    def holds(self, key: str) -> bool:
        """Whether everything under this key is there, at its full size.

        What was never published may not have reached the disk before the power failed: it is compared.
        """
        folder = self.folder / key
        try:
            record = Record.read(folder / "case.json", error=ReadError)
        except ReadError:  # absent or damaged: either way it is made again
            return False
        files = {name: folder / name for name in _ARRAYS}
        if any(not f.is_file() or f.stat().st_size != record.sizes.get(n) for n, f in files.items()):
            return False
        if key in self._index.values() or key in self._fresh:
            return True
        if any(sum_of(file) != record.sums.get(name) for name, file in files.items()):
            return False
        self._fresh.add(key)
        return True

    def put(
        self, key: str, case: Case, prepared: Prepared, labels: NDArray[np.integer], classes: int
    ) -> None:
        """Keep a case under `key`; it appears whole or not at all, and lasts once it is published.

        Raises:
            ResourceError: the disk is full.
            InputError: the folder cannot be written to.
        """
        foreground = pick_foreground(labels, classes, np.random.default_rng(int(key, 16)))
        if (self.folder / key).exists() and not self.holds(key):
            shutil.rmtree(self.folder / key)  # damaged
        try:
            with atomic_path(self.folder / key, lasting=False) as aside:
                aside.mkdir()
                files = packed(prepared.array, labels, foreground)
                for name, parts in files.items():
                    write(aside / name, parts)
                record = _record(case, prepared, files, tuple(foreground))
                (aside / "case.json").write_text(record.to_json())
            with self._lock:
                self._fresh.add(key)
        except InputError:
            if not self.holds(key):  # else another process was quicker with the same case
                raise

    def publish(self, keys: Mapping[str, str]) -> None:
        """Say which cases there are: name -> key, in order; all of them are on the disk before that."""
        with self._lock:
            for key in sorted(self._fresh):
                flush(self.folder / key)
            self._fresh.clear()
            write_text_atomic(self.folder / "index.json", json.dumps(dict(keys), indent=1) + "\n")
            self._index = dict(keys)

    def _read_index(self) -> dict[str, str]:
        path = self.folder / "index.json"
        if not path.exists():
            return {}
        try:
            return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
        except (OSError, ValueError) as problem:
            raise ReadError(
                "The index of this store is damaged",
                where=path,
                got=problem,
                fix="delete it and prepare again",
            ) from None


def content_key(case: Case, plan: Plan, rule: MaskRule = PLAIN_RULE) -> str:
    """32 hexadecimal digits: name, bytes of the files, how they are read and prepared, store version.

    Raises:
        ReadError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    labels = {"values": plan.labels.values, "ignore": plan.labels.ignore}
    parts = plan.model_dump(mode="json", include={**_PLAN_PARTS})
    digest.update(json.dumps([STORE_VERSION, case.id, labels, parts], sort_keys=True).encode())
    if rule != PLAIN_RULE or case.parts or case.annotated is not None:
        read = [rule.model_dump(mode="json"), [name for name, _ in case.parts], case.annotated]
        digest.update(json.dumps(read, sort_keys=True).encode())
    for path in (*case.images, *case.masks):
        digest.update(_hash(path))
    return digest.hexdigest()


def pick_foreground(
    labels: NDArray[np.integer], classes: int, generator: np.random.Generator
) -> dict[int, NDArray[np.int32]]:
    """Up to `FOREGROUND_PER_CLASS` voxels (n, 3) of each class 1 to `classes` that occurs, drawn evenly."""
    picked: dict[int, NDArray[np.int32]] = {}
    for number in range(1, classes + 1):
        where = np.flatnonzero(labels == number)
        if len(where) > FOREGROUND_PER_CLASS:
            where = np.sort(generator.choice(where, FOREGROUND_PER_CLASS, replace=False))
        if len(where):
            picked[number] = np.stack(np.unravel_index(where, labels.shape), axis=1).astype(np.int32)
    return picked


def _record(case: Case, prepared: Prepared, files: Files, classes: tuple[int, ...]) -> Record:
    placement = prepared.placement
    z, y, x, last = (tuple(float(v) for v in row) for row in placement.original.affine)
    return Record(
        case=case.id,
        shape=placement.original.shape,
        affine=(z, y, x, last),
        orientation=placement.reoriented.orientation,
        start=placement.box.start,
        stop=placement.box.stop,
        prepared=placement.prepared.shape,
        sizes={name: sum(map(len, parts)) for name, parts in files.items()},
        sums={name: check_sum(parts) for name, parts in files.items()},
        digest=digest_of(prepared.array).hex(),
        classes=classes,
    )


def _hash(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    volume, files = content_of(path)
    digest.update(volume.encode())  # several volumes may share their files
    for part in files:
        try:
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError as problem:
            raise ReadError("Cannot read this file", where=part, got=problem.strerror) from None
    return digest.digest()
