"""TIFF: pictures and stacks, of whole numbers or floats, grey, several channels, colours or a palette.

Spacing comes from OME-XML, from ImageJ's description or from the resolution tags, in this order. Files are
written as OME-TIFF: https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, InputError, MissingExtraError, ReadError
from calque.geometry import Grid, Shape, Spacing
from calque.io.model import Header, Volume
from calque.io.plane import (
    RGB,
    own_grid,
    require_own_grid,
    require_sane_size,
    without_alpha,
)
from calque.io.stream import truncated
from calque.io.tiff_chain import require_chain
from calque.io.tiff_spacing import spacing_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_PACKED = 1500  # no codec of TIFF packs more than this many bytes into one, on average over a page
_MOST_BYTES = 2**38
_OME_TYPES = {"u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32",
              "f4": "float", "f8": "double"}  # fmt: skip
_WRITTEN_AS = {"b1": "u1", "f2": "f4"}
_DEPTH, _CHANNEL = "ZIQ", "CS"  # axes as tifffile names them; I and Q are pages that nothing explains
_PALETTE, _RGB, _YCBCR, _INVERTED, _GREY = 3, 2, 6, 0, 1  # photometric interpretations
_ALPHA = (1, 2)  # kinds of extra samples


@dataclass(frozen=True)
class _Layout:
    """How the array of a file becomes (channel, z, y, x).

    `axes` and `shape` are the file's own; `alpha`: the last sample is opacity; `palette`: colours (3, n).
    """

    header: Header
    axes: str
    shape: tuple[int, ...]
    alpha: bool
    inverted: bool
    palette: NDArray[np.uint8] | None


def read(path: Path) -> Volume:
    """Read a picture or stack; a palette becomes its colours.

    Raises:
        ReadError: missing, damaged, truncated, partly transparent, or laid out in an unknown way.
        MissingExtraError: its compression needs the extra `tiff`.
    """
    return _read(path, mask=False)


def read_mask(path: Path) -> Volume:
    """As `read`, but a palette's indices stay: in a mask they are the labels.

    Raises:
        ReadError, MissingExtraError: as `read`.
    """
    return _read(path, mask=True)


def read_header(path: Path) -> Header:
    """Read size, channels and spacing; pixels are not decoded.

    Raises:
        ReadError: missing, damaged, or laid out in a way that is not understood.
    """
    with opened_tiff(path) as file:
        return _layout(file, path, mask=False).header


def write(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write (channel, z, y, x) as OME-TIFF; a slice of red, green and blue as colours. Always the same bytes.

    Raises:
        InputError: values that TIFF programs do not understand.
        GeometryError: a position or direction in a patient, which TIFF cannot hold.
    """
    import tifffile

    require_own_grid(grid, "TIFF")
    kind = _WRITTEN_AS.get(array.dtype.str[1:], array.dtype.str[1:])
    if kind not in _OME_TYPES:
        raise InputError(
            "TIFF cannot hold values of this type", got=array.dtype, expected=", ".join(_OME_TYPES)
        )
    channels, slices = array.shape[:2]
    colours = channels == 3 and slices == 1 and kind == "u1"
    pages = np.moveaxis(array[:, 0], 0, -1) if colours else array.reshape(-1, *array.shape[2:])
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pages, dtype=kind),
        photometric="rgb" if colours else "minisblack",
        description=_ome(array.shape, kind, grid.spacing, colours),
        metadata=None,
        software=False,
    )


def _ome(shape: tuple[int, ...], kind: str, spacing: Spacing, colours: bool) -> str:
    """OME-XML. A spacing of 1 mm is that of pixels and says nothing, so it is not written."""
    c, z, y, x = shape
    size = "".join(f' Size{n}="{k}"' for n, k in zip("XYCZT", (x, y, c, z, 1), strict=True))
    lengths = "" if spacing == (1.0, 1.0, 1.0) else "".join(
        f' PhysicalSize{axis}="{mm!r}" PhysicalSize{axis}Unit="mm"'
        for axis, mm in zip("ZYX", spacing, strict=True)
    )  # fmt: skip
    samples = 3 if colours else 1
    named = "".join(f'<Channel ID="Channel:0:{k}" SamplesPerPixel="{samples}"/>' for k in range(c // samples))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type={quoteattr(_OME_TYPES[kind])}'
        f"{size}{lengths}>{named}<TiffData/></Pixels></Image></OME>"
    )


def _read(path: Path, *, mask: bool) -> Volume:
    with opened_tiff(path) as file:
        layout = _layout(file, path, mask=mask)
        try:
            array = np.asarray(file.series[0].asarray(maxworkers=1))
        except ValueError as problem:
            if "imagecodecs" in str(problem):
                raise MissingExtraError("imagecodecs (for this compression of TIFF)", "tiff") from None
            raise
        if array.size != math.prod(layout.shape):
            raise truncated(path, f"{math.prod(layout.shape)} values", array.size)
        return Volume(_arranged(array.reshape(layout.shape), layout, path), layout.header)


def _arranged(array: NDArray[np.generic], layout: _Layout, path: Path) -> NDArray[np.generic]:
    """(channel, z, y, x), writable, in the header's type."""
    order = sorted(range(array.ndim), key=lambda k: "ZYXC".index(_axis(layout.axes[k])))
    found = array.transpose(order)
    named = "".join(_axis(layout.axes[k]) for k in order)
    if "Z" not in named:
        found = found[np.newaxis]
    if "C" not in named:
        found = found[..., np.newaxis]
    if layout.palette is not None:
        found = layout.palette[:, found[..., 0]].transpose(1, 2, 3, 0)
    if layout.alpha:
        found = without_alpha(found, _largest(found.dtype), path)
    if layout.inverted:
        found = np.asarray(_largest(found.dtype), dtype=found.dtype) - found
    return np.array(np.moveaxis(found, -1, 0), dtype=layout.header.dtype, order="C")


def _largest(stored: np.dtype[Any]) -> float:
    """What is opaque, or white: the largest whole number of the type, 1 of floats."""
    return int(np.iinfo(stored).max) if stored.kind in "iu" else 1


def _axis(name: str) -> str:
    return "Z" if name in _DEPTH else "C" if name in _CHANNEL else name


def _layout(file: TiffFile, path: Path, *, mask: bool) -> _Layout:
    """What the first series is; refuses what is ambiguous."""
    if len(file.series) != 1:
        shapes = ", ".join(str(s.shape) for s in file.series[:5])
        raise _unclear(path, f"{len(file.series)} pictures of different kinds: {shapes}", "save one per file")
    series, page = file.series[0], file.series[0].keyframe
    kept = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX"]
    axes, shape = "".join(a for a, _ in kept), tuple(int(n) for _, n in kept)
    kinds = [_axis(a) for a in axes]
    if sorted(kinds) not in [sorted(k) for k in ("YX", "ZYX", "CYX", "CZYX")]:
        raise _unclear(
            path, f"axes {series.axes} of {series.shape}", "save one volume per file, without time"
        )
    sizes = dict(zip(kinds, shape, strict=True))
    _check_size(file, shape, series.dtype, path)
    photometric = int(page.photometric)
    if photometric not in (_PALETTE, _RGB, _YCBCR, _INVERTED, _GREY):
        raise _unclear(path, f"colours of kind {photometric}", "save it as RGB or grey")
    palette = _palette(page) if photometric == _PALETTE and not mask else None
    inverted = photometric == _INVERTED and not (mask and series.dtype.kind == "b")
    if inverted and series.dtype.kind != "u":
        raise _unclear(path, f"white as 0 in values of {series.dtype}", "save it with black as 0")
    alpha = any(int(k) in _ALPHA for k in page.extrasamples) and sizes.get("C", 1) in (2, 4)
    channels = 3 if palette is not None else sizes.get("C", 1) - int(alpha)
    spacing, known = spacing_of(file, page)
    header = Header(
        own_grid((sizes.get("Z", 1), sizes["Y"], sizes["X"]), spacing),
        channels,
        np.dtype("u1") if palette is not None else _value_type(series.dtype, path),
        names=RGB if channels == 3 and (palette is not None or photometric in (_RGB, _YCBCR)) else None,
        placed=False,
        spacing_known=known,
    )
    return _Layout(header, axes, shape, alpha, inverted, palette)


def _value_type(stored: np.dtype[Any] | None, path: Path) -> np.dtype[np.generic]:
    if stored is None or stored.kind not in "biuf" or stored.itemsize > 8:
        raise _unclear(path, f"values of {stored}", "save it as integers or floats")
    return np.dtype(_WRITTEN_AS.get(stored.str[1:], stored.newbyteorder("=")))


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    found = np.asarray(page.colormap)
    return (found >> 8).astype(np.uint8) if found.max(initial=0) > 255 else found.astype(np.uint8)


def _check_size(file: TiffFile, shape: Shape | tuple[int, ...], stored: Any, path: Path) -> None:
    """Refuse before anything is allocated what the bytes of the file cannot hold.

    Raises:
        TruncatedError: segments lie beyond the end of the file, or are too few.
        ReadError: so large that it cannot be meant.
    """
    page, size = file.series[0].keyframe, path.stat().st_size
    announced = math.prod(shape) * np.dtype(stored).itemsize
    if len(shape) == 2 or (len(shape) == 3 and shape[-1] < 5):
        require_sane_size(shape[0] * shape[1], path)
    plain = int(page.compression) == 1 and page.bitspersample >= 8
    if announced > (size if plain else min(size * _PACKED, _MOST_BYTES)):
        raise truncated(path, f"{announced} bytes, as its tags announce", f"a file of {size} bytes")
    for one in file.series[0].pages:
        if one is None:
            raise truncated(path, "all pages of the stack", "some are missing")
        ends = [a + b for a, b in zip(one.dataoffsets, one.databytecounts, strict=False) if b]
        if max(ends, default=0) > size or (plain and not ends):
            raise truncated(path, f"{max(ends, default=0)} bytes", f"{size}")


@contextmanager
def opened_tiff(path: Path) -> Iterator[TiffFile]:
    """The file with its tags; whatever the decoder raises becomes ReadError."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would log becomes an error here
    try:
        require_chain(path)
        with tifffile.TiffFile(path, _multifile=False) as file:
            yield file
    except (CalqueError, MemoryError):
        raise
    except FileNotFoundError:
        raise ReadError("There is no such file", where=path) from None
    except Exception as problem:  # a foreign decoder: on damaged bytes it raises anything
        raise ReadError(
            "This TIFF file cannot be read",
            where=path,
            got=problem or type(problem).__name__,
            fix="save it again, or download it again",
        ) from None


def _unclear(path: Path, got: str, fix: str) -> ReadError:
    return ReadError(
        "What this TIFF file holds is not clear",
        where=path,
        expected="one picture or stack, of one or more channels",
        got=got,
        fix=fix,
    )
