"""Verbs on figures: evaluate, compare, report, measure."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from calque.cli.app import run
from calque.cli.scores import parse_tolerance
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.labels import Labels

LABELS = Labels.from_names({"class 1": 1, "class 2": 2})


def masks(folder: Path, shift: int, grid: Grid | None = None) -> Path:
    """Four masks of two boxes, moved by `shift` voxels."""
    for k in range(4):
        array = np.zeros((10, 12, 14), np.uint8)
        array[2:7, 3:8, 2 + k // 2 : 8] = 1
        array[7:9, 3:6, 3:6] = 2
        moved = np.roll(array, shift, 2)
        there = grid or Grid.from_parts(array.shape, (2.0, 1.0, 1.0))
        write_labels(LabelMap(moved, there, LABELS), folder / f"case {k}.nii.gz")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str, str]:
    return tuple(str(masks(tmp_path / name, shift)) for name, shift in (("a", 0), ("b", 1), ("truth", 0)))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("text", "expected"), [("1.5", 1.5), ("liver=2, a=b=0.5", {"liver": 2.0, "a=b": 0.5})]
)
def test_tolerances(text, expected):
    assert parse_tolerance(text) == expected


def test_evaluate_with_every_option(folders, tmp_path, capsys):
    _, b, truth = folders
    (tmp_path / "m.csv").write_text(
        "case,predicted,truth\n" + "".join(f"c{k},case {k}.nii.gz,case {k}.nii.gz\n" for k in range(4))
    )
    (tmp_path / "g.csv").write_text("case,patient,sex\nc0,p,f\nc1,p,f\nc2,q,m\nc3,q,m\n")
    soft = np.full((3, 10, 12, 14), 1 / 3, np.float32)
    for k in range(4):
        np.savez(tmp_path / f"c{k}_probabilities.npz", probabilities=soft)
    arguments = [
        "evaluate", b, truth, "--metrics", "dice,hd90,lesion_f1", "--tolerance", "class 1=2,class 2=1",
        "--lesion-iou", "0.3", "--manifest", str(tmp_path / "m.csv"), "--groups", str(tmp_path / "g.csv"),
        "--probabilities", str(tmp_path), "--interval", "percentile", "--workers", "1",
        "--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv"),
    ]  # fmt: skip
    assert run(arguments) == 0
    scores = read(tmp_path / "s.json")
    assert scores["metrics"] == ["dice", "hd90", "lesion_f1", "ece", "brier"]
    assert scores["bootstrap"]["method"] == "percentile"
    assert (scores["lesion_iou"], scores["tolerance_mm"]) == (0.3, {"class 1": 2.0, "class 2": 1.0})
    assert [(g["value"], len(g["cases"])) for g in scores["groups"]] == [("f", 2), ("m", 2)]
    assert {c["patient"] for c in scores["cases"]} == {"p", "q"}
    assert len(list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))) == 8
    assert "sex: f" in capsys.readouterr().out


def test_evaluate_fails_on_what_is_missing_unexpected_or_elsewhere(folders, tmp_path):
    a, _, truth = folders
    extra = Path(a) / "case 9.nii.gz"
    extra.write_bytes((Path(a) / "case 0.nii.gz").read_bytes())
    assert run(["evaluate", a, truth]) == 1  # unexpected
    (Path(truth) / "case 9.nii.gz").write_bytes(extra.read_bytes())
    assert run(["evaluate", a, truth]) == 0
    extra.unlink()
    assert run(["evaluate", a, truth]) == 1  # missing
    (Path(truth) / "case 9.nii.gz").unlink()
    other = Grid.from_parts((10, 12, 14), (2.0, 1.0, 1.0), origin=(0.4, 0, 0))
    array = np.zeros((10, 12, 14), np.uint8)
    array[2:7, 3:8, 2:8] = 1
    write_labels(LabelMap(array, other, LABELS), Path(a) / "case 0.nii.gz")
    assert run(["evaluate", a, truth]) == 1
    assert run(["evaluate", a, truth, "--resample", "--json", str(tmp_path / "s.json")]) == 0
    assert read(tmp_path / "s.json")["resampled"] == ["case 0"]
    assert run(["evaluate", a, truth, "--metrics", "nonsense"]) == 2
    assert run(["evaluate", a, truth, "--tolerance", "x"]) == 2
    assert run(["evaluate", a, truth, "--metrics", "ece"]) == 2


def test_compare_folders_and_files_of_scores(folders, tmp_path, capsys):
    a, b, truth = folders
    page, found = tmp_path / "c.html", tmp_path / "c.json"
    assert run(["compare", a, b, truth, "-o", str(page), "--json", str(found), "--lang", "fr"]) == 0
    assert 'lang="fr"' in page.read_text()
    comparison = read(found)
    assert comparison["models"] == ["a", "b"]
    ranks = {r["model"]: r["rank"] for r in comparison["ranks"] if (r["metric"], r["target"]) == ("dice", "")}
    assert ranks == {"a": 1.0, "b": 2.0}
    assert "a - b" in capsys.readouterr().out
    for name in "ab":
        assert run(["evaluate", str(tmp_path / name), truth, "--json", str(tmp_path / f"{name}.json")]) == 0
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert run(["compare", *files, "--names", "ours, theirs", "--json", str(found)]) == 0
    assert read(found)["models"] == ["ours", "theirs"]
    (Path(b) / "case 0.nii.gz").unlink()
    assert run(["compare", a, b, truth, "--json", str(found)]) == 1
    assert read(found)["left_out"] == ["case 0"]
    assert run(["compare", a, truth]) == 2
    assert run(["compare", a, a, truth]) == 2
    assert run(["compare", a, b, truth, "--names", "one"]) == 2


def test_compare_by_patient_with_another_interval(folders, tmp_path, capsys):
    a, b, truth = folders
    page, found, groups = tmp_path / "c.html", tmp_path / "c.json", tmp_path / "g.csv"
    groups.write_text("case,patient\n" + "".join(f"case {k},p{k // 2}\n" for k in range(4)))
    arguments = ["compare", a, b, truth, "--groups", str(groups), "--tolerance", "2", "-o", str(page)]
    assert run([*arguments, "--json", str(found)]) == 0
    assert {d["patients"] for d in read(found)["differences"] if d["n"]} == {2}
    said = capsys.readouterr().out
    assert "intervals may be too narrow (2 patients)" in said
    assert "|volume_error_ml|" in said
    text = page.read_text()
    assert "The intervals may be too narrow (2 patients)" in text
    assert "Tolerance of NSD and boundary IoU: 2.0" in text
    assert "--tolerance 2" in text
    assert read(found)["bootstrap"]["method"] == "hall"
    for name in "ab":
        assert run(["evaluate", str(tmp_path / name), truth, "--json", str(tmp_path / f"{name}.json")]) == 0
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert run(["compare", *files, "--interval", "bca", "-o", str(page), "--json", str(found)]) == 0
    assert {s["bootstrap"]["method"] for s in read(found)["scores"].values()} == {"bca"}
    assert "--interval bca" in page.read_text()
    assert run(["compare", *files, "--groups", str(groups)]) == 2
    assert run(["compare", *files, "--pdf"]) == 2


def test_the_terminal_says_how_many_where_not_all_have_a_value(folders, tmp_path, capsys):
    a, _, truth = folders
    empty = LabelMap(np.zeros((10, 12, 14), np.uint8), Grid.from_parts((10, 12, 14), (2.0, 1.0, 1.0)), LABELS)
    write_labels(empty, Path(a) / "case 0.nii.gz")
    (Path(a) / "case 3.nii.gz").unlink()
    assert run(["evaluate", a, truth, "--metrics", "dice,hd95"]) == 1
    said = capsys.readouterr().out
    assert "0.00 [0.00, 0.00] n=2" in said
    assert "no prediction for 1 case: case 3" in said


def test_models_that_found_other_classes_are_compared(folders, tmp_path):
    a, b, truth = folders
    for path in (*Path(b).iterdir(), *Path(truth).iterdir()):
        array = np.zeros((10, 12, 14), np.uint8)
        array[2:7, 3:8, 2:8] = 1
        write_labels(LabelMap(array, Grid.from_parts(array.shape, (2.0, 1.0, 1.0)), LABELS), path)
    found = tmp_path / "c.json"
    assert run(["compare", a, b, truth, "--json", str(found)]) == 0
    assert set(read(found)["scores"]["b"]["summaries"]) == {"class 1", "class 2"}


def test_report_of_scores_with_subgroups(folders, tmp_path):
    a, _, truth = folders
    assert run(["evaluate", a, truth, "--json", str(tmp_path / "s.json")]) == 0
    (tmp_path / "g.csv").write_text("case,sex\ncase 0,f\ncase 1,m\n")
    page = tmp_path / "r.html"
    arguments = ["report", str(tmp_path / "s.json"), "-o", str(page), "--groups", str(tmp_path / "g.csv")]
    assert run([*arguments, "--json", str(tmp_path / "r.json")]) == 0
    assert 'id="groups"' in page.read_text()
    assert read(tmp_path / "r.json") == {"report": str(page), "pdf": None}


def test_pdf_without_a_browser_names_the_fix(folders, tmp_path, monkeypatch, capsys):
    a, _, truth = folders
    assert run(["evaluate", a, truth, "--json", str(tmp_path / "s.json")]) == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["report", str(tmp_path / "s.json"), "-o", str(tmp_path / "r.html"), "--pdf"]) == 2
    assert "install Chromium" in capsys.readouterr().err


def test_measure(folders, tmp_path, capsys):
    a, *_ = folders
    for k in range(4):
        scan = np.full((1, 10, 12, 14), 7.0 + k, np.float32)
        image = Image(scan, Grid.from_parts(scan.shape[1:], (2.0, 1.0, 1.0)), ("channel 1",))
        write_image(image, tmp_path / "scans" / f"case {k}_0000.nii.gz")
    table, result = tmp_path / "m.csv", tmp_path / "m.json"
    arguments = [
        "measure",
        a,
        "--images",
        str(tmp_path / "scans"),
        "--csv",
        str(table),
        "--json",
        str(result),
    ]
    assert run([*arguments, "--meshes", str(tmp_path / "stl"), "--smooth", "5"]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(r["case"], r["name"]) for r in rows[:2]] == [("case 0", "class 1"), ("case 0", "class 2")]
    assert float(rows[0]["volume_ml"]) == pytest.approx(5 * 5 * 6 * 2 / 1000)
    assert float(rows[2]["channel 1 mean"]) == 8.0
    assert len(read(result)["measures"]) == 8
    assert len(list((tmp_path / "stl").glob("*.stl"))) == 8
    assert run(["measure", f"{a}/case 0.nii.gz", "--meshes", str(tmp_path / "obj"), "--format", "obj"]) == 0
    assert {path.name for path in (tmp_path / "obj").iterdir()} == {
        "case 0_class_1.obj",
        "case 0_class_2.obj",
    }
    scan = str(tmp_path / "scans" / "case 3_0000.nii.gz")
    assert run(["measure", f"{a}/case 0.nii.gz", "--images", scan, "--json", str(result)]) == 0
    assert read(result)["measures"][0]["intensities"][0]["mean"] == 10.0
    assert run(["measure", a, "--radiomics", str(tmp_path / "r.csv")]) == 2
    (Path(a) / "case 1.nii.gz").write_bytes(b"\x1f\x8b no")
    assert run(["measure", a]) == 1
    assert "case 1" in capsys.readouterr().out
    (tmp_path / "scans" / "case 2_0000.nii.gz").unlink()
    assert run(arguments) == 2


def test_of_one_patient_there_are_no_intervals(folders, tmp_path, capsys):
    a, _, truth = (str(next(Path(folder).iterdir())) for folder in folders)
    assert run(["evaluate", a, truth, "--json", str(tmp_path / "s.json")]) == 0
    assert "no intervals: one patient" in capsys.readouterr().out
    assert run(["report", str(tmp_path / "s.json"), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "No intervals: one patient" in text
    assert "may be too narrow" not in text
