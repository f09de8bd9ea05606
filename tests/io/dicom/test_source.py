"""DICOM where Calque takes a path."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.support.dicom_series import phantom, uid, write_series

from calque.errors import InputError, ReadError
from calque.io import format_of, read_header, read_image, stem_of
from calque.io.dicom import choose_stack, find_stacks
from calque.io.dicom.source import Source, as_source, series_paths


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Series 1 and 2 in folders of their own, a DICOMDIR and a text."""
    folder = tmp_path / "study"
    write_series(folder / "a", series="first")
    write_series(
        folder / "b", phantom(seed=1), series="second", edit=lambda d, k: setattr(d, "SeriesNumber", 2)
    )
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_a_folder_a_file_and_a_zip_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    paths = write_series(folder)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as held:
        for path in paths:
            held.write(path, f"inner/{path.name}")
    whole = read_image(folder)
    np.testing.assert_array_equal(whole.array[0], phantom())
    again = read_image(tmp_path / "ct.zip")
    np.testing.assert_array_equal(again.array, whole.array)
    assert again.grid == whole.grid
    header = read_header(folder)
    assert (header.grid, header.channels, header.placed) == (whole.grid, 1, True)
    bare = paths[3].rename(folder / "IM4")
    np.testing.assert_array_equal(read_image(bare).array[0, 0], phantom()[3])
    assert stem_of(folder) == stem_of(tmp_path / "ct.zip") == "ct"
    assert stem_of(tmp_path / "gone.dcm") == "gone"


def test_a_series_is_named_after_the_folder(study: Path) -> None:
    with pytest.raises(InputError, match="several series"):
        read_image(study)
    for address in ("2", uid("second")):
        image = read_image(Path(f"{study}@{address}"))
        np.testing.assert_array_equal(image.array[0], phantom(seed=1))
    with pytest.raises(InputError, match="no such series"):
        read_image(Path(f"{study}@7"))
    assert stem_of(Path(f"{study}@2")) == "study_2"
    assert uid("second")[-6:] not in stem_of(Path(f"{study}@{uid('second')}"))
    assert series_paths(study) == {"study_1": Path(f"{study}@1"), "study_2": Path(f"{study}@2")}


def test_a_folder_with_an_at_in_its_name_is_that_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "a@1")
    assert as_source(tmp_path / "a@1") == Source(tmp_path / "a@1")
    assert as_source(tmp_path / "a@2") is None
    with pytest.raises(ReadError, match="suffix"):
        format_of(tmp_path / "a@2")


def test_folders_without_dicom_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"no matter")
    (tmp_path / "README").write_text("nothing")
    assert as_source(tmp_path) is None
    with pytest.raises(ReadError, match="no DICOM images"):
        choose_stack(find_stacks(tmp_path))
    with pytest.raises(ReadError, match="no such file"):
        find_stacks(tmp_path / "gone")
    with pytest.raises(ReadError, match="no such file"):
        read_image(tmp_path / "gone.dcm")


@pytest.mark.parametrize("name", ["../out.dcm", "/out.dcm", "a\\b.dcm"])
def test_a_zip_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = write_series(tmp_path / "ct", keep=[0])[0]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as held:
        held.writestr(zipfile.ZipInfo(name), path.read_bytes())
    with pytest.raises(ReadError, match="what it should not"):
        find_stacks(tmp_path / "bad.zip")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path / "ct", keep=[0])[0]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as held:
        held.write(path, "a.dcm")
    whole = (tmp_path / "bad.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(whole[:600] + b"\xff" * 40 + whole[640:])
    with pytest.raises(ReadError, match="damaged"):
        find_stacks(tmp_path / "bad.zip")
    (tmp_path / "cut.zip").write_bytes(whole[:300])
    with pytest.raises(ReadError, match="damaged"):
        read_image(tmp_path / "cut.zip")


def test_headers_are_read_again_when_a_file_changes(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", keep=[0, 1])
    assert read_header(tmp_path / "ct").grid.shape[0] == 2
    write_series(tmp_path / "ct", keep=[2])
    assert read_header(tmp_path / "ct").grid.shape[0] == 3


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from calque.errors import MissingExtraError

    write_series(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match="pydicom") as caught:
        find_stacks(tmp_path)
    assert "calque[dicom]" in str(caught.value.fix)
