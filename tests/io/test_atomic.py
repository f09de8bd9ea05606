"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from calque.errors import InputError, ResourceError
from calque.geometry import Grid
from calque.image import Image
from calque.io import atomic_path, write_bytes_atomic, write_image, write_text_atomic


def test_the_temporary_file_keeps_folder_and_suffixes(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "a.nii.gz") as aside:
        assert aside.parent == tmp_path / "new"
        assert aside.name.endswith("a.nii.gz")
        assert aside.name.startswith(".")
        aside.write_bytes(b"x")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.nii.gz"]


def test_long_names_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240 + ".nii.gz")
    write_bytes_atomic(path, b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, problem: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "before")

    def fail() -> None:
        with atomic_path(path) as aside:
            aside.write_text("half")
            raise problem

    with pytest.raises(problem):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.bin"

    def fill() -> None:
        with atomic_path(path) as aside:
            aside.write_bytes(b"half")
            raise OSError(code, os.strerror(code))

    with pytest.raises(ResourceError, match="disk is full") as caught:
        fill()
    assert caught.value.fix is not None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """The system refuses to let a file grow beyond 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(9999))


def _safetensors(path: Path) -> None:
    save_file({"a": np.zeros(9999)}, path)


def _zip(path: Path) -> None:
    np.savez(path, a=np.zeros(9999))


@pytest.mark.parametrize("write", [_numpy, _safetensors, _zip])
def test_libraries_that_lose_the_cause(
    tmp_path: Path, small_files_only: None, write: Callable[[Path], None]
) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "a.npz") as aside:
            write(aside)

    with pytest.raises(ResourceError, match=r"a\.npz"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_trouble_elsewhere_is_not_taken_for_ours(tmp_path: Path) -> None:
    def read_another() -> None:
        with atomic_path(tmp_path / "a.txt"):
            (tmp_path / "b").mkdir()
            (tmp_path / "b").read_bytes()

    with pytest.raises(IsADirectoryError):
        read_another()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_image_for_which_there_is_no_room(tmp_path: Path, small_files_only: None, name: str) -> None:
    array = np.random.default_rng(0).normal(size=(1, 30, 30, 30)).astype(np.float32)
    image = Image(array, Grid.from_parts((30, 30, 30), (1, 1, 1)), ("MR",))
    with pytest.raises(ResourceError, match=name):
        write_image(image, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_text_atomic(tmp_path / "file" / "a.txt", "x")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InputError, match=r"folder\.txt"):
        write_text_atomic(tmp_path / "folder.txt", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.txt"]


def test_folders_are_written_aside_too(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "case") as aside:
            aside.mkdir()
            (aside / "image.npy").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
    with atomic_path(tmp_path / "case") as aside:
        aside.mkdir()
        (aside / "image.npy").write_bytes(b"x")
    assert (tmp_path / "case" / "image.npy").read_bytes() == b"x"


def test_files_are_as_readable_as_any(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("x")
    write_text_atomic(tmp_path / "atomic", "x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "atomic")}
    assert len(modes) == 1


def test_text_is_utf8_and_newlines_stay(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\n"
