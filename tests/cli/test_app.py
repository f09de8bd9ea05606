"""The verbs as a user types them: help, exit codes, errors, JSON."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from calque.cli import app as application
from calque.cli.app import VERBS, app, run
from calque.cli.screen import plain
from calque.errors import ReadError
from calque.geometry import Grid
from calque.image import LabelMap
from calque.io import read_header, read_image, read_labels, write_labels
from calque.labels import Labels
from calque.phantoms import write_phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "phantoms"
    return write_phantoms(folder, "ct_abdomen", 4, shape=(16, 24, 24), seed=1)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Four cases, of which one is truncated."""
    folder = write_phantoms(tmp_path / "spoilt", "ct_abdomen", 4, shape=(16, 24, 24), seed=1)
    victim = folder / "imagesTr" / "ct_abdomen_001.nii.gz"
    victim.write_bytes(victim.read_bytes()[:500])
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    shown = " ".join(re.sub(r"[│\s]+", " ", capsys.readouterr().out).split())
    assert f"Example: calque {verb}" in shown


def test_the_verbs_are_those_of_the_readme() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    groups = {group.name for group in app.registered_groups}
    assert set(re.findall(r"^    calque (\w+)", readme, re.MULTILINE)) == set(VERBS) | groups


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("calque 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["check"],
        ["check", "a", "--no-such-option"],
        ["train", "x", "-o", "y", "--budget", "soon"],
        ["train", "x", "-o", "y", "--memory", "much"],
        ["train", "x", "-o", "y", "--fold", "first"],
        ["train", "x", "-o", "y", "--plan", "p.json", "--steps", "3"],
        ["train", "x"],
        ["train", "--from", "y"],
        ["train", "--from", "y", "--extend", "1h", "-o", "z"],
        ["train", "--from", "y", "--extend", "1h", "--budget", "1h"],
        ["train", "--from", "y", "--extend", "later"],
        ["train", "--add", "x", "--extend", "1h"],
        ["predict", "m", "x", "-o", "y", "--mirror", "sideways"],
        ["phantom", "ct_abdomen", "-o", "y", "--shape", "1,2"],
    ],
)
def test_wrong_use_is_exit_2_and_says_so(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    streams = capsys.readouterr()
    assert "Usage: calque" in streams.err
    assert "Traceback" not in streams.err


def test_errors_are_a_panel_and_debug_adds_the_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALQUE_DEBUG", raising=False)
    missing = str(tmp_path / "nowhere")
    assert run(["check", missing]) == 2
    error = capsys.readouterr().err
    assert "DatasetError" in error
    assert "nowhere" in error
    assert "Traceback" not in error
    assert run(["check", missing, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("CALQUE_DEBUG", "1")
    assert run(["check", missing]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_brackets_in_errors_are_not_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ReadError("Bad", where="[red]a[/red].nii", got=[1, 2])

    monkeypatch.setattr(application, "app", lambda **_: broken())
    assert run([]) == 2
    error = capsys.readouterr().err
    assert "[red]a[/red].nii" in error
    assert "[1, 2]" in error


def test_a_fault_of_ours_shows_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(**_: object) -> None:
        raise ZeroDivisionError("seven")

    monkeypatch.setattr(application, "app", faulty)
    assert run([]) == 70
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "seven" in error


def test_ctrl_c_is_130_and_one_line(
    phantoms: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("calque.dataset.open_dataset", interrupted)
    assert run(["check", str(phantoms)]) == 130
    assert capsys.readouterr().err.strip() == "Stopped. Nothing was left half written."


def test_check_finds_nothing_wrong(phantoms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(phantoms), "--json", "-"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["findings"] == []  # stdout is JSON and nothing else
    assert "layout msd" in streams.err


def test_check_names_the_truncated_file(spoilt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(spoilt), "--json", str(spoilt / "check.json")]) == 1
    findings = json.loads((spoilt / "check.json").read_text())["findings"]
    assert [(f["name"], f["case"]) for f in findings if f["severity"] == "error"] == [
        ("truncated", "ct_abdomen_001")
    ]
    assert "ct_abdomen_001" in capsys.readouterr().out


def test_train_refuses_bad_cases_by_name(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(spoilt), "-o", str(tmp_path / "run"), "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert "ct_abdomen_001" in error
    assert "--skip-bad" in error
    assert not (tmp_path / "run").exists()


def test_an_undeclared_mask_value_is_named(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_phantoms(tmp_path / "d", "ct_abdomen", 4, shape=(16, 24, 24))
    mask = folder / "labelsTr" / "ct_abdomen_002.nii.gz"
    label_map = read_labels(mask)
    array = label_map.array.copy()
    array[0, 0, 0] = 77
    write_labels(
        LabelMap(array, label_map.grid, Labels.from_names({f"c{v}": v for v in (1, 2, 3, 4, 5, 77)})), mask
    )
    assert run(["check", str(folder)]) == 1
    assert "77" in capsys.readouterr().out


def test_an_empty_folder_is_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path)]) == 2
    assert "an empty folder" in capsys.readouterr().err


def test_holdout_must_name_cases(phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("ct_abdomen_000\nsomebody\n")
    arguments = ["train", str(phantoms), "-o", str(tmp_path / "run"), "--steps", "1", "--holdout", str(names)]
    assert run(arguments) == 2
    assert "somebody" in capsys.readouterr().err


def test_evaluate_scores_truth_against_itself(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = str(phantoms / "labelsTr")
    assert run(["evaluate", masks, masks, "--json", "-", "--csv", str(tmp_path / "scores.csv")]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["foreground"]["dice"]["mean"] == 1.0
    assert (tmp_path / "scores.csv").read_text().startswith("case,patient,class")


def test_evaluate_says_what_is_missing(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    name = "ct_abdomen_000.nii.gz"
    (predicted / name).write_bytes((phantoms / "labelsTr" / name).read_bytes())
    assert run(["evaluate", str(predicted), str(phantoms / "labelsTr")]) == 1
    assert "no prediction for 3 cases" in capsys.readouterr().out


def test_convert_keeps_geometry_and_voxels(phantoms: Path, tmp_path: Path) -> None:
    source = phantoms / "imagesTr" / "ct_abdomen_000.nii.gz"
    target = tmp_path / "sub" / "a.nii"
    assert run(["convert", str(source), "-o", str(target)]) == 0
    assert np.array_equal(read_image(source).array, read_image(target).array)
    assert read_header(source).grid.isclose(read_header(target).grid)
    mask = phantoms / "labelsTr" / "ct_abdomen_000.nii.gz"
    assert run(["convert", str(mask), "-o", str(tmp_path / "m.nii"), "--mask"]) == 0
    assert np.array_equal(read_labels(mask).array, read_labels(tmp_path / "m.nii").array)


def test_convert_does_not_overwrite(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.nii"
    target.write_bytes(b"precious")
    source = str(phantoms / "imagesTr" / "ct_abdomen_000.nii.gz")
    assert run(["convert", source, "-o", str(target)]) == 2
    assert target.read_bytes() == b"precious"
    assert "--force" in capsys.readouterr().err
    assert run(["convert", source, "-o", str(target), "--force"]) == 0
    assert target.read_bytes() != b"precious"
    assert run(["convert", source, "-o", str(tmp_path / "a.what")]) == 2


def test_an_unwritable_place_is_an_error(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    source = str(phantoms / "imagesTr" / "ct_abdomen_000.nii.gz")
    assert run(["convert", source, "-o", str(tmp_path / "file" / "a.nii")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_objects_lists_what_is_there(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = str(phantoms / "labelsTr" / "ct_abdomen_000.nii.gz")
    assert run(["objects", mask, "--csv", str(tmp_path / "o.csv"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)["objects"]
    assert len(found) >= 5
    assert len((tmp_path / "o.csv").read_text().splitlines()) == len(found) + 1


def test_a_damaged_file_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(gzip.compress(b"not an image"))
    assert run(["objects", str(bad)]) == 2
    assert "bad.nii.gz" in capsys.readouterr().err


def test_json_knows_the_types_that_travel(tmp_path: Path) -> None:
    labels = Labels.from_names({"liver": 1})
    grid = Grid.from_parts((1, 1, 2), (1, 1, 1))
    value = {
        "a": np.float64("nan"),
        "b": (np.int64(3), tmp_path),
        4: labels,
        "g": LabelMap(np.zeros((1, 1, 2), int), grid, labels).array,
    }
    found = json.loads(json.dumps(plain(value), allow_nan=False))
    assert found["a"] is None
    assert found["b"] == [3, str(tmp_path)]
    assert found["4"]["classes"][0]["name"] == "liver"
    assert found["g"] == [[[0, 0]]]
