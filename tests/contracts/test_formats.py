"""Laws that every format with a reader and a writer obeys. A new format is one entry in `CONTRACTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from calque.errors import InputError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import FORMATS, read_header, read_image, read_labels, write_image, write_labels
from calque.labels import Labels

LABELS = Labels.from_names({"organ": 1, "lesion": 7})


@dataclass(frozen=True)
class Contract:
    """What a format claims.

    `dtypes` come back as they went; `marked` finds, by another library, the LPS position of the one voxel
    that is not zero.
    """

    suffix: str
    dtypes: tuple[str, ...]
    marked: Callable[[Path], NDArray[np.float64]]


def _marked_by_nibabel(path: Path) -> NDArray[np.float64]:
    image = nib.load(path)
    (index,) = np.argwhere(np.asanyarray(image.dataobj))
    return nib.affines.apply_affine(image.affine, index) * (-1, -1, 1)


_NIFTI_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
CONTRACTS = (
    Contract(".nii", _NIFTI_TYPES, _marked_by_nibabel),
    Contract(".nii.gz", _NIFTI_TYPES, _marked_by_nibabel),
)

every_format = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.suffix)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any shape, spacing, rotation (oblique ones too), handedness and order of axes."""
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 8.0)] * 3))
    origin = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    angles = draw(st.tuples(*[st.sampled_from((0.0, 90.0, 180.0)) | st.floats(-180, 180)] * 3))
    mirror = draw(st.sampled_from((1.0, -1.0)))
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * (mirror, 1, 1)
    return Grid.from_parts(shape, spacing, origin, direction)


def _image(grid: Grid, dtype: str, channels: int = 1, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 20, (channels, *grid.shape)).clip(0, 120).astype(dtype)
    return Image(values, grid, tuple(f"channel {k + 1}" for k in range(channels)))


def test_every_format_has_a_contract() -> None:
    assert {contract.suffix for contract in CONTRACTS} == set(FORMATS)


@every_format
@quick
@given(grid=grids(), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_an_image_comes_back(
    contract: Contract, tmp_path: Path, grid: Grid, channels: int, seed: int
) -> None:
    path = tmp_path / f"image{contract.suffix}"
    image = _image(grid, contract.dtypes[seed % len(contract.dtypes)], channels, seed)
    write_image(image, path)
    back = read_image(path)
    np.testing.assert_array_equal(back.array, image.array)
    assert back.array.dtype == image.array.dtype
    assert back.array.flags.writeable
    assert back.channels == image.channels
    assert back.grid.isclose(grid, 1e-3)
    header = read_header(path)
    assert (header.grid, header.channels, header.dtype) == (back.grid, channels, image.array.dtype)
    assert header.disagreement <= 1e-3 * min(grid.spacing)


@every_format
@quick
@given(grid=grids(), data=st.data())
def test_a_marked_voxel_is_where_another_library_sees_it(
    contract: Contract, tmp_path: Path, grid: Grid, data: st.DataObject
) -> None:
    path = tmp_path / f"mark{contract.suffix}"
    index = tuple(data.draw(st.integers(0, n - 1)) for n in grid.shape)
    array = np.zeros((1, *grid.shape), np.int16)
    array[(0, *index)] = 1
    write_image(Image(array, grid, ("CT",)), path)
    expected = contract.marked(path)
    np.testing.assert_allclose(grid.to_world(index), expected, atol=1e-3)
    back = read_image(path)
    (found,) = np.argwhere(back.array[0])
    np.testing.assert_allclose(back.grid.to_world(found), expected, atol=1e-3)


@every_format
@pytest.mark.parametrize("stored", ["u1", "i2", "i8"])
def test_labels_come_back_in_the_smallest_type(contract: Contract, tmp_path: Path, stored: str) -> None:
    path = tmp_path / f"mask{contract.suffix}"
    grid = Grid.from_parts((4, 5, 6), (3, 1, 1))
    array = np.random.default_rng(0).choice([0, 1, 7], grid.shape).astype(stored)
    write_labels(LabelMap(array, grid, LABELS), path)
    back = read_labels(path, LABELS)
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == np.uint8
    assert back.labels == LABELS
    assert read_labels(path).labels.names == ("class 1", "class 7")


@every_format
@quick
@given(part=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(contract: Contract, tmp_path: Path, part: float) -> None:
    path = tmp_path / f"short{contract.suffix}"
    write_image(_image(Grid.from_parts((9, 10, 11), (1, 1, 1)), "f4"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@every_format
def test_a_file_cut_at_its_end_is_named_truncated(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / f"short{contract.suffix}"
    write_image(_image(Grid.from_parts((9, 10, 11), (1, 1, 1)), "f4"), path)
    for missing in (1, 3, 40):
        whole = path.read_bytes()
        short = tmp_path / f"short-{missing}{contract.suffix}"
        short.write_bytes(whole[:-missing])
        with pytest.raises(TruncatedError, match=short.name):
            read_image(short)


@every_format
@quick
@given(data=st.binary(max_size=2000))
def test_garbage_is_refused(contract: Contract, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"garbage{contract.suffix}"
    path.write_bytes(data)
    for reader in (read_image, read_labels, read_header):
        with pytest.raises(InputError, match="garbage"):
            reader(path)


@every_format
@settings(parent=quick, max_examples=150)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_damaged_byte_gives_an_image_or_a_clear_error(
    contract: Contract, tmp_path: Path, position: int, value: int
) -> None:
    path = tmp_path / f"damaged{contract.suffix}"
    write_image(_image(Grid.from_parts((4, 5, 6), (1, 1, 1)), "i2"), path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(bytes(content))
    image = _read_or_refuse(path)
    assert image is None or image.grid == read_header(path).grid


def _read_or_refuse(path: Path) -> Image | None:
    """The image, or None after an error that names the file; any other error is a failure."""
    try:
        return read_image(path)
    except InputError as problem:
        if path.name not in str(problem):
            raise
        return None


@every_format
def test_the_same_image_gives_the_same_bytes(contract: Contract, tmp_path: Path) -> None:
    image = _image(Grid.from_parts((4, 5, 6), (1, 1, 1)), "i2")
    one, two = tmp_path / f"one{contract.suffix}", tmp_path / f"two{contract.suffix}"
    write_image(image, one)
    write_image(image, two)
    assert one.read_bytes() == two.read_bytes()


@every_format
def test_what_is_not_there_is_named(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / f"nowhere{contract.suffix}"
    with pytest.raises(ReadError, match="no such file"):
        read_image(path)
    path.mkdir()
    with pytest.raises(ReadError, match="nowhere"):
        read_header(path)
