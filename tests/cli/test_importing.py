"""The verb import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calque.cli.app import run
from calque.model import Model

pytestmark = pytest.mark.data


@pytest.fixture
def results(data_root: Path) -> Path:
    return data_root / "nnunet-model" / "results"


def test_import_writes_a_model_and_says_what_it_is(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.calque"
    arguments = ["import", "nnunet", str(results), "-o", str(output)]
    assert run([*arguments, "--fold", "0", "--json", "-"]) == 0
    streams = capsys.readouterr()
    said = json.loads(streams.out)
    assert said["card"]["folds"] == ["0"]
    assert "anterior, posterior" in streams.err
    assert Model.load(output).plan.patch == (40, 56, 40)
    before = output.read_bytes()
    assert run(arguments) == 2
    assert "there already" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert run([*arguments, "--force"]) == 0


def test_what_cannot_be_imported(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "model.calque"
    for arguments, message in (
        (["monai", str(results)], "nnunet"),
        (["nnunet", str(tmp_path)], "no nnU-Net model"),
        (["nnunet", str(results), "--fold", "4"], "no checkpoint for these folds"),
        (["nnunet", str(results), "--configuration", "2d"], "another configuration"),
    ):
        assert run(["import", *arguments, "-o", str(output)]) == 2
        assert message in capsys.readouterr().err
        assert not output.exists()
