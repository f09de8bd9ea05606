"""dataset init, and what a manifest then does to the other verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calque.cli.app import run
from calque.phantoms import write_phantoms


def test_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "init", "--help"]) == 0
    assert "Example: calque dataset init" in capsys.readouterr().out


def test_init_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_phantoms(tmp_path / "scans", "picture_2d", 3, shape=(1, 32, 32))
    manifest = tmp_path / "manifest.csv"
    assert run(["dataset", "init", str(folder), "-o", str(manifest), "--json", "-"]) == 0
    said = capsys.readouterr()
    written = json.loads(said.out)
    assert (written["cases"], written["understood"]) == (3, "msd")
    assert "What the labels mean" in said.err
    assert run(["check", str(manifest)]) == 0
    assert "layout manifest, 3 cases of 3 patients (by manifest" in capsys.readouterr().out
    assert run(["dataset", "init", str(folder), "-o", str(manifest)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["dataset", "init", str(folder), "-o", str(manifest), "--force"]) == 0


def test_init_of_what_is_not_clear_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_phantoms(tmp_path / "scans", "picture_2d", 2, shape=(1, 32, 32))
    (folder / "dataset.json").unlink()
    (folder / "imagesTr").rename(folder / "x")
    (folder / "labelsTr").rename(folder / "y")
    assert run(["check", str(folder)]) == 2
    assert "calque dataset init" in " ".join(capsys.readouterr().err.split())
    assert run(["dataset", "init", str(folder)]) == 0
    assert "was not clear" in capsys.readouterr().out
