"""Weights that stay in their file until somebody looks at them.

A model whose network lies converted in a cache is predicted with, but its weights are never looked at: held
in memory they would be there for nothing.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as parse_tensors

from calque.errors import ModelError

State = Mapping[str, torch.Tensor]
"""A network's weights by name."""

_LENGTH_BYTES = 8  # of a safetensors file: how long its header is


class OpenFile:
    """A file that is read here and there for as long as this object lives, even when it was unlinked.

    Args:
        path: of the file.
        handle: that it was opened with; this object has one of its own.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, os.dup(handle)
        weakref.finalize(self, os.close, self._handle)
        self._facts = self._now()

    def read(self, start: int, size: int) -> bytearray:
        """Some of its bytes.

        Raises:
            ModelError: it was written to since it was opened.
        """
        found = bytearray()
        while len(found) < size and (more := os.pread(self._handle, size - len(found), start + len(found))):
            found += more
        if len(found) < size or self._now() != self._facts:
            raise ModelError(
                "The model was changed while it was in use",
                where=self._path,
                fix="start again; replace a model by renaming another one to it",
            )
        return found

    def _now(self) -> tuple[int, int]:
        facts = os.fstat(self._handle)
        return facts.st_size, facts.st_mtime_ns


@dataclass(frozen=True)
class _Place:
    start: int
    size: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class StoredState(Mapping[str, torch.Tensor]):
    """Weights by name, read from their file each time they are asked for.

    Args:
        file: that holds them.
        places: where.
    """

    def __init__(self, file: OpenFile, places: dict[str, _Place]) -> None:
        self._file, self._places = file, places

    def __getitem__(self, name: str) -> torch.Tensor:
        place = self._places[name]
        if place.size == 0:
            return torch.empty(place.shape, dtype=place.dtype)
        data = self._file.read(place.start, place.size)
        return torch.frombuffer(data, dtype=place.dtype).reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def stored_state(file: OpenFile | None, data: bytes, offset: int) -> State:
    """The tensors of a safetensors file that lies within another file.

    Args:
        file: that one; None: the tensors are held in memory.
        data: what lies there, complete.
        offset: where it begins.

    Raises:
        SafetensorError: it is damaged.
    """
    tensors = parse_tensors(data)
    if file is None:
        return tensors
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    begin = _LENGTH_BYTES + length
    header = json.loads(data[_LENGTH_BYTES:begin])
    places = {}
    for name, tensor in tensors.items():
        start, stop = header[name]["data_offsets"]
        place = _Place(offset + begin + start, stop - start, tuple(tensor.shape), tensor.dtype)
        places[name] = place
    return StoredState(file, places)


def opened(path: Path, handle: int) -> OpenFile | None:
    """The file, where the system can read it while others remove it."""
    return OpenFile(path, handle) if hasattr(os, "pread") else None
