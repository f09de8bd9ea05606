"""The stored values of frames, whatever their compression; sound, or an error with the file's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, MissingExtraError, ReadError, TruncatedError
from calque.io.dicom.codestream import announced_by, is_whole
from calque.io.dicom.model import Layout, Slice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = NDArray[Any]
"""(row, column) or (row, column, 3): integers as they are stored."""

_RLE = "1.2.840.10008.1.2.5"
_JPEG, _JPEG_LS, _JPEG_2000 = ("pillow", "gdcm"), ("pyjpegls", "gdcm"), ("pylibjpeg", "gdcm")
_PLUGINS = {
    "1.2.840.10008.1.2.4.50": _JPEG,
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": _JPEG_2000,
    "1.2.840.10008.1.2.4.91": _JPEG_2000,
    _RLE: ("pydicom",),
}
"""Transfer syntax -> plugins of pydicom, the best first. gdcm ends the process on some damaged frames, so it
decodes only what others do not: JPEG of 12 bits, and JPEG lossless."""

_OTHERWISE = ("gdcm", "pylibjpeg")

_OVERLAYS = range(0x6000, 0x6020, 2)


def stored_frames(slices: Sequence[Slice]) -> Iterator[Values]:
    """The frames of one file, in this order.

    Raises:
        TruncatedError: the file ends before its pixels do.
        ReadError: they cannot be decoded, or have other bits than announced.
        MissingExtraError: a decoder is not installed (extra `dicom`).
    """
    if all(item.offset is not None for item in slices):
        yield from (_native(item) for item in slices)
        return
    for item, values in zip(slices, _decoded(slices), strict=True):
        yield _only_stored_bits(values, item.layout, item.path)


def _native(item: Slice) -> Values:
    """Little-endian grey values, as they lie in the file."""
    layout = item.layout
    dtype = np.dtype(f"<{'i' if layout.signed else 'u'}{layout.allocated // 8}")
    count = layout.rows * layout.columns
    try:
        values = np.fromfile(item.path, dtype, count, offset=item.offset or 0)
    except OSError as problem:
        raise ReadError("This file cannot be read", where=item.path, got=problem.strerror) from None
    if values.size != count:
        raise TruncatedError("The file ends before its pixels do", where=item.path, fix="copy it again")
    return _only_stored_bits(values.reshape(layout.rows, layout.columns), layout, item.path)


def _decoded(slices: Sequence[Slice]) -> list[Values]:
    from pydicom import dcmread
    from pydicom.pixels.utils import iter_pixels

    path = slices[0].path
    indices = [item.frame for item in slices]
    try:
        data = dcmread(path)
        plugin = _decoder(data, path)
        _require_whole_frames(data, path)
        frames = [np.asarray(frame) for frame in iter_pixels(data, indices=indices, decoding_plugin=plugin)]
        if slices[0].layout.photometric == "PALETTE COLOR":
            frames = [_coloured(frame, data) for frame in frames]
    except (CalqueError, MemoryError):
        raise
    except Exception as problem:  # a foreign decoder: on damaged bytes it raises anything
        raise ReadError(
            "The pixels of this file cannot be decoded",
            where=path,
            got=problem or type(problem).__name__,
            fix="copy or export it again",
        ) from None
    for frame, item in zip(frames, slices, strict=True):
        wanted = (item.layout.rows, item.layout.columns, *((3,) if item.layout.colour else ()))
        if frame.shape != wanted:
            raise ReadError(
                "A frame has another size than announced", where=path, expected=wanted, got=frame.shape
            )
    return frames


def _decoder(data: Dataset, path: Path) -> str:
    """The plugin of pydicom that decodes this file; "" where it is not compressed.

    Raises:
        ReadError: there is none.
        MissingExtraError: none is installed.
    """
    from pydicom.pixels.decoders.base import get_decoder

    syntax = data.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ReadError(
            "Pixels compressed in this way are not supported", where=path, got=syntax.name
        ) from None
    if not syntax.is_encapsulated:
        return ""
    for plugin in _PLUGINS.get(syntax, _OTHERWISE):
        if plugin in decoder.available_plugins:
            return plugin
    raise MissingExtraError(f"A decoder of {syntax.name}", "dicom")


def _require_whole_frames(data: Dataset, path: Path) -> None:
    """Decoders fill up with grey what a frame lacks, and take rows for columns, without a word."""
    from pydicom.encaps import generate_frames

    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    count = int(data.get("NumberOfFrames", 1) or 1)
    frames = list(generate_frames(data.PixelData, number_of_frames=count))
    ended = syntax == _RLE or all(is_whole(frame) for frame in frames)
    if len(frames) < count or not ended:
        raise TruncatedError(
            "The compressed pixels are not whole",
            where=path,
            expected=f"{count} whole frames",
            got=f"{len(frames)} frames" if len(frames) != count else "a frame without its end",
            fix="copy or export it again",
        )
    wanted = (data.Rows, data.Columns, data.SamplesPerPixel)
    for said in map(announced_by, frames):
        if said and ((said.rows, said.columns, said.samples) != wanted or said.bits > data.BitsAllocated):
            raise ReadError(
                "A compressed frame has another size than the header says",
                where=path,
                expected=f"{wanted[0]} rows, {wanted[1]} columns, {wanted[2]} samples",
                got=f"{said.rows} rows, {said.columns} columns, {said.samples} samples of {said.bits} bits",
                fix="export it again",
            )


def _coloured(indices: Values, data: Dataset) -> NDArray[np.uint8]:
    """(row, column, 3) of a palette's colours; tables of 16 bits hold them in the upper byte."""
    from pydicom.pixels.processing import apply_color_lut

    colours = np.asarray(apply_color_lut(indices, data))
    if colours.dtype.itemsize > 1:
        table = max(
            int(np.frombuffer(data[f"{name}PaletteColorLookupTableData"].value, "<u2").max())
            for name in ("Red", "Green", "Blue")
        )
        colours = colours >> 8 if table > 255 else colours
    return colours.astype(np.uint8)


def _only_stored_bits(values: Values, layout: Layout, path: Path) -> Values:
    """Sign extended from the highest stored bit, and without an overlay in the bits above it.

    Raises:
        ReadError: the bits above it are neither.
    """
    if layout.stored == layout.allocated or layout.photometric == "PALETTE COLOR" or layout.samples > 1:
        return values
    least, most = layout.stored_range
    low, high = int(values.min()), int(values.max())
    if least <= low and high <= most:
        return values
    kind = f"u{values.dtype.itemsize}"
    bits = values.view(kind)
    below = bits & np.array(2**layout.stored - 1, bits.dtype)
    unsigned_form = layout.signed and low >= 0 and high < 2**layout.stored
    if not unsigned_form and not _has_overlay_above(path):
        raise ReadError(
            "Values use more bits than they may",
            where=path,
            expected=f"{layout.stored} bits stored: {least} to {most}",
            got=f"{low} to {high}",
            fix="export the series again",
        )
    if not layout.signed:
        return np.asarray(below)
    sign = 2 ** (layout.stored - 1)
    return np.asarray(((below.astype(np.int64) ^ sign) - sign).astype(values.dtype))


def _has_overlay_above(path: Path) -> bool:
    """Whether an overlay lies in unused bits of the pixels (retired, and still in archives)."""
    from pydicom import dcmread

    data = dcmread(path, stop_before_pixels=True)
    return any(data.get((group, 0x0102)) is not None and data[group, 0x0102].value for group in _OVERLAYS)
