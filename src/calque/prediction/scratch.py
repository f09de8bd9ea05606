"""Arrays of all voxels that are made piece by piece: in memory, or in files of which little is held."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError, ResourceError

Kind = TypeVar("Kind", bound=np.generic)

PAGE_BYTES = 2**26  # of a file that is being written, in memory at once
_BLOCK = 2**22


class Scratch:
    """A folder of .npy files that goes with this object; without a folder, arrays in memory.

    Args:
        inside: where the folder is made; None: memory.

    Raises:
        InputError: the place cannot be written to.
        ResourceError: there is no room on the disk (from `array`, before anything is computed).
    """

    def __init__(self, inside: Path | None = None) -> None:
        self._maps: dict[str, mmap.mmap] = {}
        self._folder: Path | None = None
        if inside is not None:
            try:
                inside.mkdir(parents=True, exist_ok=True)
                self._folder = Path(tempfile.mkdtemp(prefix=".calque-", dir=inside))
            except OSError as problem:
                raise InputError(
                    "This cannot be written",
                    where=inside,
                    got=problem,
                    fix="choose another place for the output",
                ) from problem
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Kind]) -> NDArray[Kind]:
        """An array of zeros, to be filled by `put`; room for it is taken at once."""
        if self._folder is None:
            return np.zeros(shape, dtype)
        path = self._folder / f"{name}.npy"
        try:
            with path.open("w+b") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": dtype.str, "fortran_order": False, "shape": shape}
                )
                head = file.tell()
                _reserve(file.fileno(), head, prod(shape) * dtype.itemsize)
                mapped = self._maps[name] = mmap.mmap(file.fileno(), 0)
        except OSError as problem:
            raise ResourceError(
                "There is no room for the probabilities",
                where=path.parent.parent,
                expected=f"{prod(shape) * dtype.itemsize} bytes",
                got=problem,
                fix="free some space, or choose another disk",
            ) from problem
        return np.ndarray(shape, dtype, mapped, head)

    def put(self, view: NDArray[np.generic], part: NDArray[np.generic] | float) -> None:
        """Write a part of an array (`view`, of three or four axes), a few pages at a time.

        Args:
            view: of an array of `array`, its axes in any order and direction.
            part: of the same shape, or one value.
        """
        if self._folder is None:
            view[...] = part
            return
        full = np.broadcast_to(np.asarray(part), view.shape)
        if view.ndim == 4:
            for one, values in zip(view, full, strict=True):
                self.put(one, values)
            return
        axis = int(np.argmax(np.abs(view.strides)))
        step = max(1, PAGE_BYTES // max(1, abs(view.strides[axis])))
        for start in range(0, view.shape[axis], step):
            place = tuple(slice(start, start + step) if a == axis else slice(None) for a in range(3))
            view[place] = full[place]
            self._release()

    def give(self, name: str, array: NDArray[np.generic], path: Path) -> None:
        """Make `array`, which is of this name, the .npy file `path`; its own file, if any, moves."""
        if self._folder is None or os.name != "posix":  # other systems move no file that is open
            np.save(path, array, allow_pickle=False)
            return
        self._maps[name].flush()
        shutil.move(self._folder / f"{name}.npy", path)

    def _release(self) -> None:
        """Let pages go: what was written stays in the file."""
        for mapped in self._maps.values():
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, head: int, size: int) -> None:
    """Zeros after the header, for which there is room: a mapping that meets a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, head, size)
        return
    os.lseek(file, head, os.SEEK_SET)
    for start in range(0, size, _BLOCK):
        os.write(file, bytes(min(_BLOCK, size - start)))
