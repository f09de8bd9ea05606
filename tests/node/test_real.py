"""Real CT, MR and PET through the node and through Orthanc."""

from __future__ import annotations

from pathlib import Path

import pytest

from calque.image import LabelMap
from calque.io import read_labels
from calque.labels import Labels

from ..support.judges import dciodvfy_errors, dcmqi_labels, same_place
from .test_orthanc import in_namespace, save_model


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "place",
    ["lung-ct-dicom", "sarcoma-petct/dicom/STS_008/MR_T1/image", "sarcoma-petct/dicom/STS_008/PET/image"],
)
def test_a_real_series_comes_back_as_it_was_predicted(place: str, data_root: Path, tmp_path: Path) -> None:
    folders = (data_root / place, *(data_root / place).rglob("*"))
    source = max(folders, key=lambda folder: len(list(folder.glob("*.dcm"))))
    (tmp_path / "series").symlink_to(source)
    model = save_model(tmp_path / "model.calque", spacing=(6.0, 6.0, 6.0), patch=(16, 16, 16))
    in_namespace("round_trip", str(tmp_path))
    (file,) = (tmp_path / "fetched").glob("*.nii.gz")
    truth = read_labels(file, model.plan.labels)
    names = Labels.from_names({name: k for k, name in enumerate(model.plan.labels.names, start=1)})
    numbered = LabelMap(truth.labels.to_index(truth.array), truth.grid, names)
    for way in ("stored", "posted"):
        array, grid = dcmqi_labels(tmp_path / f"{way}.dcm", tmp_path / way)
        assert same_place(array, grid, numbered)
        assert not dciodvfy_errors(tmp_path / f"{way}.dcm")
