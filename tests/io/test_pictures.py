"""Pictures: what a pixel means, what is refused, and how masks are kept in them."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from calque.errors import GeometryError, InputError, LabelError, MissingExtraError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import read_frames, read_header, read_image, read_labels, write_image, write_labels
from calque.labels import Coding, Labels

GREY = np.random.default_rng(0).integers(0, 255, (8, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 255, (8, 9, 3), dtype=np.uint8)
LABELS = Labels.from_names({"cytoplasm": 128, "nucleus": 255})


def save(path: Path, pixels: Any, mode: str | None = None, **more: Any) -> Path:
    picture = Picture.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **more)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_colours_are_three_channels_and_rows_run_down(tmp_path: Path, suffix: str) -> None:
    image = read_image(save(tmp_path / f"a.{suffix}", COLOUR))
    np.testing.assert_array_equal(image.array[:, 0], COLOUR.transpose(2, 0, 1))
    assert (image.channels, image.placed) == (("red", "green", "blue"), False)
    assert (image.grid.orientation, image.grid.spacing) == ("SPL", (1, 1, 1))
    header = read_header(tmp_path / f"a.{suffix}")
    assert (header.placed, header.spacing_known, header.channels) == (False, False, 3)


def test_jpeg_is_read(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.jpg", COLOUR, quality=95))
    assert (image.array.shape, image.channels) == ((3, 1, 8, 9), ("red", "green", "blue"))
    assert read_image(save(tmp_path / "b.jpeg", GREY)).array.shape == (1, 1, 8, 9)


@pytest.mark.parametrize(
    ("dots", "known"), [(72, False), (72.009, False), (96, False), (300, False), (254, True)]
)
def test_resolution_of_screens_and_printers_is_no_measurement(
    tmp_path: Path, dots: float, known: bool
) -> None:
    for suffix in ("png", "bmp", "tif", "jpg"):
        header = read_header(save(tmp_path / f"a.{suffix}", GREY, dpi=(dots, dots)))
        assert header.spacing_known == known
        expected = (0.1, 0.1, 0.1) if known else (1, 1, 1)
        np.testing.assert_allclose(header.grid.spacing, expected, rtol=1e-3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_opaque_alpha_is_dropped_and_other_alpha_refused(tmp_path: Path, suffix: str) -> None:
    alpha = np.full((8, 9, 1), 255, np.uint8)
    opaque = save(tmp_path / f"a.{suffix}", np.concatenate([COLOUR, alpha], axis=2))
    np.testing.assert_array_equal(read_image(opaque).array[:, 0], COLOUR.transpose(2, 0, 1))
    assert read_header(opaque).channels == 3
    alpha[3, 4] = 254
    with pytest.raises(ReadError, match="transparent"):
        read_image(save(tmp_path / f"b.{suffix}", np.concatenate([COLOUR, alpha], axis=2)))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_is_colours_in_an_image_and_indices_in_a_mask(tmp_path: Path, suffix: str) -> None:
    indices = np.random.default_rng(2).integers(0, 3, (8, 9), dtype=np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[:3] = (10, 20, 30), (200, 0, 0), (0, 0, 200)
    picture = Picture.fromarray(indices)
    picture.putpalette(colours.tobytes())
    path = tmp_path / f"a.{suffix}"
    picture.save(path)
    np.testing.assert_array_equal(read_image(path).array[:, 0], colours[indices].transpose(2, 0, 1))
    np.testing.assert_array_equal(read_labels(path).array[0], indices)
    assert read_header(path).channels == 3


def test_masks_show_their_classes_in_colour(tmp_path: Path) -> None:
    array = np.random.default_rng(3).choice([0, 128, 255], (1, 8, 9)).astype(np.uint8)
    path = tmp_path / "mask.png"
    write_labels(LabelMap(array, Grid.from_parts((1, 8, 9), (0.3, 0.3, 0.3)), LABELS), path)
    back = read_labels(path, LABELS)
    np.testing.assert_array_equal(back.array, array)
    assert back.grid.spacing == pytest.approx((0.3, 0.3, 0.3))
    shown = np.asarray(Picture.open(path).convert("RGB"))
    assert tuple(shown[array[0] == 255][0]) == LABELS.classes[1].colour


def test_masks_of_many_labels_are_grey_of_16_bits(tmp_path: Path) -> None:
    labels = Labels.from_names({"a": 1, "b": 300})
    array = np.random.default_rng(3).choice([0, 1, 300], (1, 8, 9)).astype(np.uint16)
    write_labels(LabelMap(array, Grid.from_parts((1, 8, 9), (1, 1, 1)), labels), tmp_path / "m.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "m.png", labels).array, array)


def test_grey_as_rgb_is_grey_and_colours_are_never_guessed(tmp_path: Path) -> None:
    values = np.random.default_rng(4).choice([0, 255], (8, 9)).astype(np.uint8)
    np.testing.assert_array_equal(
        read_labels(save(tmp_path / "a.png", np.repeat(values[..., None], 3, 2))).array[0], values
    )
    red = np.zeros((8, 9, 3), np.uint8)
    red[2:4, :, 0] = 255
    path = save(tmp_path / "b.png", red)
    with pytest.raises(LabelError, match="#ff0000") as caught:
        read_labels(path)
    assert "dataset init" in str(caught.value)
    found = read_labels(path, coding=Coding(colours=(((255, 0, 0), 7),)))
    assert found.labels.values == (7,)
    np.testing.assert_array_equal(found.array[0], np.where(red[..., 0] > 0, 7, 0))
    with pytest.raises(LabelError, match="#ff0000"):
        read_labels(path, coding=Coding(colours=(((0, 255, 0), 7),)))


def test_one_bit(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREY > 100)
    np.testing.assert_array_equal(read_labels(path).array[0], GREY > 100)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((1, 2, 4, 5), np.uint8), "slice"),
        (np.zeros((2, 1, 4, 5), np.uint8), "channels"),
        (np.zeros((1, 1, 4, 5), np.float32), "float32"),
        (np.zeros((3, 1, 4, 5), np.uint16), "uint16"),
    ],
)
def test_what_png_cannot_hold_is_refused(tmp_path: Path, array: Any, what: str) -> None:
    names = tuple("abc"[: len(array)])
    image = Image(array, Grid.from_parts(array.shape[1:], (1, 1, 1)), names)
    with pytest.raises(InputError, match=what):
        write_image(image, tmp_path / "a.png")


def test_bombs_are_refused_before_they_unfold(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = 60_000
    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    png = tmp_path / "bomb.png"
    png.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ReadError, match="too large"):
        read_image(png)
    bmp = tmp_path / "bomb.bmp"
    content = bytearray(save(bmp, GREY).read_bytes())
    content[18:26] = struct.pack("<ii", size, size)
    bmp.write_bytes(bytes(content))
    with pytest.raises(ReadError, match="too large"):
        read_image(bmp)


def test_the_name_decides_and_is_checked(tmp_path: Path) -> None:
    save(tmp_path / "a.png", GREY).rename(tmp_path / "a.jpg")
    with pytest.raises(ReadError, match="not what its name says"):
        read_image(tmp_path / "a.jpg")


# TIFF


def tiff(path: Path, array: Any, **more: Any) -> Path:
    tifffile.imwrite(path, array, **more)
    return path


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_stacks(tmp_path: Path, kind: str, compression: str | None) -> None:
    stack = np.random.default_rng(0).integers(0, 100, (5, 8, 9)).astype(kind)
    image = read_image(tiff(tmp_path / "a.tif", stack, photometric="minisblack", compression=compression))
    np.testing.assert_array_equal(image.array, stack[None])
    assert image.array.dtype == kind


def test_ome_sizes(tmp_path: Path) -> None:
    stack = np.zeros((2, 5, 8, 9), np.uint16)
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0}
    path = tiff(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata={"axes": "CZYX", **sizes})
    header = read_header(path)
    assert (header.channels, header.grid.shape, header.spacing_known) == (2, (5, 8, 9), True)
    np.testing.assert_allclose(header.grid.spacing, (0.002, 0.0005, 0.0005))


@pytest.mark.parametrize(("unit", "mm"), [("um", 1e-3), ("micron", 1e-3), ("mm", 1.0), ("pixel", None)])
def test_imagej_spacing(tmp_path: Path, unit: str, mm: float | None) -> None:
    stack = np.zeros((5, 8, 9), np.uint16)
    path = tiff(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(4, 2),
        metadata={"spacing": 3.0, "unit": unit, "axes": "ZYX"},
    )
    header = read_header(path)
    assert header.spacing_known == (mm is not None)
    expected = (1, 1, 1) if mm is None else (3 * mm, 0.5 * mm, 0.25 * mm)
    np.testing.assert_allclose(header.grid.spacing, expected, rtol=1e-6)


def test_planar_colours(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", COLOUR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    image = read_image(path)
    np.testing.assert_array_equal(image.array[:, 0], COLOUR.transpose(2, 0, 1))
    assert image.channels == ("red", "green", "blue")


def test_white_as_zero(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(path).array[0, 0], 255 - GREY)


def test_time_and_mixed_sizes_are_unclear(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", np.zeros((4, 3, 8, 9), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(ReadError, match="not clear"):
        read_image(path)
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[:4])
    with pytest.raises(ReadError, match="different kinds"):
        read_image(tmp_path / "b.tif")


def test_a_tiff_of_a_million_by_a_million_is_refused_before_it_is_made(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", GREY, compression="zlib", metadata=None)
    content = bytearray(path.read_bytes())
    offset = int.from_bytes(content[4:8], "little")
    for k in range(int.from_bytes(content[offset : offset + 2], "little")):
        entry = offset + 2 + 12 * k
        if int.from_bytes(content[entry : entry + 2], "little") in (256, 257):  # width, length
            content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 10**6)
    path.write_bytes(bytes(content))
    with pytest.raises(ReadError):
        read_image(path)


# NumPy and MetaImage


def test_an_array_without_geometry_is_refused_with_a_fix(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4, 5), np.int16))
    with pytest.raises(GeometryError, match=r"a\.json"):
        read_image(path)
    (tmp_path / "a.json").write_text('{"spacing": [3, 0.5, 0.5]}')
    assert read_image(path).grid.spacing == (3, 0.5, 0.5)
    (tmp_path / "a.json").write_text('{"affine": [[0, 0, 1, 5], [0, 1, 0, 6], [2, 0, 0, 7], [0, 0, 0, 1]]}')
    assert read_header(path).grid.origin.tolist() == [5, 6, 7]
    for broken in ("{", "[]", '{"spacing": [0, 1, 1]}', '{"affine": 3}', '{"spacing": "x"}'):
        (tmp_path / "a.json").write_text(broken)
        with pytest.raises(GeometryError):
            read_image(path)


def test_pickles_are_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[[object()]]]), allow_pickle=True)
    with pytest.raises(ReadError):
        read_image(tmp_path / "a.npy")


def test_a_pair_of_header_and_voxels(tmp_path: Path) -> None:
    import SimpleITK

    array = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.6, 2.0))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))
    back = read_image(tmp_path / "a.mhd")
    np.testing.assert_array_equal(back.array[0], array)
    np.testing.assert_allclose(back.grid.spacing, (2.0, 0.6, 0.5))


def test_missing_parts_name_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n")
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingExtraError, match=r"calque\[itk\]"):
        read_header(tmp_path / "a.nrrd")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"calque\[video\]"):
        list(read_frames(tmp_path / "a.mp4"))


def test_a_chunk_longer_than_the_file_costs_no_memory(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREY)
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT")
    content[place - 4 : place] = struct.pack(">I", 2**32 - 1)
    path.write_bytes(bytes(content))
    for reader in (read_header, read_image):
        with pytest.raises(TruncatedError, match="chunks"):
            reader(path)
