"""The whole path through the command line, on generated abdomens: from a folder to a report.

The threshold is one that an untrained network cannot reach: its Dice is near the chance level, below 0.2.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from calque.cli.app import run
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import read_header, read_image, read_labels, write_image

_SEEN, _NEW = 10, 3
_STEPS = 250
_DICE = 0.7


def calque(*arguments: object) -> int:
    """One command line, in this process."""
    return run([str(argument) for argument in arguments])


@dataclass(frozen=True)
class World:
    """Where everything lies."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def new(self) -> Path:
        return self.root / "new"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def model(self) -> Path:
        return self.run / "model.calque"

    @property
    def predicted(self) -> Path:
        return self.root / "predicted"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Phantoms, and a model that learnt from them."""
    world = World(tmp_path_factory.mktemp("golden"))
    shape = ("--shape", "20,32,32", "--spacing", "10,9,9")
    assert calque("phantom", "ct_abdomen", "-o", world.data, "--cases", _SEEN, "--seed", 1, *shape) == 0
    assert calque("phantom", "ct_abdomen", "-o", world.new, "--cases", _NEW, "--seed", 2, *shape) == 0
    assert calque("check", world.data) == 0
    plan = world.root / "plan.json"
    assert calque("plan", world.data, "--steps", _STEPS, "-o", plan) == 0
    _shrink(plan)
    assert calque("train", world.data, "-o", world.run, "--plan", plan, "--seed", 3) == 0
    return world


@pytest.fixture(scope="module")
def predicted(trained: World) -> World:
    """Masks of patients that training has not seen, and one file that is sick."""
    sick = trained.new / "imagesTr" / "sick.nii.gz"
    sick.write_bytes((trained.new / "imagesTr" / "ct_abdomen_000.nii.gz").read_bytes()[:300])
    images = trained.new / "imagesTr"
    arguments = ("predict", trained.model, images, "-o", trained.predicted, "--overlay", "--objects")
    assert calque(*arguments, "--json", trained.root / "predicted.json") == 1
    sick.unlink()
    return trained


def _shrink(path: Path) -> None:
    """Edit the plan as a person would: a network and a batch for a test."""
    plan = json.loads(path.read_text())
    plan["network"] |= {
        "features": [8, 16, 32],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "kernels": [[3, 3, 3]] * 3,
        "blocks": [2, 2, 2],
        "decoder_blocks": [1, 1],
        "kind": "plain",
    }
    plan |= {"patch": [20, 32, 32], "batch": 2, "precision": "f32", "channels_last": False, "forecast": None}
    path.write_text(json.dumps(plan))


def test_training_leaves_what_the_tutorial_promises(trained: World) -> None:
    for name in (
        "plan.json",
        "model.calque",
        "fold_0/scores.json",
        "fold_0/progress.png",
        "fold_0/split.json",
    ):
        assert (trained.run / name).stat().st_size > 0, name
    split = json.loads((trained.run / "fold_0" / "split.json").read_text())
    assert len(split["train"]) == 8
    assert not set(split["train"]) & set(split["validation"])


def test_a_sick_file_is_named_and_the_rest_is_done(predicted: World) -> None:
    told = json.loads((predicted.root / "predicted.json").read_text())
    assert "sick" in json.dumps(told["failed"])
    masks = sorted(path.name for path in predicted.predicted.glob("*.nii.gz"))
    assert masks == [f"ct_abdomen_{k:03d}.nii.gz" for k in range(_NEW)]


def test_masks_lie_on_the_scans(predicted: World) -> None:
    for path in sorted((predicted.new / "imagesTr").iterdir()):
        mask = read_header(predicted.predicted / path.name)
        assert mask.grid.isclose(read_header(path).grid)


def test_the_model_has_learnt(predicted: World) -> None:
    scores = predicted.root / "scores.json"
    truth = predicted.new / "labelsTr"
    assert calque("evaluate", predicted.predicted, truth, "--json", scores) == 0
    told = json.loads(scores.read_text())
    assert len(told["cases"]) == _NEW
    assert told["summaries"]["liver"]["dice"]["mean"] > _DICE
    assert told["summaries"]["spine"]["dice"]["mean"] > _DICE


def test_reports_show_the_run_and_the_scores(predicted: World) -> None:
    for language, word in (("en", "median"), ("fr", "médian")):
        page = predicted.root / f"report.{language}.html"
        assert calque("report", predicted.run, "-o", page, "--lang", language) == 0
        text = page.read_text(encoding="utf-8").lower()
        assert "liver" in text
        assert word in text
        assert "http://" not in text.replace("http://www.w3.org", "")  # one file, nothing fetched


def test_objects_of_a_prediction(predicted: World) -> None:
    mask = predicted.predicted / "ct_abdomen_000.nii.gz"
    out = predicted.root / "objects.json"
    scan = predicted.new / "imagesTr" / "ct_abdomen_000.nii.gz"
    assert calque("objects", mask, "--image", scan, "--min-ml", 100, "--json", out) == 0
    found = json.loads(out.read_text())["objects"]
    assert found
    assert 50 < found[0]["intensities"][0]["mean"] < 200  # the liver, in Hounsfield units


def test_a_scan_stored_otherwise_gets_the_same_mask(trained: World, tmp_path: Path) -> None:
    source = trained.new / "imagesTr" / "ct_abdomen_001.nii.gz"
    image = read_image(source)
    change = image.grid.reorientation("ILA")
    turned = image.reoriented(change)
    (tmp_path / "in").mkdir()
    write_image(image, tmp_path / "in" / "as_it_is.nii.gz")
    write_image(Image(turned.array.copy(), turned.grid, turned.channels), tmp_path / "in" / "turned.nii.gz")
    arguments = ("predict", trained.model, tmp_path / "in", "-o", tmp_path / "out", "--precision", "f32")
    assert calque(*arguments) == 0
    straight = read_labels(tmp_path / "out" / "as_it_is.nii.gz")
    other = read_labels(tmp_path / "out" / "turned.nii.gz")
    assert np.array_equal(change.apply(straight.array), other.array)
    assert _centre(straight) == pytest.approx(_centre(other), abs=1e-3)


def _centre(label_map: LabelMap) -> list[float]:
    grid: Grid = label_map.grid
    return [float(v) for v in grid.to_world(np.argwhere(label_map.array == 1)).mean(axis=0)]


def test_a_damaged_model_is_refused(
    trained: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.calque"
    bad.write_bytes(trained.model.read_bytes()[:2000])
    assert calque("predict", bad, trained.new / "imagesTr", "-o", tmp_path / "out") == 2
    assert "bad.calque" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_training_twice_in_one_place_is_refused(trained: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = trained.model.read_bytes()
    plan = trained.run / "plan.json"
    assert calque("train", trained.data, "-o", trained.run, "--plan", plan) == 2
    assert "--resume" in capsys.readouterr().err
    assert trained.model.read_bytes() == before


def test_the_program_itself(trained: World, tmp_path: Path) -> None:
    """Once as a process of its own: the entry point, the exit code, stdout and stderr."""
    program = [sys.executable, "-m", "calque.cli"]
    done = subprocess.run(
        [*program, "check", trained.data, "--json", "-"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []
    wrong = subprocess.run([*program, "check", tmp_path], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "an empty folder" in wrong.stderr


# A test run that a script put in the background ignores Ctrl-C, and its children would inherit that.
_AS_IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ctrl_c_while_training_leaves_nothing_half_written_and_resumes(
    trained: World, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps(json.loads((trained.run / "plan.json").read_text()) | {"schedule": {"steps": 60}})
    )
    train = [sys.executable, "-m", "calque.cli", "train", trained.data, "-o", folder, "--plan", plan]
    command = [sys.executable, "-c", _AS_IN_A_TERMINAL, *train]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line.startswith("training") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        said = process.stderr.read()
        assert process.wait() == 130
    assert said.strip() == "Stopped. Nothing was left half written."
    assert not (folder / "model.calque").exists()
    assert [path.name for path in folder.rglob(".*")] == []
    assert calque("train", trained.data, "-o", folder, "--plan", plan, "--resume") == 0
    assert (folder / "model.calque").stat().st_size > 0
