"""Which files are one scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calque.errors import InputError, ReadError
from calque.geometry import Grid
from calque.image import Image
from calque.io import write_image
from calque.prediction import find_scans

ONE, TWO = ("MR",), ("T1", "T1ce")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def write_channels(path: Path, channels: int) -> None:
    grid = Grid.from_parts((3, 4, 5), (1, 1, 1))
    names = tuple(f"c{k}" for k in range(channels))
    write_image(Image(np.ones((channels, *grid.shape), np.float32), grid, names), path)


def found(inputs, channels) -> dict[str, list[str]]:
    return {scan.id: [path.name for path in scan.paths] for scan in find_scans(inputs, channels)}


def test_files_of_one_channel_are_scans(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.b.nii", "notes.txt", ".hidden.nii.gz")
    assert found(tmp_path, ONE) == {"a.b": ["a.b.nii"], "b": ["b.nii.gz"]}
    assert found([tmp_path / "b.nii.gz", tmp_path / "a.b.nii"], ONE).keys() == {"a.b", "b"}


def test_a_lone_channel_number_is_not_part_of_the_name(tmp_path):
    touch(tmp_path, "x_0000.nii.gz", "y_0000.nii.gz")
    assert found(tmp_path, ONE).keys() == {"x", "y"}


def test_counted_scans_of_one_channel_keep_their_names(tmp_path):
    touch(tmp_path, "x_0000.nii.gz", "x_0001.nii.gz", "x_0002.nii.gz")
    assert found(tmp_path, ONE).keys() == {"x_0000", "x_0001", "x_0002"}


def test_two_channels_for_a_model_of_one_are_refused(tmp_path):
    touch(tmp_path, *(f"{case}_000{k}.nii.gz" for case in "xy" for k in range(2)))
    with pytest.raises(InputError, match="more channels"):
        find_scans(tmp_path, ONE)


def test_numbered_files_are_channels(tmp_path):
    touch(tmp_path, *(f"{case}_000{k}.nii.gz" for case in "xy" for k in (1, 0)))
    assert found(tmp_path, TWO) == {
        "x": ["x_0000.nii.gz", "x_0001.nii.gz"],
        "y": ["y_0000.nii.gz", "y_0001.nii.gz"],
    }


def test_a_missing_channel_is_asked_for_and_a_surplus_one_is_not_dropped(tmp_path):
    touch(tmp_path, "x_0000.nii.gz", *(f"y_000{k}.nii.gz" for k in range(3)))
    assert found(tmp_path, TWO) == {
        "x": ["x_0000.nii.gz", "x_0001.nii.gz"],
        "y": ["y_0000.nii.gz", "y_0001.nii.gz", "y_0002.nii.gz"],
    }


def test_files_that_hold_every_channel_are_scans_however_they_are_counted(tmp_path):
    for number in range(2):
        write_channels(tmp_path / f"x_000{number}.nii.gz", 2)
    assert found(tmp_path, TWO) == {"x_0000": ["x_0000.nii.gz"], "x_0001": ["x_0001.nii.gz"]}


def test_channels_are_told_by_their_names(tmp_path):
    touch(tmp_path, "p1/p1_t1ce.nii.gz", "p1/p1_t1.nii.gz", "p2/whole.nii.gz")
    assert found(tmp_path, TWO) == {"p1": ["p1_t1.nii.gz", "p1_t1ce.nii.gz"], "p2": ["whole.nii.gz"]}
    assert found(tmp_path / "p1", TWO) == {"p1": ["p1_t1.nii.gz", "p1_t1ce.nii.gz"]}


def test_masks_beside_the_channels_are_none_of_them(tmp_path):
    names = [f"{kind}_{what}.nii.gz" for kind in TWO for what in ("image", "mask")]
    touch(tmp_path / "P1", *names)
    touch(tmp_path / "P2", *names)
    chosen = ["T1_image.nii.gz", "T1ce_image.nii.gz"]
    assert found(tmp_path, TWO) == {"P1": chosen, "P2": chosen}


def test_the_files_of_one_scan_may_be_given_as_such(tmp_path):
    touch(tmp_path, "a_one.nii.gz", "a_two.nii.gz")
    assert found([(tmp_path / "a_two.nii.gz", tmp_path / "a_one.nii.gz")], TWO) == {
        "a": ["a_two.nii.gz", "a_one.nii.gz"]
    }


@pytest.mark.parametrize("inputs", [[], [()]])
def test_nothing_is_refused(inputs):
    with pytest.raises(InputError):
        find_scans(inputs, ONE)


def test_a_folder_without_scans_is_refused(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(InputError, match="no scans"):
        find_scans(tmp_path, ONE)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no such"):
        find_scans([tmp_path / "none.nii.gz"], ONE)


def test_two_scans_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "p/a.nii.gz", "q/A.nii.gz")
    with pytest.raises(InputError, match="Two scans"):
        find_scans([tmp_path / "p", tmp_path / "q" / "A.nii.gz"], ONE)
