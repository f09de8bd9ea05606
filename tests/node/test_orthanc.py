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

from calque.image import LabelMap
from calque.io import read_labels
from calque.labels import Labels
from calque.model import Card, Model
from calque.nets import build

from ..preparation.synthetic import make_plan
from ..support.dicom_series import phantom, write_series
from ..support.judges import dciodvfy_errors, dcmqi_labels, same_place

SCENARIOS = Path(__file__).with_name("orthanc_scenarios.py")


def in_namespace(*arguments: str) -> dict[str, Any]:
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
        [*alone, command, "-", sys.executable, str(SCENARIOS), *arguments],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def save_model(path: Path, **changes: object) -> Model:
    plan = make_plan(("CT",), **changes)
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="synthetic", cases=1)
    model = Model(plan, (build(plan.network, seed=3).state_dict(),), card)
    model.save(path)
    return model


def test_the_segmentation_comes_back_as_it_was_predicted(tmp_path: Path) -> None:
    write_series(tmp_path / "series", phantom((6, 12, 10)))
    model = save_model(tmp_path / "model.calque")
    result = in_namespace("round_trip", str(tmp_path))
    assert result["stopped"] == 0
    (file,) = (tmp_path / "fetched").glob("*.nii.gz")
    truth = read_labels(file, model.plan.labels)
    assert truth.array.any()
    names = Labels.from_names({name: k for k, name in enumerate(model.plan.labels.names, start=1)})
    numbered = LabelMap(truth.labels.to_index(truth.array), truth.grid, names)
    for way in ("stored", "posted"):
        array, grid = dcmqi_labels(tmp_path / f"{way}.dcm", tmp_path / way)
        assert same_place(array, grid, numbered)
        assert not dciodvfy_errors(tmp_path / f"{way}.dcm")
    uid = pydicom.dcmread(next((tmp_path / "series").iterdir())).SeriesInstanceUID
    assert uid not in result["log"]
    assert "Phantom" not in result["log"]


@pytest.mark.parametrize(
    ("series", "senders"), [(4, 2), pytest.param(20, 4, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_each_series_gets_one_result_though_the_node_is_killed(
    tmp_path: Path, series: int, senders: int
) -> None:
    save_model(tmp_path / "model.calque")
    expected = set()
    for k in range(series):
        files = write_series(tmp_path / "series" / str(k), phantom((6, 12, 10), seed=k), series=f"load {k}")
        expected.add(str(pydicom.dcmread(files[0]).SeriesInstanceUID))
    result = in_namespace("load", str(tmp_path), str(senders))
    assert sorted(result["sources"]) == sorted(expected)
    assert result["stopped"] == 0
    (tmp_path / "figures.json").write_text(json.dumps({k: v for k, v in result.items() if k != "sources"}))
    assert np.isfinite(result["seconds"])
