"""SEG and RTSTRUCT to label maps from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.dicom_series import oblique, phantom, write_series
from tests.support.dicom_structures import contour, write_rtstruct

from calque.cli.app import run
from calque.io import read_labels

SHAPE = (6, 12, 10)
GRID = oblique(SHAPE)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A series, and an RTSTRUCT with two structures that overlap and refer to no image of it."""
    write_series(tmp_path / "ct", phantom(SHAPE))
    drawn = {}
    for name, low, high in (("Big", 1.5, 5.5), ("Small One", 3.5, 7.5)):
        corners = np.array([(2, low, low), (2, low, high), (2, high, high), (2, high, low)])
        drawn[name] = [contour(GRID.to_world(corners))]
    write_rtstruct(tmp_path / "rt.dcm", drawn)
    return tmp_path


def convert(study: Path, *options: str) -> int:
    return run(["convert", str(study / "rt.dcm"), "-o", str(study / "out.nii.gz"), *options])


def test_the_series_is_asked_for(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(study) == 2
    assert "--reference" in capsys.readouterr().err


def test_overlaps_are_refused_with_both_ways_out(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(study, "--reference", str(study / "ct")) == 2
    said = capsys.readouterr().err
    assert "--priority Big,Small One" in " ".join(said.split())
    assert "--overlaps regions" in said
    assert not (study / "out.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (("--priority", "small one"), [12, 16]),
        (("--overlaps", "regions"), [12, 12, 4]),
        (("--structures", "SMALLONE"), [0, 16]),
    ],
)
def test_what_is_chosen_is_written(
    options: tuple[str, ...], counts: list[int], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(study, "--reference", str(study / "ct"), *options) == 0
    found = read_labels(study / "out.nii.gz")
    assert np.bincount(found.array.reshape(-1))[1:].tolist() == counts
    assert found.grid.isclose(GRID)
    said = capsys.readouterr().out
    assert "explain structures-by-geometry" in " ".join(said.split())
