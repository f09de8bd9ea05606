"""PNG, JPEG and BMP: a picture is a volume with one slice; colours are three channels.

JPEG loses values and BMP loses the spacing, so these are read only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, InputError, ReadError
from calque.geometry import Grid, Spacing
from calque.io.model import Header, Volume
from calque.io.plane import RGB, own_grid, plane_spacing, require_own_grid, require_sane_size, without_alpha
from calque.io.stream import truncated
from calque.labels import Labels

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_SPACING_KEY = "calque:spacing"  # PNG's own resolution is in whole pixels per metre

_GREY_MODES: dict[str, np.dtype[np.generic]] = {
    "1": np.dtype("u1"),
    "L": np.dtype("u1"),
    "I;16": np.dtype("u2"),
    "I": np.dtype("i4"),
}
_MODES: dict[str, np.dtype[np.generic]] = {
    **_GREY_MODES,
    **dict.fromkeys(("LA", "RGB", "RGBA", "P"), np.dtype("u1")),
}
_JPEG_END = b"\xff\xd9"  # without it the file was cut, which the decoder does not always see
_STARTS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8", "BMP": b"BM"}


def read(path: Path) -> Volume:
    """Read a picture (channel, 1, row, column); a palette becomes its colours.

    Raises:
        ReadError: missing, damaged, truncated, partly transparent, or of another kind than its name says.
    """
    return _read(path, mask=False)


def read_mask(path: Path) -> Volume:
    """As `read`, but a palette's indices stay: in a mask they are the labels.

    Raises:
        ReadError: as `read`.
    """
    return _read(path, mask=True)


def read_header(path: Path) -> Header:
    """Read size, channels and spacing; pixels are not decoded, unless transparency must be known.

    Raises:
        ReadError: missing, damaged, or of another kind than its name says.
    """
    with _opened(path) as picture:
        return _header(picture, _channels(picture))


def write(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write one slice of one or three channels as PNG. Same values, same bytes.

    Raises:
        InputError: several slices, other channels, or values that PNG cannot hold.
        GeometryError: a position or direction in a patient, which a picture would lose.
    """
    from PIL import Image as Picture

    channels, slices = array.shape[:2]
    wanted = np.dtype("u1") if array.dtype == np.bool_ else array.dtype
    holds = {1: ("u1", "u2"), 3: ("u1",)}.get(channels, ())
    if slices != 1 or wanted.str[1:] not in holds:
        raise InputError(
            "PNG cannot hold this image",
            expected="one slice, of grey values (uint8, uint16) or of red, green and blue (uint8)",
            got=f"{slices} slices, {channels} channels, {array.dtype}",
            fix="write .nii.gz or .tif",
        )
    require_own_grid(grid, "PNG")
    pixels = np.ascontiguousarray(np.moveaxis(array[:, 0], 0, -1), dtype=wanted)
    _save(Picture.fromarray(pixels[..., 0] if channels == 1 else pixels), grid, path)


def write_mask(array: NDArray[np.unsignedinteger], grid: Grid, labels: Labels, path: Path) -> None:
    """Write a mask (1, row, column) as PNG: palette indices are the labels, shown in the classes' colours.

    Values above 255 do not fit a palette; they are written as grey values of 16 bits.

    Raises:
        InputError: several slices.
        GeometryError: a position or direction in a patient.
    """
    from PIL import Image as Picture

    if array.dtype != np.uint8 or array.shape[0] != 1:
        write(array[np.newaxis], grid, path)
        return
    require_own_grid(grid, "PNG")
    palette = np.zeros((256, 3), np.uint8)
    for label in labels.classes:
        palette[label.value] = label.colour
    if labels.ignore is not None:
        palette[labels.ignore] = 128
    picture = Picture.fromarray(np.ascontiguousarray(array[0]), mode="L").convert("L")
    picture.putpalette(palette.tobytes())
    _save(picture, grid, path)


def _save(picture: Any, grid: Grid, path: Path) -> None:
    """With the spacing, unless it is that of pixels, which says nothing."""
    from PIL.PngImagePlugin import PngInfo

    notes, more = PngInfo(), {}
    _, y, x = grid.spacing
    if (y, x) != (1.0, 1.0):
        notes.add_text(_SPACING_KEY, f"{y!r} {x!r}")
        more["dpi"] = (25.4 / x, 25.4 / y)
    picture.save(path, format="PNG", pnginfo=notes, **more)


def _read(path: Path, *, mask: bool) -> Volume:
    with _opened(path) as picture:
        _require_end(path, picture.format or "")
        picture.load()
        keep_indices = mask and picture.mode == "P"
        pixels = _pixels(picture, keep_indices, path)
        array = np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[:, np.newaxis])
        return Volume(array, _header(picture, len(array)))


def _pixels(picture: ImageFile, keep_indices: bool, path: Path) -> NDArray[np.generic]:
    """(row, column, channel), without alpha."""
    shown: Any = picture
    if picture.mode == "P" and not keep_indices:
        shown = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    found: NDArray[np.generic] = np.array(shown).astype(_MODES[picture.mode], copy=False)
    if found.ndim == 2:
        return found[..., np.newaxis]
    return without_alpha(found, 255, path) if found.shape[-1] in (2, 4) else found


def _header(picture: ImageFile, channels: int) -> Header:
    spacing, known = _spacing(picture)
    width, height = picture.size
    names = RGB if channels == 3 else None
    grid = own_grid((1, height, width), spacing)
    return Header(grid, channels, _MODES[picture.mode], names=names, placed=False, spacing_known=known)


def _channels(picture: ImageFile) -> int:
    return 1 if picture.mode in (*_GREY_MODES, "LA") else 3


def _spacing(picture: ImageFile) -> tuple[Spacing, bool]:
    written = picture.info.get(_SPACING_KEY)
    if isinstance(written, str):
        try:
            y, x = (float(part) for part in written.split())
        except ValueError:
            return plane_spacing(None, None)
        return ((x, y, x), True) if min(y, x) > 2e-6 and max(y, x) < 1e6 else plane_spacing(None, None)
    dots = picture.info.get("dpi")
    if not isinstance(dots, tuple) or len(dots) != 2:
        return plane_spacing(None, None)
    across, down = (float(d) for d in dots)
    if min(across, down) <= 0:
        return plane_spacing(None, None)
    return plane_spacing(25.4 / down, 25.4 / across)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """The picture, its header read; whatever the decoders raise becomes ReadError."""
    kind = {".png": "PNG", ".bmp": "BMP"}.get(path.suffix.lower(), "JPEG")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if not start.startswith(_STARTS[kind]):
                raise ReadError(
                    "This file is not what its name says",
                    where=path,
                    expected=kind,
                    got=f"first bytes {start!r}" if start else "an empty file",
                    fix="export it again, or give it the right suffix",
                )
            if kind == "PNG":
                _require_chunks(file, path)
            picture = _plugin(kind)(file)
            width, height = picture.size
            require_sane_size(width * height, path)
            if min(width, height) < 1 or picture.mode not in _MODES:
                raise ReadError(
                    "Pictures of this kind are not supported",
                    where=path,
                    expected="grey values or red, green and blue",
                    got=f"{picture.mode}, {width} x {height} pixels",
                    fix="save it as RGB or grey",
                )
            yield picture
    except CalqueError:
        raise
    except FileNotFoundError:
        raise ReadError("There is no such file", where=path) from None
    except MemoryError:
        raise
    except Exception as problem:  # a foreign decoder: on damaged bytes it raises anything
        if "truncated" in str(problem).lower():
            raise truncated(path) from None
        raise ReadError(
            "This picture cannot be read",
            where=path,
            got=problem or type(problem).__name__,
            fix="save it again",
        ) from None


def _plugin(kind: str) -> Callable[[io.BufferedReader], ImageFile]:
    """The decoder of one kind; PIL's own choice would look at the bytes alone, and warn of large pictures."""
    if kind == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if kind == "BMP":
        from PIL.BmpImagePlugin import BmpImageFile

        return BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile


def _require_chunks(file: BinaryIO, path: Path) -> None:
    """Refuse chunks that are longer than the file: the decoder would ask for as much memory as they announce.

    Raises:
        TruncatedError: a chunk, or the last one, is missing.
    """
    size, place, kind = path.stat().st_size, 8, b""
    while kind != b"IEND":
        file.seek(place)
        head = file.read(8)
        kind = head[4:]
        place += 12 + int.from_bytes(head[:4], "big")
        if len(head) < 8 or place > size:
            raise truncated(path, f"{place} bytes, as its chunks announce", f"{size}")
    file.seek(0)


def _require_end(path: Path, kind: str) -> None:
    if kind == "JPEG" and _JPEG_END not in path.read_bytes()[-65536:]:
        raise truncated(path)
