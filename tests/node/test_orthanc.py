"""With a real PACS: what the node sends is what was predicted, once for each series, even if it is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from calque.geometry import Grid
from calque.image import LabelMap
from calque.io import read_labels
from calque.labels import Labels
from calque.model import Card, Model
from calque.nets import build

from ..preparation.synthetic import make_plan
from ..support.dicom_series import phantom, write_series
from ..support.judges import dciodvfy_errors, dcmqi_labels, plastimatch_masks, same_place
from .orthanc_scenarios import OUTPUTS


def in_namespace(*arguments: str, module: str = "orthanc_scenarios") -> dict[str, Any]:
    """Run a scenario where loopback is the only interface; skipped where that or Orthanc cannot be had."""
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed")
    alone = ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*alone, "ip link set lo up"], check=False).returncode
    ):
        pytest.skip("network namespaces are not permitted here")
    command = 'ip link set lo up; exec "$@"'
    done = subprocess.run(
        [*alone, command, "-", sys.executable, str(Path(__file__).with_name(f"{module}.py")), *arguments],
        capture_output=True, text=True, check=False, timeout=700,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def save_model(path: Path, **changes: object) -> Model:
    plan = make_plan(("CT",), **changes)
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="synthetic", cases=1)
    model = Model(plan, (build(plan.network, seed=3).state_dict(),), card)
    model.save(path)
    return model


def judge(folder: Path, model: Model, *, contours: bool = True) -> None:
    """What both servers were given is what was predicted, for dcmqi, dciodvfy and plastimatch."""
    (file,) = (folder / "fetched").glob("*.nii.gz")
    truth = read_labels(file, model.plan.labels)
    assert truth.array.any()
    names = Labels.from_names({name: k for k, name in enumerate(model.plan.labels.names, start=1)})
    numbered = LabelMap(truth.labels.to_index(truth.array), truth.grid, names)
    slices = len(list((folder / "series").glob("*.dcm")))
    for way in ("stored", "posted"):
        arrived = {kind: sorted((folder / way / kind).iterdir()) for kind in OUTPUTS.values()}
        assert {kind: len(files) for kind, files in arrived.items()} == {
            "seg": 1, "rtstruct": 1, "sr": 1, "overlay": slices,
        }  # fmt: skip
        for kind, files in arrived.items():
            if kind == "rtstruct" and not contours:
                continue
            assert dciodvfy_errors(files[len(files) // 2]) == []
        array, grid = dcmqi_labels(arrived["seg"][0], folder / way / "dcmqi")
        assert same_place(array, grid, numbered)
        report = pydicom.dcmread(arrived["sr"][0])
        assert pydicom.dcmread(arrived["seg"][0]).SOPInstanceUID in report.to_json()
        if contours:
            _judge_contours(arrived["rtstruct"][0], folder, way, truth)


def _judge_contours(file: Path, folder: Path, way: str, truth: LabelMap) -> None:
    """plastimatch finds the area of each label."""
    masks = plastimatch_masks(file, folder / "series", folder / way / "plastimatch")
    for label in truth.labels.classes:
        wanted = truth.array == label.value
        if not wanted.any():
            continue
        mask = masks[label.name] if truth.grid.affine[2, 0] > 0 else masks[label.name][::-1]
        both = np.count_nonzero(mask & wanted)
        assert 2 * both / (mask.sum() + wanted.sum()) >= 0.99, label.name


def test_everything_comes_back_as_it_was_predicted(tmp_path: Path) -> None:
    upright = Grid((6, 24, 20), np.array([[0, 0, 0.8, -9], [0, 0.7, 0, 4], [3, 0, 0, 100], [0, 0, 0, 1]]))
    write_series(tmp_path / "series", phantom((6, 24, 20)), upright)
    model = save_model(tmp_path / "model.calque")
    result = in_namespace("round_trip", str(tmp_path))
    assert result["stopped"] == 0
    judge(tmp_path, model)
    uid = pydicom.dcmread(next((tmp_path / "series").iterdir())).SeriesInstanceUID
    assert uid not in result["log"]
    assert "Phantom" not in result["log"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_series_gets_one_result_though_the_node_is_killed(tmp_path: Path) -> None:
    save_model(tmp_path / "model.calque")
    expected = set()
    for k in range(20):
        files = write_series(tmp_path / "series" / str(k), phantom((6, 12, 10), seed=k), series=f"load {k}")
        expected.add(str(pydicom.dcmread(files[0]).SeriesInstanceUID))
    result = in_namespace("load", str(tmp_path), "4")
    assert sorted(result["sources"]) == sorted(expected)
    assert result["stopped"] == 0
    (tmp_path / "figures.json").write_text(json.dumps({k: v for k, v in result.items() if k != "sources"}))
    assert np.isfinite(result["seconds"])
