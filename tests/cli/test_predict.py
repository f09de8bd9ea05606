"""The verbs predict and export."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest

from calque.cli.app import run
from calque.geometry import Grid
from calque.io import atomic, read_image, read_labels, write_image
from calque.model import Card, Model
from calque.nets import build
from calque.prediction import cohort
from calque.prediction.ledger import NAME

from ..prediction.fakes import image_on
from ..preparation.synthetic import make_plan

GRID = Grid.from_parts((12, 11, 10), (1, 1, 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = make_plan()
    path = tmp_path_factory.mktemp("predict") / "model.calque"
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="synthetic", cases=1)
    Model(plan, (build(plan.network).state_dict(),), card).save(path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for number in range(2):
        array = np.random.default_rng(number).normal(100, 20, GRID.shape).astype(np.float32)
        write_image(image_on(GRID, array), folder / f"case{number}.nii.gz")
    return folder


def call(model: Path, scans: Path, out: Path, *more: str) -> list[str]:
    cache = str(out.parent / "cache")
    return ["predict", str(model), str(scans), "-o", str(out), "--cache", cache, "--json", "-", *more]


def test_everything_that_can_be_asked_for(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--entropy", "--confidence", "--probabilities", "--overlay", "--objects"]
    assert run(call(model, scans, out, *asked)) == 0
    streams = capsys.readouterr()
    said = json.loads(streams.out)
    assert [done["case"] for done in said["done"]] == ["case0", "case1"]
    assert "engine: " in streams.err
    assert said["engine"]["seconds"]
    confidence = said["done"][0]["confidence"]["organ"]
    assert 0 <= confidence["expected_dice"] <= 1
    assert not confidence["calibrated"]
    entropy = read_image(out / "case0_entropy.nii.gz")
    assert entropy.grid.isclose(GRID)
    assert 0 <= entropy.array.min() <= entropy.array.max() <= 1
    probabilities = np.load(out / "case0_probabilities.npy")
    assert probabilities.shape == (3, *GRID.shape)
    labels = Model.load(model).plan.labels
    mask = read_labels(out / "case0.nii.gz", labels)
    np.testing.assert_array_equal(mask.array, labels.to_values(probabilities.argmax(0)))
    assert any("spacing" in w or "extent" in w for done in said["done"] for w in done["warnings"]) is False
    assert run(call(model, scans, out, *asked)) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == ["case0", "case1"]
    assert (out / NAME).is_file()
    assert [p for p in out.iterdir() if p.name.startswith(".") and p.is_dir()] == []


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scans / "sick.nii.gz").write_bytes(b"sick")
    assert run(call(model, scans, tmp_path / "out", "--dry-run", "--engine", "torch")) == 1
    said = json.loads(capsys.readouterr().out)
    assert [scan["case"] for scan in said["forecast"]["scans"]] == ["case0", "case1"]
    assert said["forecast"]["scans"][0]["forecast"]["windows"] == 8
    assert [failure["case"] for failure in said["forecast"]["refused"]] == ["sick"]
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_refused_with_what_is_needed(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = call(model, scans, tmp_path / "out", "--memory", "200MB", "--engine", "torch")
    assert run(arguments) == 1
    failure = json.loads(capsys.readouterr().out)["failed"][0]["error"]
    assert "at least" in failure
    assert "0.2 GB" in failure
    assert not list((tmp_path / "out").glob("*")) or not (tmp_path / "out").exists()


def test_export(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    said: list[logging.LogRecord] = []
    heard = logging.Handler()
    heard.emit = said.append  # type: ignore[method-assign]
    logging.getLogger("torch.onnx._internal.exporter._registration").addHandler(heard)
    out = tmp_path / "exported"
    arguments = ["export", str(model), "--to", "onnx", "-o", str(out), "--json", "-"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["network"] == str(out / "network.onnx")
    assert said == []  # nothing of torchvision
    assert run(arguments) == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sickness", ["cut", "no voxels", "channels", "zeros", "NaN", "vanishes", "full disk"]
)
def test_bad_input_is_named_per_case_and_the_rest_is_done(
    sickness: str,
    model: Path,
    scans: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, sick = tmp_path / "out", scans / "case0.nii.gz"
    said = {
        "cut": "case0.nii.gz",
        "no voxels": "case0.nii.gz",
        "channels": "channel",
        "zeros": "nothing but zeros",
        "NaN": "finite",
        "vanishes": "no such",
        "full disk": "disk is full",
    }[sickness]
    arrays = {
        "channels": np.ones((2, *GRID.shape), np.float32),
        "zeros": np.zeros(GRID.shape, np.float32),
        "NaN": np.full(GRID.shape, np.nan, np.float32),
    }
    if sickness == "cut":
        sick.write_bytes(sick.read_bytes()[:200])
    elif sickness == "no voxels":
        header = bytearray(gzip.decompress(sick.read_bytes()))
        struct.pack_into("<h", header, 42, 0)  # dim[1], the extent along x
        sick.write_bytes(gzip.compress(bytes(header[:352])))
    elif sickness in arrays:
        write_image(image_on(GRID, arrays[sickness]), sick)
    else:
        _strike(sickness, sick, monkeypatch)
    assert run(call(model, scans, out, "--engine", "torch")) == 1
    found = json.loads(capsys.readouterr().out)
    assert [failure["case"] for failure in found["failed"]] == ["case0"]
    assert said.casefold() in found["failed"][0]["error"].casefold()
    assert [done["case"] for done in found["done"]] == ["case1"]
    assert {path.name for path in out.iterdir()} == {"case1.nii.gz", NAME}


@pytest.mark.parametrize("value", [-1000.0, 7.0])
def test_an_image_of_one_value_is_an_image(
    value: float, model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Normalised it is zero everywhere, as air is; that is what the network sees, and no division by zero."""
    write_image(image_on(GRID, np.full(GRID.shape, value, np.float32)), scans / "case0.nii.gz")
    asked = ["--engine", "torch", "--probabilities", "--entropy"]
    assert run(call(model, scans, tmp_path / "out", *asked)) == 0
    assert [done["case"] for done in json.loads(capsys.readouterr().out)["done"]] == ["case0", "case1"]
    soft = np.load(tmp_path / "out" / "case0_probabilities.npy")
    np.testing.assert_allclose(soft.sum(axis=0), 1, rtol=1e-5)
    labels = Model.load(model).plan.labels
    mask = read_labels(tmp_path / "out" / "case0.nii.gz", labels)
    np.testing.assert_array_equal(mask.array, labels.to_values(soft.argmax(axis=0)))


def _strike(sickness: str, sick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that goes while the program runs, or a disk that has no room for its label map."""
    place, name = (cohort, "read_scan") if sickness == "vanishes" else (atomic, "flush")
    real = getattr(place, name)

    def struck(what: Path | tuple[Path, ...], *more: object) -> object:
        if sickness == "vanishes" and isinstance(what, tuple) and sick in what:
            sick.unlink()
        if sickness == "full disk" and isinstance(what, Path) and what.name.endswith(sick.name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(what, *more)

    monkeypatch.setattr(place, name, struck)


def test_a_corrupt_model_is_refused(model: Path, scans: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.calque"
    broken.write_bytes(model.read_bytes()[:-200])
    assert run(call(broken, scans, tmp_path / "out")) != 0
    assert not (tmp_path / "out").exists()
