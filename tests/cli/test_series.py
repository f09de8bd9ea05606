"""The verb series, and DICOM in convert and predict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.dicom_series import phantom, write_series

from calque.cli.app import run
from calque.io import read_image, read_labels
from calque.model import Card, Model
from calque.nets import build

from ..preparation.synthetic import make_plan


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Series 1, and series 2 in two phases."""
    folder = tmp_path / "study"
    write_series(folder / "one", series="one")
    for phase in (1, 2):

        def edit(data, k, phase=phase):
            data.SeriesInstanceUID, data.SeriesNumber = "1.2.3", 2
            data.TemporalPositionIdentifier = phase

        write_series(folder / "two", phantom(seed=phase), series=f"phase{phase}", modality="MR", edit=edit)
    return folder


def test_series_are_listed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["series", str(study), "--json", "-"]) == 0
    streams = capsys.readouterr()
    said = json.loads(streams.out)
    assert [(s["series"]["number"], s["name"]) for s in said["stacks"]] == [
        (1, ""),
        (2, "time 1"),
        (2, "time 2"),
    ]
    assert said["refused"] == []
    assert "PHANTOM" not in streams.out + streams.err
    assert "synthetic one" in streams.err


def test_what_is_refused_is_listed_and_told_by_the_exit_code(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "one" / "one-0003.dcm").unlink()
    assert run(["series", str(study), "--json", "-"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert "missing" in said["refused"][0]["error"]
    assert len(said["stacks"]) == 2


def test_convert_takes_a_series(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.nii.gz"
    assert run(["convert", str(study), "-o", str(out)]) == 2
    assert "2/time 2" in capsys.readouterr().err
    assert run(["convert", str(study), "-o", str(out), "--series", "2/time 2"]) == 0
    np.testing.assert_array_equal(read_image(out).array[0], phantom(seed=2))
    assert run(["convert", str(out), "-o", str(tmp_path / "b.nii"), "--series", "2"]) == 2


def test_predict_takes_a_folder_as_its_series(study: Path, tmp_path: Path) -> None:
    plan = make_plan()
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="synthetic", cases=1)
    Model(plan, (build(plan.network).state_dict(),), card).save(tmp_path / "model.calque")
    out = tmp_path / "out"
    call = ["predict", str(tmp_path / "model.calque"), str(study), "-o", str(out)]
    call += ["--cache", str(tmp_path / "cache"), "--engine", "torch"]
    assert run(call) == 1  # which of the volumes is not said
    assert not list(out.glob("*.nii.gz"))
    assert run([*call, "--series", "1"]) == 0
    assert read_labels(out / "study_1.nii.gz").grid.isclose(read_image(study / "one").grid)
    assert run([*call, "--all-series", "--json", str(tmp_path / "said.json")]) == 0
    assert sorted(p.name for p in out.glob("*.nii.gz")) == [
        "study_1.nii.gz",
        "study_2_time-1.nii.gz",
        "study_2_time-2.nii.gz",
    ]
    assert json.loads((tmp_path / "said.json").read_text())["skipped"] == ["study_1"]
    assert run(["predict", *call[1:2], str(study / "one"), *call[3:]]) == 0
    assert (out / "one.nii.gz").is_file()
    (out / "one.nii.gz").unlink()
    assert run(["predict", *call[1:2], *map(str, (study / "one").iterdir()), *call[3:]]) == 0
    assert read_labels(out / "one.nii.gz").grid.isclose(read_image(study / "one").grid)


def test_slices_given_file_by_file_are_one_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in write_series(tmp_path / "ct")]
    out = tmp_path / "ct.nii.gz"
    assert run(["convert", *files[::-1], "-o", str(out)]) == 0
    assert read_image(out).grid.isclose(read_image(tmp_path / "ct").grid)
    assert run(["series", *files]) == 0
    assert "1 volumes and pictures in 6 files" in " ".join(capsys.readouterr().out.split())
    assert run(["convert", *files[:2], *files[3:], "-o", str(tmp_path / "gap.nii.gz")]) == 2
    assert "Slices are missing" in capsys.readouterr().err
    other = write_series(tmp_path / "mr", series="mr", modality="MR")
    assert run(["convert", *files, str(other[0]), str(other[1]), "-o", str(tmp_path / "two.nii.gz")]) == 2
    assert "slices of it" in capsys.readouterr().err
    assert not (tmp_path / "gap.nii.gz").exists()
    assert not (tmp_path / "two.nii.gz").exists()


@pytest.mark.parametrize("verb", [["convert"], ["predict", "no-model.calque"]])
def test_series_are_listed_by_the_verbs_that_take_them(
    verb: list[str], study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verb, str(study), "-o", str(tmp_path / "out"), "--list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert run(["series", str(study), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == listed
    assert not (tmp_path / "out").exists()
