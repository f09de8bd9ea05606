"""check with --fix and --html, explain, datasets: what they write and how they end."""

from __future__ import annotations

import json
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
