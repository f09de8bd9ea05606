"""Which cases of an output folder are finished: by content, not by name or date."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from calque.errors import ReadError, ResourceError
from calque.io.dicom.source import content_of
from calque.prediction.options import PredictOptions
from calque.value import Value

NAME = "calque-predictions.jsonl"

_BLOCK = 2**20
_NO_MATTER = {"cache", "memory", "batch", "scratch"}  # options that change no label


class Entry(Value):
    """One finished case.

    Args:
        case: its name.
        inputs: SHA-256 of the scan's files.
        model: the model's key.
        options: SHA-256 of what may change labels: options, engine, precision, postprocessing.
        output: name of the label map in this folder.
        sha256: of the label map.
    """

    case: str
    inputs: str
    model: str
    options: str
    output: str
    sha256: str


class Ledger:
    """`calque-predictions.jsonl` in an output folder: a line for each finished case, the last one counts.

    Args:
        folder: of the label maps; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries = {entry.case: entry for entry in self._read()}

    def _read(self) -> Iterable[Entry]:
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield Entry.model_validate_json(line)
            except ValidationError:
                continue  # cut off by a crash: that case is predicted again

    def finished(self, wanted: Entry) -> bool:
        """Whether this case was predicted from the same files, in the same way, and is as it was written.

        Args:
            wanted: what would be written; its `sha256` does not count.
        """
        found = self._entries.get(wanted.case)
        if found is None or found.model_copy(update={"sha256": wanted.sha256}) != wanted:
            return False
        output = self._path.parent / found.output
        return output.is_file() and hash_files([output]) == found.sha256

    def add(self, entry: Entry) -> None:
        """Append, and flush to the disk.

        Raises:
            ResourceError: the disk is full.
        """
        self._entries[entry.case] = entry
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(entry.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise ResourceError(
                "The list of finished cases cannot be written", where=self._path, got=problem
            ) from problem


def hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 of the contents of files, in order; of a DICOM source, the files of the volume that is meant.

    Raises:
        ReadError: one cannot be read, or has gone.
    """
    found = hashlib.sha256()
    for path in _files(paths, found):
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    found.update(block)
        except OSError as problem:
            raise ReadError("This file cannot be read", where=path, got=problem) from None
        found.update(b"\0")
    return found.hexdigest()


def _files(paths: Sequence[Path], found: hashlib._Hash) -> Iterator[Path]:
    for path in paths:
        volume, files = content_of(path)
        found.update(volume.encode())  # several volumes may share their files
        yield from files


def options_key(options: PredictOptions, *facts: object) -> str:
    """A name for everything but the scan and the model that may change labels."""
    chosen = options.model_dump(mode="json", exclude=_NO_MATTER)
    return hashlib.sha256(json.dumps([chosen, *map(str, facts)]).encode()).hexdigest()
