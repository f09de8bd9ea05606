"""SEG and RTSTRUCT to label maps from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.dicom_series import oblique, phantom, write_series
from tests.support.dicom_structures import contour, write_rtstruct
from tests.support.judges import dciodvfy_errors

from calque.cli.app import run
from calque.evaluation import Scores
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


def test_a_truth_is_scored_as_it_is_chosen(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(study, "--reference", str(study / "ct"), "--priority", "big") == 0
    pair = ["evaluate", str(study / "out.nii.gz"), str(study / "rt.dcm"), "--metrics", "dice"]
    capsys.readouterr()
    assert run(pair) == 2
    assert "Structures overlap" in capsys.readouterr().err
    assert run([*pair, "--priority", "Big", "--json", str(study / "scores.json")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the truth was placed on the grid of the prediction" in said
    assert "the prediction's values are taken for the truth's structures: 1 Big, 2 Small One" in said
    scores = Scores.read(study / "scores.json")
    assert [c.values["dice"] for c in scores.cases[0].classes.values()] == [1.0, 1.0]
    assert scores.priority == ("Big",)
    assert run([*pair, "--structures", "big"]) == 2  # the prediction holds a value that is now none
    assert "not declared" in capsys.readouterr().err


def test_a_seg_is_scored_and_reported(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the shell: RTSTRUCT to SEG, that against the RTSTRUCT on the series, and the page."""
    ct, seg, rt = (str(study / name) for name in ("ct", "out.dcm", "rt.dcm"))
    drawn = ["--reference", ct, "--priority", "Small One"]
    assert run(["convert", rt, "-o", str(study / "mask.nii.gz"), *drawn]) == 0
    known = study / "known.csv"
    known.write_text(f"case,image,label\na,{ct},{rt}\n")
    known.with_name("known.labels.csv").write_text("name,value,stored,priority\nBig,1,,2\nSmall One,2,,1\n")
    form = ["--format", "dicom-seg", "--reference", ct, "--labels", str(known)]
    assert run(["convert", str(study / "mask.nii.gz"), "-o", seg, "--mask", *form]) == 0
    assert dciodvfy_errors(study / "out.dcm") == []
    scored = ["--json", str(study / "s.json"), "--metrics", "dice"]
    assert run(["evaluate", seg, rt, *drawn, *scored]) == 0
    assert [c.values["dice"] for c in Scores.read(study / "s.json").cases[0].classes.values()] == [1.0, 1.0]
    page = study / "r.html"
    folders = ["--truth", rt, "--predicted", seg, "--images", ct]
    assert run(["report", str(study / "s.json"), "-o", str(page), *folders]) == 0
    assert "could not be drawn" not in page.read_text()
    assert page.read_text().count("data:image/jpeg") >= 9


def test_labels_of_a_manifest_say_what_values_are(study: Path) -> None:
    """The object lists Big first, the model Small One: values are taken by name, not by place."""
    known = study / "known.csv"
    known.write_text(f"case,image,label\na,{study / 'ct'},{study / 'rt.dcm'}\n")
    known.with_name("known.labels.csv").write_text("name,value,stored,priority\nSmall One,1,,1\nBig,2,,2\n")
    labels = ["--labels", str(known)]
    assert convert(study, "--reference", str(study / "ct"), "--priority", "Big", *labels) == 0
    scores = study / "s.json"
    pair = [
        "evaluate",
        str(study / "out.nii.gz"),
        str(study / "rt.dcm"),
        "--priority",
        "Big",
        "--metrics",
        "dice",
    ]
    assert run([*pair, *labels, "--json", str(scores)]) == 0
    assert [c.values["dice"] for c in Scores.read(scores).cases[0].classes.values()] == [1.0, 1.0]
    assert run([*pair, "--json", str(scores)]) == 0
    assert Scores.read(scores).cases[0].classes["Big"].values["dice"] == 0.0


def test_a_data_set_says_how_structures_are_called(study: Path) -> None:
    """The table of labels names classes otherwise than the object, and who wins."""
    known = study / "known.csv"
    known.write_text(f"case,image,label\na,{study / 'ct'},{study / 'rt.dcm'}\n")
    known.with_name("known.labels.csv").write_text(
        "name,value,stored,priority\norgan,5,Big,1\nlesion,7,Small One,2\n"
    )
    assert convert(study, "--reference", str(study / "ct"), "--labels", str(known)) == 0
    assert np.bincount(read_labels(study / "out.nii.gz").array.reshape(-1))[[5, 7]].tolist() == [16, 12]
    pair = ["evaluate", str(study / "out.nii.gz"), str(study / "rt.dcm"), "--labels", str(known)]
    scores, page = study / "s.json", study / "r.html"
    assert run([*pair, "--metrics", "dice", "--json", str(scores)]) == 0
    cases = Scores.read(scores).cases
    assert {name: c.values["dice"] for name, c in cases[0].classes.items()} == {"organ": 1.0, "lesion": 1.0}
    folders = ["--truth", str(study / "rt.dcm"), "--predicted", str(study / "out.nii.gz")]
    assert run(["report", str(scores), "-o", str(page), *folders]) == 0
    assert "could not be drawn" not in page.read_text()
