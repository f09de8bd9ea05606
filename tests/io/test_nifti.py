"""What only NIfTI files can do, good and bad."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.image import Image
from calque.io import read_header, read_image, write_image
from calque.io.nifti_header import parse, size_and_order

AFFINE = np.array([[0, -2, 0, 10], [0, 0, 1.5, -20], [3, 0, 0, 30], [0, 0, 0, 1]], float)


def _save(path: Path, array: NDArray[Any], change: Callable[[Any], None] | None = None) -> Path:
    """By nibabel, so that our reader is not asked about our writer; `change` edits the raw header."""
    image = nib.Nifti1Image(array, AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    nib.save(image, path)
    if change is not None:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        header = nib.Nifti1Header(raw[:348], check=False)
        change(header)
        raw = header.binaryblock + raw[348:]
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def _array(*shape: int, dtype: str = "i2") -> NDArray[Any]:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def _set(**fields: Any) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        for name, value in fields.items():
            header[name] = value

    return change


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axes_are_transposed_and_positions_kept(tmp_path: Path, suffix: str) -> None:
    array = _array(3, 4, 5)
    image = read_image(_save(tmp_path / f"a{suffix}", array))
    assert image.array.shape == (1, 5, 4, 3)
    np.testing.assert_array_equal(image.array[0], array.T)
    for index in ((0, 0, 0), (2, 3, 4), (1, 0, 2)):
        world = nib.affines.apply_affine(AFFINE, index) * (-1, -1, 1)
        np.testing.assert_allclose(image.grid.to_world(index[::-1]), world)


def test_the_fourth_axis_holds_channels(tmp_path: Path) -> None:
    array = _array(3, 4, 5, 2)
    image = read_image(_save(tmp_path / "a.nii", array), channels=("T1", "T2"))
    assert image.channels == ("T1", "T2")
    np.testing.assert_array_equal(image.array[1], array[..., 1].T)


def test_vectors_on_the_fifth_axis_are_channels(tmp_path: Path) -> None:
    array = _array(3, 4, 5, 1, 3)
    image = read_image(_save(tmp_path / "a.nii", array))
    np.testing.assert_array_equal(image.array[2], array[..., 0, 2].T)


def test_two_axes_beyond_space_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="more than one axis beyond space"):
        read_image(_save(tmp_path / "a.nii", _array(3, 4, 5, 2, 3)))


def test_a_plane_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    assert read_image(_save(tmp_path / "a.nii", _array(3, 4))).array.shape == (1, 1, 4, 3)


def test_scaling_is_applied_and_only_then_integers_become_floats(tmp_path: Path) -> None:
    plain = read_image(_save(tmp_path / "a.nii", _array(3, 4, 5)))
    assert plain.array.dtype == np.int16
    path = _save(tmp_path / "b.nii", _array(3, 4, 5), _set(scl_slope=0.5, scl_inter=-1024))
    scaled = read_image(path)
    assert scaled.array.dtype == read_header(path).dtype == np.float32
    np.testing.assert_allclose(scaled.array[0], _array(3, 4, 5).T * 0.5 - 1024)


def test_a_slope_of_zero_means_none(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5), _set(scl_slope=0, scl_inter=7))
    np.testing.assert_array_equal(read_image(path).array[0], _array(3, 4, 5).T)


def test_big_endian_and_second_version(tmp_path: Path) -> None:
    array = _array(3, 4, 5)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    big = nib.Nifti1Image(array.astype(">i2"), AFFINE, header)
    nib.save(big, tmp_path / "big.nii")
    nib.save(nib.Nifti2Image(array, AFFINE), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        image = read_image(tmp_path / name)
        assert image.array.dtype == np.dtype("=i2")
        np.testing.assert_array_equal(image.array[0], array.T)
        assert image.grid.orientation == read_image(_save(tmp_path / "c.nii", array)).grid.orientation


@pytest.mark.parametrize(("unit", "scale"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_metres_and_micrometres_become_millimetres(tmp_path: Path, unit: int, scale: float) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5), _set(xyzt_units=unit))
    np.testing.assert_allclose(read_header(path).grid.spacing, np.array((1.5, 2, 3)) * scale)


def test_without_a_position_there_is_no_grid(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5), _set(sform_code=0, qform_code=0))
    for reader in (read_header, read_image):
        with pytest.raises(GeometryError, match="does not say where") as caught:
            reader(path)
        assert caught.value.where == path
        assert caught.value.fix


def test_the_qform_serves_where_there_is_no_sform(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5), _set(sform_code=0, srow_x=(9, 9, 9, 9)))
    header = read_header(path)
    assert header.disagreement == 0
    expected = nib.affines.apply_affine(AFFINE, (2, 3, 4)) * (-1, -1, 1)
    np.testing.assert_allclose(header.grid.to_world((4, 3, 2)), expected, atol=1e-4)


def test_two_positions_are_measured_and_the_sform_followed(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5), _set(qoffset_x=17.0))
    header = read_header(path)
    assert header.disagreement == pytest.approx(7.0)
    np.testing.assert_allclose(header.grid.origin, (-10, 20, 30))


def test_a_broken_rotation_beside_a_good_sform_is_reported(tmp_path: Path) -> None:
    header = read_header(_save(tmp_path / "a.nii", _array(3, 4, 5), _set(quatern_b=5.0)))
    assert header.disagreement == np.inf
    with pytest.raises(GeometryError, match="rotation"):
        read_header(_save(tmp_path / "b.nii", _array(3, 4, 5), _set(quatern_b=5.0, sform_code=0)))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_set(dim=(3, 30000, 30000, 30000, 1, 1, 1, 1)), InputError),
        (_set(dim=(3, 3000, 3000, 300, 1, 1, 1, 1)), TruncatedError),
        (_set(dim=(3, 0, 4, 5, 1, 1, 1, 1)), ReadError),
        (_set(dim=(3, -3, 4, 5, 1, 1, 1, 1)), ReadError),
        (_set(dim=(0, 3, 4, 5, 1, 1, 1, 1)), ReadError),
        (_set(dim=(9, 3, 4, 5, 1, 1, 1, 1)), ReadError),
        (_set(srow_x=(np.nan, 0, 0, 0)), GeometryError),
        (_set(srow_x=(np.inf, 0, 0, 0)), GeometryError),
        (_set(srow_x=(0, 0, 0, 0)), GeometryError),
        (_set(magic=b"ni1"), ReadError),
        (_set(magic=b""), ReadError),
        (_set(vox_offset=np.nan), ReadError),
        (_set(vox_offset=-5), ReadError),
        (_set(vox_offset=1e30), ReadError),
        (_set(vox_offset=1e9), TruncatedError),
        (_set(datatype=128), ReadError),
        (_set(datatype=32), ReadError),
        (_set(datatype=9999), ReadError),
        (_set(sizeof_hdr=17), ReadError),
    ],
)
def test_hostile_headers_are_refused_with_their_path(
    tmp_path: Path, suffix: str, change: Callable[[Any], None], error: type[InputError]
) -> None:
    path = _save(tmp_path / f"bad{suffix}", _array(3, 4, 5), change)
    with pytest.raises(error, match="bad") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_header_within_the_ratio_of_gzip_still_ends_early(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii.gz", _array(30, 40, 50), _set(dim=(3, 30, 40, 60, 1, 1, 1, 1)))
    with pytest.raises(TruncatedError):
        read_image(path)


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii.gz", _array(3, 4, 5))
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ReadError, match="damaged"):
        read_image(path)


def test_gzip_must_match_the_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii.gz", _array(3, 4, 5))
    (tmp_path / "b.nii").write_bytes(path.read_bytes())
    (tmp_path / "c.nii.gz").write_bytes(gzip.decompress(path.read_bytes()))
    for name in ("b.nii", "c.nii.gz"):
        with pytest.raises(ReadError, match="not what its name says"):
            read_image(tmp_path / name)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _array(3, 4, 5))
    raw = path.read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:]))
    np.testing.assert_array_equal(read_image(tmp_path / "b.nii.gz").array, read_image(path).array)


def test_what_is_written_says_its_unit_and_both_positions(tmp_path: Path) -> None:
    grid = Grid.from_parts((5, 4, 3), (3, 2, 1), (7, 8, 9))
    write_image(Image(_array(1, 5, 4, 3), grid, ("CT",)), tmp_path / "a.nii.gz")
    header = nib.load(tmp_path / "a.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"


def test_sheared_axes_are_kept_by_the_sform_alone(tmp_path: Path) -> None:
    affine = Grid.from_parts((5, 4, 3), (3, 2, 1)).affine.copy()
    affine[0, 1] = 0.6
    grid = Grid((5, 4, 3), affine)
    write_image(Image(_array(1, 5, 4, 3), grid, ("CT",)), tmp_path / "a.nii")
    header = read_header(tmp_path / "a.nii")
    assert header.grid.isclose(grid)
    assert header.disagreement == 0
    assert int(nib.load(tmp_path / "a.nii").header["qform_code"]) == 0


@pytest.mark.parametrize(("given", "written"), [("?", "u1"), ("f2", "f4"), (">i2", "i2")])
def test_types_that_nifti_lacks_become_the_next(tmp_path: Path, given: str, written: str) -> None:
    array = (_array(1, 5, 4, 3) % 2).astype(given)
    write_image(Image(array, Grid.from_parts((5, 4, 3), (1, 1, 1)), ("x",)), tmp_path / "a.nii")
    back = read_image(tmp_path / "a.nii").array
    assert back.dtype == np.dtype(written)
    np.testing.assert_array_equal(back, array)


def test_what_nifti_cannot_hold_is_refused(tmp_path: Path) -> None:
    grid = Grid.from_parts((1, 1, 40000), (1, 1, 1))
    with pytest.raises(GeometryError, match="too large"):
        write_image(Image(np.zeros((1, 1, 1, 40000), "u1"), grid, ("x",)), tmp_path / "a.nii")
    small = Grid.from_parts((1, 1, 2), (1, 1, 1))
    with pytest.raises(InputError, match="type"):
        write_image(Image(np.zeros((1, 1, 1, 2), "c8"), small, ("x",)), tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.parametrize(
    "pattern", ["ms-lesions/*/*.nii.gz", "spinal-cord/**/*.nii.gz", "sarcoma-petct/STS_003/*.nii.gz"]
)
def test_real_files_lie_where_nibabel_sees_them(data_root: Path, pattern: str) -> None:
    paths = sorted(data_root.glob(pattern))
    assert paths
    rng = np.random.default_rng(0)
    for path in paths:
        reference, image = nib.load(path), read_image(path)
        values = np.asanyarray(reference.dataobj)
        for index in rng.integers(0, reference.shape[:3], (20, 3)):
            world = nib.affines.apply_affine(reference.affine, index) * (-1, -1, 1)
            np.testing.assert_allclose(image.grid.to_world(index[::-1]), world, atol=1e-3)
            z, y, x = index[::-1]
            np.testing.assert_allclose(image.array[:, z, y, x].squeeze(), values[tuple(index)], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]),
    order=st.sampled_from("<>"),
    seed=st.integers(0, 2**32 - 1),
)
def test_headers_are_parsed_as_nibabel_parses_them(kind: Any, order: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    header = kind(endianness=order)
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * random.uniform(0.3, 9, 3), random.normal(0, 99, 3)
    header.set_data_shape(random.integers(1, 99, random.integers(1, 6)))
    header.set_data_dtype(random.choice(["u1", "i2", "i4", "f4", "f8", "i1", "u2", "u4", "i8", "u8"]))
    header.set_qform(affine, code=int(random.integers(0, 5)))
    header.set_sform(affine + 1, code=int(random.integers(0, 5)))
    header["scl_slope"], header["scl_inter"], header["xyzt_units"] = 1.5, -2.0, random.integers(0, 4)
    block = header.binaryblock
    size, found = size_and_order(block) or (0, "")
    raw = parse(block, size, found)
    np.testing.assert_allclose(raw.qform, header.get_qform(), rtol=0, atol=1e-12)  # products, reordered
    assert np.array_equal(raw.sform, header.get_sform())
    assert raw.stored == header.get_data_dtype()
    assert raw.dim == tuple(header["dim"])
    for name in ("scl_slope", "scl_inter", "xyzt_units", "qform_code", "sform_code", "vox_offset"):
        assert getattr(raw, name) == header[name]
