"""Files that are read again within a command come from memory, unless they have changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calque.errors import ReadError
from calque.geometry import Grid
from calque.image import Image
from calque.io import keep_volumes, read_volume, write_image

GRID = Grid.from_parts((4, 5, 6), (1.0, 1.0, 1.0))


def made(path: Path, value: float) -> Path:
    write_image(Image(np.full((1, *GRID.shape), value, np.float32), GRID, ("MR",)), path)
    return path


def test_within_a_file_is_read_once(tmp_path: Path) -> None:
    path = made(tmp_path / "a.nii.gz", 1.0)
    assert read_volume(path) is not read_volume(path)
    with keep_volumes():
        assert read_volume(path) is read_volume(path)
    assert read_volume(path).array.flags.writeable


def test_what_is_kept_cannot_be_written_to(tmp_path: Path) -> None:
    path = made(tmp_path / "a.nii.gz", 1.0)
    with keep_volumes(), pytest.raises(ValueError, match="read-only"):
        read_volume(path).array[:] = 2


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = made(tmp_path / "a.nii", 1.0)
    with keep_volumes():
        assert read_volume(path).array.max() == 1
        wide = Grid.from_parts((4, 5, 7), (1.0, 1.0, 1.0))
        write_image(Image(np.full((1, *wide.shape), 2.0, np.float32), wide, ("MR",)), path)
        assert read_volume(path).array.max() == 2
        path.unlink()
        with pytest.raises(ReadError):
            read_volume(path)


def test_no_more_is_kept_than_allowed(tmp_path: Path) -> None:
    one, two = (made(tmp_path / f"{name}.nii.gz", 1.0) for name in "ab")
    with keep_volumes(limit=700):  # a volume takes 480 bytes
        assert read_volume(one) is read_volume(one)
        assert read_volume(two) is not read_volume(two)
