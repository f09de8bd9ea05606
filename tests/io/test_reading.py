"""Images of several files, masks of any type, names of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from calque.errors import GeometryError, InputError, LabelError, ReadError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import (
    format_of,
    read_image,
    read_labels,
    stem_of,
    suffix_of,
    write_image,
    write_labels,
    write_png,
)
from calque.labels import Labels

GRID = Grid.from_parts((3, 4, 5), (2, 1, 1))
LABELS = Labels.from_names({"organ": 1, "lesion": 2}, ignore=9)


def _write(path: Path, array: Any, grid: Grid = GRID) -> Path:
    array = np.asarray(array)
    array = array[np.newaxis] if array.ndim == 3 else array
    write_image(Image(array, grid, tuple(map(str, range(len(array))))), path)
    return path


def _mask(*values: float, dtype: str = "f4") -> NDArray[Any]:
    array = np.zeros(GRID.shape, dtype)
    array.flat[: len(values)] = values
    return array


def test_several_files_are_channels_in_their_order(tmp_path: Path) -> None:
    arrays = [np.full(GRID.shape, k, dtype) for k, dtype in enumerate(("u1", "i2", "f4"))]
    paths = [_write(tmp_path / f"{k}.nii.gz", a) for k, a in enumerate(arrays)]
    image = read_image(paths, channels=["a", "b", "c"])
    assert image.channels == ("a", "b", "c")
    np.testing.assert_array_equal(image.array[:, 0, 0, 0], (0, 1, 2))
    assert read_image(paths[0]).channels == ("channel 1",)


def test_files_on_two_grids_are_both_named(tmp_path: Path) -> None:
    one = _write(tmp_path / "one.nii", np.zeros(GRID.shape, "u1"))
    shifted = Grid.from_parts(GRID.shape, GRID.spacing, (0, 0, 0.5))
    two = _write(tmp_path / "two.nii", np.zeros(GRID.shape, "u1"), shifted)
    with pytest.raises(GeometryError, match=r"one\.nii.*two\.nii"):
        read_image([one, two])
    noise = Grid.from_parts(GRID.shape, GRID.spacing, (0, 0, 1e-5))
    almost = _write(tmp_path / "three.nii", np.zeros(GRID.shape, "u1"), noise)
    assert read_image([one, almost]).grid == read_image(one).grid


def test_channels_must_be_as_many_as_named(tmp_path: Path) -> None:
    double = _write(tmp_path / "a.nii", np.zeros((2, *GRID.shape), "u1"))
    with pytest.raises(InputError, match="expected: 1: "):
        read_image(double, channels=["CT"])
    with pytest.raises(ReadError, match="each holds one channel"):
        read_image([double, double])
    with pytest.raises(InputError, match="at least one file"):
        read_image([])


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u8"])
def test_masks_of_any_type_become_small(tmp_path: Path, dtype: str) -> None:
    mask = read_labels(_write(tmp_path / "m.nii", _mask(1, 2, 9, dtype=dtype)), LABELS)
    assert mask.array.dtype == np.uint8
    assert mask.array.flat[:4].tolist() == [1, 2, 9, 0]


def test_values_of_sixteen_bits(tmp_path: Path) -> None:
    mask = read_labels(_write(tmp_path / "m.nii", _mask(1, 14175, dtype="i4")))
    assert mask.array.dtype == np.uint16
    assert mask.labels.names == ("class 1", "class 14175")


def test_rounding_errors_are_rounded(tmp_path: Path) -> None:
    mask = read_labels(_write(tmp_path / "m.nii", _mask(0.99999994, 2.0000002)), LABELS)
    assert mask.array.flat[:2].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ((0.5,), "not whole"),
        ((1, 2, 1.01), "not whole"),
        ((-1,), "cannot be labels"),
        ((70000,), "cannot be labels"),
        ((np.nan,), "NaN"),
        ((np.inf,), "NaN or infinity"),
        ((3,), "not declared"),
    ],
)
def test_what_cannot_be_a_label_is_refused(tmp_path: Path, values: tuple[float, ...], what: str) -> None:
    path = _write(tmp_path / "mask.nii", _mask(*values))
    with pytest.raises(LabelError, match=what) as caught:
        read_labels(path, LABELS)
    assert caught.value.where == path


def test_a_scan_is_no_mask(tmp_path: Path) -> None:
    grid = Grid.from_parts((3, 20, 50), (1, 1, 1))
    scan = _write(tmp_path / "scan.nii", np.arange(3000, dtype="u2").reshape(grid.shape), grid)
    with pytest.raises(LabelError, match="looks like a scan"):
        read_labels(scan)
    double = _write(tmp_path / "double.nii", np.zeros((2, *GRID.shape), "u1"))
    with pytest.raises(LabelError, match="one channel"):
        read_labels(double)


def test_an_empty_mask_can_be_read(tmp_path: Path) -> None:
    mask = read_labels(_write(tmp_path / "m.nii", _mask()))
    assert mask.labels.names == ("class 1",)
    assert not mask.array.any()


def test_a_mask_with_undeclared_values_is_not_written(tmp_path: Path) -> None:
    array = np.full(GRID.shape, 5, np.uint8)
    with pytest.raises(LabelError, match="not declared"):
        write_labels(LabelMap(array, GRID, LABELS), tmp_path / "m.nii")
    assert list(tmp_path.iterdir()) == []


def test_names_of_files() -> None:
    assert stem_of(Path("x/a.b.nii.gz")) == "a.b"
    assert stem_of(Path("A.NII.GZ")) == "A"
    assert stem_of(Path("notes.txt")) == "notes.txt"
    assert suffix_of(Path("A.NII")) == ".nii"
    assert suffix_of(Path("._a.nii.gz")) is None
    assert format_of(Path("A.NII.GZ")).name == "NIfTI"
    with pytest.raises(ReadError, match=r"\.nii\.gz, \.nii"):
        format_of(Path("a.xyz"))


def test_pictures(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    write_png(rgb, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Picture.open(tmp_path / "a.png")), rgb)
    with pytest.raises(InputError, match="uint8"):
        write_png(rgb[..., 0], tmp_path / "b.png")
    with pytest.raises(InputError, match="PNG"):
        write_png(rgb, tmp_path / "b.jpg")
