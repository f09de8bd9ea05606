"""Pictures in time: animated GIF, cine TIFF (pages or a time axis) and video become frames, one by one.

A frame is a picture like any other. `write_frames` names frames so that all of one file are one patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, InputError, MissingExtraError, ReadError
from calque.geometry import Spacing
from calque.image import Image
from calque.io.plane import PIXELS, RGB, own_grid, require_sane_size, without_alpha
from calque.io.tiff import opened_tiff
from calque.io.writing import write_image

Frame = NDArray[Any]
"""(row, column) of grey values or (row, column, 3) of colours."""


def read_frames(path: Path, mask: bool = False) -> Iterator[Frame]:
    """The frames of a file, one at a time.

    Args:
        path: of a format in `MOVING`.
        mask: whether a GIF's palette indices are wanted, not their colours.

    Raises:
        ReadError: missing, damaged, or of another format.
        MissingExtraError: video needs the extra `video`.
    """
    reader = MOVING.get(path.suffix.lower())
    if reader is None:
        raise ReadError(
            "This is no format of moving pictures", where=path, expected=", ".join(MOVING), got=path.suffix
        )
    if not path.is_file():
        raise ReadError("There is no such file", where=path)
    try:
        yield from reader(path, mask)
    except (CalqueError, MemoryError):
        raise
    except Exception as problem:  # a foreign decoder: on damaged bytes it raises anything
        raise ReadError(
            "These moving pictures cannot be read", where=path, got=problem, fix="export them again"
        ) from None


def write_frames(path: Path, folder: Path, *, every: int = 1, mask: bool = False) -> tuple[Path, ...]:
    """Write each `every`-th frame as `folder/NAME_frame_0000.png`; see `read_frames`.

    Raises:
        InputError: a step below 1, no frame, or values that PNG cannot hold.
        ReadError, MissingExtraError: as `read_frames`.
    """
    if every < 1:
        raise InputError("Frames are counted in steps of at least 1", got=every)
    written = []
    for number, frame in enumerate(read_frames(path, mask)):
        if number % every:
            continue
        target = folder / f"{path.stem}_frame_{number:04d}.png"
        write_image(_picture(frame), target)
        written.append(target)
    if not written:
        raise ReadError("This file holds no frame", where=path)
    return tuple(written)


def _picture(frame: Frame, spacing: Spacing = PIXELS) -> Image:
    array = frame[np.newaxis] if frame.ndim == 2 else np.moveaxis(frame, -1, 0)
    names = RGB if len(array) == 3 else ("grey",)
    return Image(array[:, np.newaxis], own_grid((1, *frame.shape[:2]), spacing), names, placed=False)


def _gif(path: Path, mask: bool) -> Iterator[Frame]:
    from PIL import ImageSequence
    from PIL.GifImagePlugin import GifImageFile

    with path.open("rb") as file:
        picture = GifImageFile(file)
        require_sane_size(picture.size[0] * picture.size[1], path)
        for frame in ImageSequence.Iterator(picture):
            if frame.mode == "L" or (mask and frame.mode == "P"):
                yield np.array(frame)
            else:
                yield without_alpha(np.array(frame.convert("RGBA")), 255, path)


def _tiff(path: Path, mask: bool) -> Iterator[Frame]:  # noqa: ARG001 - palettes of cine TIFF are not in use
    with opened_tiff(path) as file:
        for page in file.pages:
            rows, columns = page.shape[:2]
            require_sane_size(rows * columns, path)
            frame = page.asarray()
            if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[-1] not in (3, 4)):
                raise ReadError("A page of this TIFF file is no picture", where=path, got=frame.shape)
            yield without_alpha(frame, 255, path) if frame.shape[-1] == 4 and frame.ndim == 3 else frame


def _video(path: Path, mask: bool) -> Iterator[Frame]:
    if mask:
        raise InputError("Video changes values, so it holds no masks", where=path, fix="export masks as PNG")
    try:
        import av
    except ImportError:
        raise MissingExtraError("PyAV", "video") from None
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ReadError("This file holds no pictures", where=path)
        for frame in container.decode(container.streams.video[0]):
            require_sane_size(frame.width * frame.height, path)
            yield frame.to_ndarray(format="gray" if frame.format.name.startswith("gray") else "rgb24")


MOVING: dict[str, Callable[[Path, bool], Iterator[Frame]]] = {
    ".gif": _gif,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".mp4": _video,
    ".avi": _video,
    ".mov": _video,
    ".mkv": _video,
    ".webm": _video,
}
"""Suffix, in lower case -> reader of (path, mask)."""
