"""check with --fix and --html, explain, datasets: what they write and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.dataset.building import mask, msd, write

from calque.cli.app import run
from calque.dataset.doctor.kinds import KINDS
from calque.dataset.public import PUBLIC


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    root = msd(tmp_path / "data", cases=12)
    write(root / "labelsTr" / "c2.nii.gz", mask(2).astype("f4"))
    write(root / "labelsTr" / "c3.nii.gz", mask(3) * 127)
    return root


def test_check_mends_aside_and_shows(sick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page, found = tmp_path / "out", tmp_path / "check.html", tmp_path / "found.json"
    assert run(["check", str(sick), "--fix", str(out), "--html", str(page), "--json", str(found)]) == 1
    shown = capsys.readouterr().out
    assert "labels-scaled" in shown
    assert f"calque check {out}" in shown
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    result = json.loads(found.read_text())
    assert [f["name"] for f in result["found"]["findings"]] == ["labels-scaled", "labels-float"]
    assert [r["finding"] for r in result["made"]["repairs"]] == ["labels-float", "labels-scaled"]
    assert run(["check", str(out)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_check_refuses_a_used_folder(sick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(sick), "--fix", str(sick / "labelsTr")]) == 2
    assert "folder of its own" in capsys.readouterr().err


def test_copy_without_fix_is_wrong_use(sick: Path) -> None:
    assert run(["check", str(sick), "--copy"]) == 2


def test_an_unknown_language_is_wrong_use(sick: Path, tmp_path: Path) -> None:
    assert run(["check", str(sick), "--html", str(tmp_path / "x.html"), "--lang", "de"]) == 2


def test_explain_prints_a_page_and_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "mask-misplaced"]) == 0
    assert capsys.readouterr().out.startswith("# mask-misplaced\n")
    assert run(["explain", "--json", "-"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(KINDS)
    assert run(["explain", "mask-wrong"]) == 2


def test_datasets_are_listed_with_licence_size_and_checksum(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == list(PUBLIC)
    assert all(entry["licence"] and entry["size"] and entry["checksum"] for entry in listed)


def test_an_unknown_public_set_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "fetch", "lungs", "-o", str(tmp_path)]) == 2
    assert "hepatic-vessel" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["list", "fetch"])
def test_datasets_have_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", verb, "--help"]) == 0
    assert f"Example: calque datasets {verb}" in " ".join(capsys.readouterr().out.split())


def test_what_is_prepared_is_what_training_begins_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, out = msd(tmp_path / "data", cases=6), tmp_path / "run"
    assert run(["prepare", str(data), "-o", str(out), "--steps", "2", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    plan = out / "plan.json"
    assert told["plan"] == str(plan)
    assert len(told["cases"]) == 6
    assert (out / "check.json").exists()
    prepared = {path: path.stat().st_mtime_ns for path in (out / "prepared").glob("*/*")}
    written = json.loads(plan.read_text())
    assert run(["prepare", str(data), "-o", str(out)]) == 0  # the plan that is there holds
    assert json.loads(plan.read_text()) == written
    assert run(["train", str(data), "-o", str(out)]) == 0
    assert json.loads(plan.read_text()) == written
    assert {path: path.stat().st_mtime_ns for path in (out / "prepared").glob("*/*")} == prepared
    assert run(["prepare", str(data), "-o", str(out)]) == 2
    assert "was trained here before" in capsys.readouterr().err


def test_preparing_by_steps_does_without_torch_once_the_machine_is_known(tmp_path: Path) -> None:
    data = msd(tmp_path / "data", cases=4)
    program = (
        "import os, sys; os.environ['XDG_CACHE_HOME'] = sys.argv[2] + '/cache'\n"
        "from calque.cli.app import run\n"
        "out = sys.argv[2] + '/run' + sys.argv[3]\n"
        "assert run(['prepare', sys.argv[1], '-o', out, '--steps', '9']) == 0\n"
        "print('torch' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(data), str(tmp_path), name],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()[-1]
        for name in ("1", "2")
    ]  # fmt: skip
    assert said == ["True", "False"]
