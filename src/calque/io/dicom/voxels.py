"""From a stack to its voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calque.errors import ReadError
from calque.image import Image
from calque.io.dicom.decode import Values, stored_frames
from calque.io.dicom.lattice import shear_between
from calque.io.dicom.model import Slice, Stack
from calque.io.dicom.raw import quiet
from calque.io.dicom.suv import suv_factor
from calque.io.dicom.tilt import straightened
from calque.io.plane import RGB
from calque.parallel import map_bounded

_BOMB = 1000  # bytes of pixels for each byte of compressed files: more is damage or malice
_FREE = 2**31  # bytes below which nobody asks


def read_stack(stack: Stack, *, suv: bool = True) -> Image:
    """(1 or 3 channels, z, y, x) on `stack.grid`, each slice rescaled by its own slope and intercept.

    int16 where the values are whole and fit (uint8 for pictures of 8 bits), else float32. MONOCHROME1 is
    inverted in pictures, where it says what is white; in CT, MR and PET values are physical, and stay.
    Padding is left as it is.

    Args:
        stack: of `find_stacks`.
        suv: PET as standardised uptake values by body weight; False: as stored, rescaled.

    Raises:
        ReadError: pixel data are damaged, truncated (TruncatedError) or of another size than announced.
        InputError: PET without what SUV needs.
        MissingExtraError: a decoder is not installed (extra `dicom`).
    """
    _require_meant(stack)
    with quiet():
        uptake = suv and stack.series.modality == "PT"
        factor = suv_factor(stack.slices[0].path) if uptake else None
        array = _filled(stack, factor, dtype_of(stack, suv=suv))
    if stack.tilt:
        array = straightened(array, shear_between(stack.slices, stack.grid), array.dtype)
    names = RGB if len(array) == 3 else ("channel 1",)
    return Image(array, stack.grid, names, stack.placed)


class _TooWideError(Exception):
    """A value does not fit int16 where the headers left that open."""


def _filled(stack: Stack, factor: float | None, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """(channel, z, y, x) of the slices; whole values of 16 bits as int16 until one does not fit."""
    if factor is not None:
        return _read_into(stack, factor, dtype)
    if dtype == np.float32 and _whole(stack.slices):
        try:
            return _read_into(stack, 1.0, np.dtype(np.int16))
        except _TooWideError:
            pass
    return _read_into(stack, 1.0, dtype)


def _read_into(stack: Stack, factor: float, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    first = stack.slices[0].layout
    array = np.empty((3 if first.colour else 1, len(stack.slices), first.rows, first.columns), dtype)

    def fill(entry: tuple[int, ...]) -> None:
        slices = [stack.slices[k] for k in entry]
        for k, values in zip(entry, stored_frames(slices), strict=True):
            _put(values, stack.slices[k], factor, stack.placed, array[:, k])

    for outcome in map_bounded(fill, _by_file(stack.slices)):
        outcome.unwrap()
    return array


def _whole(slices: Sequence[Slice]) -> bool:
    return not slices[0].layout.colour and all(
        s.slope == int(s.slope) and s.intercept == int(s.intercept) for s in slices
    )


def _fits(slope: float, intercept: float, low: float, high: float) -> bool:
    return all(-32768 <= end * slope + intercept <= 32767 for end in (low, high))


def dtype_of(stack: Stack, *, suv: bool = True) -> np.dtype[np.generic]:
    """The type of `read_stack(stack)`, by the headers alone; float32 where that may turn out as int16."""
    if stack.slices[0].layout.colour:
        eight = all(s.layout.allocated == 8 or s.layout.samples == 1 for s in stack.slices)
        return np.dtype(np.uint8 if eight else np.float32)
    if suv and stack.series.modality == "PT":
        return np.dtype(np.float32)
    kinds = {(s.slope, s.intercept, *s.layout.stored_range) for s in stack.slices}
    if not stack.placed and kinds == {(1.0, 0.0, 0, 255)}:
        return np.dtype(np.uint8)
    fits = _whole(stack.slices) and all(_fits(*kind) for kind in kinds)
    return np.dtype(np.int16 if fits else np.float32)


def _put(values: Values, item: Slice, factor: float, placed: bool, target: NDArray[np.generic]) -> None:
    """Write the rescaled values of one slice into `target` (channel, y, x)."""
    if item.layout.colour:
        target[:] = np.moveaxis(values, -1, 0)
        return
    if not placed and item.layout.photometric == "MONOCHROME1":
        values = sum(item.layout.stored_range) - values.astype(np.int64)
    slope, intercept = item.slope * factor, item.intercept * factor
    if target.dtype == np.int16 and not _fits(
        item.slope, item.intercept, int(values.min()), int(values.max())
    ):
        raise _TooWideError
    if target.dtype.kind in "iu":  # the sum fits, so arithmetic modulo the type's range gives it
        add = np.array(int(intercept)).astype(target.dtype)
        np.add(values.astype(target.dtype, copy=False) * target.dtype.type(slope), add, out=target[0])
    elif slope == 1 and intercept == 0:
        target[0] = values
    else:
        target[0] = values * np.float64(slope) + intercept


def _by_file(slices: Sequence[Slice]) -> list[tuple[int, ...]]:
    """Indices of slices of one file each."""
    members: dict[object, list[int]] = {}
    for k, item in enumerate(slices):
        members.setdefault(item.path, []).append(k)
    return [tuple(found) for found in members.values()]


def _require_meant(stack: Stack) -> None:
    """Refuse what compressed files announce and cannot hold; files that are not compressed were measured.

    Raises:
        ReadError: far more pixels than bytes.
    """
    packed = [item for item in stack.slices if item.offset is None]
    announced = sum(item.layout.frame_bytes for item in packed)
    there = sum(path.stat().st_size for path in {item.path for item in packed})
    if announced > max(_FREE, _BOMB * there):
        raise ReadError(
            "These files announce more pixels than they can hold",
            where=stack.slices[0].path,
            expected=f"at most {_BOMB} times their size",
            got=f"{announced / 2**30:.3g} GB in files of {there / 2**20:.3g} MB",
        )
