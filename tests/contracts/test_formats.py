"""Laws that every format with a reader and a writer obeys. A new format is one entry in `CONTRACTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.spatial.transform import Rotation

from calque.errors import GeometryError, InputError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import FORMATS, read_header, read_image, read_labels, write_image, write_labels
from calque.labels import Labels

LABELS = Labels.from_names({"organ": 1, "lesion": 7})


@dataclass(frozen=True)
class Contract:
    """What a format claims.

    `dtypes` come back as they went; `marked` finds, by another library, the LPS position of the one voxel
    that is not zero. Pictures have no place in a patient, and some have but one of `slices`. `padding` bytes
    at the end of a file mean nothing.
    """

    suffix: str
    dtypes: tuple[str, ...]
    marked: Callable[[Path], NDArray[np.float64]]
    picture: bool = False
    slices: int | None = None
    channels: tuple[int, ...] = (1, 2, 3)
    padding: int = 0

    def grid(self, shape: tuple[int, int, int]) -> Grid:
        """A grid of about this shape that the format can hold."""
        return Grid.from_parts((self.slices or shape[0], *shape[1:]), (1, 1, 1))

    def dtype(self, wanted: str) -> str:
        return wanted if wanted in self.dtypes else self.dtypes[0]


def _marked_by_nibabel(path: Path) -> NDArray[np.float64]:
    image = nib.load(path)
    (index,) = np.argwhere(np.asanyarray(image.dataobj))
    return nib.affines.apply_affine(image.affine, index) * (-1, -1, 1)


def _marked_by_pillow(path: Path) -> NDArray[np.float64]:
    picture = Picture.open(path)
    ((row, column),) = np.argwhere(np.array(picture))
    y, x = (float(part) for part in picture.text.get("calque:spacing", "1 1").split())  # type: ignore[attr-defined]
    return np.array((column * x, row * y, 0.0))


def _marked_by_tifffile(path: Path) -> NDArray[np.float64]:
    with tifffile.TiffFile(path) as file:
        array = file.asarray()
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    (index,) = np.argwhere(array.reshape([pixels[f"Size{axis}"] for axis in "ZYX"]))
    return np.array(
        [pixels.get(f"PhysicalSize{a}", 1.0) * k for a, k in zip("XYZ", index[::-1], strict=True)]
    )


def _marked_by_simpleitk(path: Path) -> NDArray[np.float64]:
    image = SimpleITK.ReadImage(str(path))
    (index,) = np.argwhere(SimpleITK.GetArrayFromImage(image))
    return np.array(image.TransformIndexToPhysicalPoint([int(k) for k in index[::-1]]))


def _marked_by_numpy(path: Path) -> NDArray[np.float64]:
    with np.load(path) as held:
        ((_, *index),) = np.argwhere(held["array"])
        return np.asarray((held["affine"] @ (*index, 1))[:3])


_ALL_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_TIFF_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
CONTRACTS = (
    Contract(".nii", _ALL_TYPES, _marked_by_nibabel),
    Contract(".nii.gz", _ALL_TYPES, _marked_by_nibabel),
    Contract(".png", ("u1", "u2"), _marked_by_pillow, picture=True, slices=1, channels=(1,)),
    Contract(".tif", _TIFF_TYPES, _marked_by_tifffile, picture=True, padding=16),
    Contract(".tiff", _TIFF_TYPES, _marked_by_tifffile, picture=True, padding=16),
    Contract(".mha", _ALL_TYPES, _marked_by_simpleitk),
    Contract(".nrrd", _ALL_TYPES, _marked_by_simpleitk),
    Contract(".npz", _ALL_TYPES, _marked_by_numpy),
)
READ_ONLY = {".jpg", ".jpeg", ".bmp", ".mhd", ".npy"}
"""They lose values or the position, or are two files; see tests/io for how they are read."""

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


def _fitting(contract: Contract, grid: Grid) -> Grid:
    """`grid`, or for pictures its shape and spacing alone, as thick as a pixel where there is one slice."""
    if not contract.picture:
        return grid
    z, y, x = grid.spacing
    slices, rows, columns = grid.shape
    return Grid.from_parts(
        (contract.slices or slices, rows, columns), (x if contract.slices == 1 else z, y, x)
    )


def _image(grid: Grid, dtype: str, channels: int = 1, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 20, (channels, *grid.shape)).clip(0, 120).astype(dtype)
    return Image(values, grid, tuple(f"channel {k + 1}" for k in range(channels)))


def test_every_format_has_a_contract() -> None:
    assert {contract.suffix for contract in CONTRACTS} == set(FORMATS) - READ_ONLY
    assert {suffix for suffix, chosen in FORMATS.items() if chosen.write is None} == READ_ONLY


@every_format
@quick
@given(grid=grids(), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_an_image_comes_back(
    contract: Contract, tmp_path: Path, grid: Grid, channels: int, seed: int
) -> None:
    path = tmp_path / f"image{contract.suffix}"
    grid = _fitting(contract, grid)
    channels = contract.channels[channels % len(contract.channels)]
    image = _image(grid, contract.dtypes[seed % len(contract.dtypes)], channels, seed)
    write_image(image, path)
    back = read_image(path)
    np.testing.assert_array_equal(back.array, image.array)
    assert back.array.dtype == image.array.dtype
    assert back.array.flags.writeable
    coloured = contract.picture and channels == 3 and grid.shape[0] == 1 and image.array.dtype == np.uint8
    assert back.channels == (("red", "green", "blue") if coloured else image.channels)
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
    grid = _fitting(contract, grid)
    index = tuple(data.draw(st.integers(0, n - 1)) for n in grid.shape)
    array = np.zeros((1, *grid.shape), contract.dtype("i2"))
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
    grid = contract.grid((4, 5, 6))
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
    write_image(_image(contract.grid((9, 10, 11)), contract.dtype("f4")), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * (len(whole) - contract.padding))])
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@every_format
def test_a_file_cut_at_its_end_is_named_truncated(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / f"short{contract.suffix}"
    write_image(_image(contract.grid((9, 10, 11)), contract.dtype("f4")), path)
    for missing in (1, 3, 40):
        whole = path.read_bytes()
        short = tmp_path / f"short-{missing}{contract.suffix}"
        short.write_bytes(whole[: -missing - contract.padding])
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
    write_image(_image(contract.grid((4, 5, 6)), contract.dtype("i2")), path)
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
    image = _image(contract.grid((4, 5, 6)), contract.dtype("i2"))
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


@every_format
def test_a_picture_does_not_lose_a_place_in_a_patient(contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / f"placed{contract.suffix}"
    grid = Grid.from_parts((contract.slices or 3, 4, 5), (1, 1, 1), origin=(10, 20, 30))
    image = _image(grid, contract.dtypes[0])
    if contract.picture:
        with pytest.raises(GeometryError, match="where voxels are in a patient"):
            write_image(image, path)
        assert not path.exists()
    else:
        write_image(image, path)
        assert read_image(path).grid.isclose(grid)
    assert FORMATS[contract.suffix].picture == contract.picture


@pytest.mark.parametrize("suffix", sorted(READ_ONLY))
@quick
@given(data=st.binary(max_size=2000))
def test_garbage_is_refused_by_readers_too(suffix: str, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(data)
    for reader in (read_image, read_labels, read_header):
        with pytest.raises(InputError, match="garbage"):
            reader(path)


@pytest.mark.parametrize("suffix", sorted(READ_ONLY))
def test_what_is_read_only_says_so(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    with pytest.raises(InputError, match="read only"):
        write_image(_image(Grid.from_parts((1, 4, 5), (1, 1, 1)), "u1"), path)
    with pytest.raises(ReadError, match="no such file"):
        read_header(path)
