"""Predictions and masks as DICOM from the command line, and the codes of labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra dicom is not installed")
import pydicom
from tests.preparation.synthetic import make_plan
from tests.support.dicom_series import oblique, phantom, write_series
from tests.support.judges import dciodvfy_errors, dcmqi_labels, same_place

from calque.cli.app import run
from calque.image import LabelMap
from calque.io import read_image, read_labels, write_labels
from calque.io.dicom.source import stack_of
from calque.labels import Labels
from calque.model import Card, Model
from calque.nets import build
from calque.terminology import parse_code

SHAPE = (12, 16, 14)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = make_plan()
    path = tmp_path_factory.mktemp("dicom-out") / "model.calque"
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="synthetic", cases=1)
    Model(plan, (build(plan.network).state_dict(),), card).save(path)
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "ct", phantom(SHAPE), oblique(SHAPE))
    return tmp_path / "ct"


def call(model: Path, scans: Path, out: Path, *more: str) -> list[str]:
    return ["predict", str(model), str(scans), "-o", str(out), "--engine", "torch", "--json", "-", *more]


def test_the_seg_is_the_nifti_of_the_same_prediction(
    model: Path, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(call(model, series, tmp_path / "nifti")) == 0
    dicom = [*call(model, series, tmp_path / "dicom", "--format", "dicom-seg"), "--sr", "--overlay-dicom"]
    capsys.readouterr()
    assert run(dicom) == 0
    said = json.loads(capsys.readouterr().out)
    file = tmp_path / "dicom" / "ct.seg.dcm"
    assert Path(said["done"][0]["output"]) == file
    assert any("99CALQUE" in note for note in said["done"][0]["notes"])
    truth = read_labels(tmp_path / "nifti" / "ct.nii.gz", Model.load(model).plan.labels)
    assert truth.array.any()
    names = Labels.from_names({name: k for k, name in enumerate(truth.labels.names, start=1)})
    numbered = LabelMap(truth.labels.to_index(truth.array), truth.grid, names)  # segments are 1, 2, ...
    assert same_place(*dcmqi_labels(file, tmp_path / "dcmqi"), numbered)
    report = tmp_path / "dicom" / "ct.sr.dcm"
    pictures = sorted((tmp_path / "dicom" / "ct_overlay_dicom").iterdir())
    assert len(pictures) == SHAPE[0]
    for written in (file, report, pictures[0]):
        assert dciodvfy_errors(written) == []
    assert pydicom.dcmread(file).SegmentSequence[0].SegmentAlgorithmName == "synthetic"
    assert Model.load(model).key in pydicom.dcmread(report).DeviceSerialNumber
    assert run(dicom) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == ["ct"]
    first = pydicom.dcmread(file).SOPInstanceUID
    assert run([*dicom, "--overwrite"]) == 0
    assert pydicom.dcmread(file).SOPInstanceUID == first


def test_what_cannot_be_is_refused_before_anything_is_computed(
    model: Path, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(call(model, series, tmp_path / "out", "--sr")) == 2
    assert "refers to a segmentation" in capsys.readouterr().err
    assert run(call(model, series, tmp_path / "out.dcm")) == 2
    assert "does not fit the format" in capsys.readouterr().err
    assert run(["convert", str(series), "-o", str(tmp_path / "scan.nii.gz")]) == 0
    capsys.readouterr()
    assert run(call(model, tmp_path / "scan.nii.gz", tmp_path / "out", "--format", "rtstruct")) == 2
    assert "this scan is none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("form", "name"), [("rtstruct", "x.dcm"), ("dicom-labelmap", "y.dcm")])
def test_one_file_by_name(model: Path, series: Path, tmp_path: Path, form: str, name: str) -> None:
    assert run(call(model, series, tmp_path / name, "--format", form)) == 0
    data = pydicom.dcmread(tmp_path / name)
    assert data.Modality == ("RTSTRUCT" if form == "rtstruct" else "SEG")


def test_a_mask_becomes_a_seg_of_its_series(
    series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = stack_of(series)
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 3:6, 4:10], array[8, 2:14, 3] = 1, 2
    truth = LabelMap(array, stack.grid, Labels.from_names({"class 1": 1, "class 2": 2}))
    write_labels(truth, tmp_path / "mask.nii.gz")
    convert = ["convert", str(tmp_path / "mask.nii.gz"), "-o", str(tmp_path / "mask.dcm")]
    assert run([*convert, "--format", "dicom-seg"]) == 2
    assert "--reference" in capsys.readouterr().err
    assert run([*convert, "--format", "dicom-seg", "--reference", str(series)]) == 0
    assert same_place(*dcmqi_labels(tmp_path / "mask.dcm", tmp_path / "dcmqi"), truth)
    segment = pydicom.dcmread(tmp_path / "mask.dcm").SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "MANUAL"
    assert dciodvfy_errors(tmp_path / "mask.dcm") == []
    assert run([*convert, "--reference", str(series), "--force"]) == 2
    made = ["--format", "dicom-seg", "--reference", str(series), "--made-by", "Other 2.1", "--force"]
    assert run([*convert, *made]) == 0
    assert pydicom.dcmread(tmp_path / "mask.dcm").SegmentSequence[0].SegmentAlgorithmName == "Other 2.1"


def test_codes_are_suggested_and_set_in_a_model(
    model: Path, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["labels", "suggest", "kidney_left", "thing", "--json", "-"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["kidney_left"][0]["code"]["type"]["value"] == "64033007"
    assert said["thing"] == []
    assert run(["labels", "suggest", str(model)]) in (0, 1)
    names = Model.load(model).plan.labels.names
    coded = tmp_path / "coded.calque"
    setting = ["labels", "set", str(model), f"{names[0]}=liver tumour", f"{names[1]}=64033007 left"]
    assert run([*setting, "-o", str(coded)]) == 0
    before, after = Model.load(model), Model.load(coded)
    assert after.key == before.key
    assert after.plan.labels.classes[1].code == parse_code("left kidney")
    assert run(["labels", "set", str(model), "nothing=liver", "-o", str(coded)]) == 2
    assert run(["labels", "set", str(model), f"{names[0]}=12345"]) == 2
    capsys.readouterr()
    assert run(call(coded, series, tmp_path / "out", "--format", "dicom-seg")) == 0
    data = pydicom.dcmread(tmp_path / "out" / "ct.seg.dcm")
    assert data.SegmentSequence[0].AnatomicRegionSequence[0].CodeMeaning == "Liver"
    assert "CodingSchemeIdentificationSequence" not in data
    assert json.loads(capsys.readouterr().out)["done"][0]["notes"] == []


def test_codes_are_set_in_a_manifest(
    tmp_path: Path, series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from calque.dataset import open_dataset

    image = read_image(series)
    array = np.zeros(SHAPE, np.uint8)
    array[3, 4:6, 5] = 1
    labels = Labels.from_names({"liver": 1, "odd": 2})
    write_labels(LabelMap(array, image.grid, labels), tmp_path / "mask.nii.gz")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("case,image,label\na,scan.nii.gz,mask.nii.gz\n")
    assert run(["convert", str(series), "-o", str(tmp_path / "scan.nii.gz")]) == 0
    (tmp_path / "manifest.labels.csv").write_text("name,value\nliver,1\nodd,2\n")  # as older ones
    assert run(["labels", "set", str(manifest), "--suggested"]) == 0
    found = open_dataset(manifest).labels
    assert found.classes[0].code == parse_code("liver")
    assert found.classes[1].code is None
    assert run(["labels", "set", str(manifest), "odd=spleen"]) == 0
    assert open_dataset(manifest).labels.classes[0].code == parse_code("liver")
    table = tmp_path / "manifest.labels.csv"
    table.write_text(table.read_text().replace("78961009 (Spleen)", "99"))
    capsys.readouterr()
    assert run(["labels", "suggest", str(manifest)]) == 2
    assert "line 3" in capsys.readouterr().err
