"""Real series: the DICOM objects of a prediction are its NIfTI, for readers that are not ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

from tests.prediction.fakes import Threshold, threshold_plan
from tests.support.judges import dciodvfy_errors, dcmqi_labels, plastimatch_masks

from calque.io import read_labels
from calque.io.dicom import Identity
from calque.io.dicom.source import series_paths, stack_of
from calque.labels import Labels
from calque.prediction import PredictOptions, Predictor, predict
from calque.prediction.extras import DicomExtras

pytestmark = pytest.mark.data


@dataclass(frozen=True)
class Series:
    """A real series, and the intensities between which a voxel is of class 1, and above of class 2."""

    path: str
    between: tuple[float, float]


REAL = {
    "lung CT": Series("lung-ct-dicom/LUNG1-001/image", (-50.0, 150.0)),
    "sarcoma MR": Series("sarcoma-petct/dicom/STS_008/MR_T1/image", (400.0, 1000.0)),
    "sarcoma PET": Series("sarcoma-petct/dicom/STS_008/PET/image", (0.3, 1.2)),
    "breast DCE": Series("breast-dce-dicom", (20.0, 50.0)),
}


class Bands(Threshold):
    """As `Threshold`, for intensities of any scale."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return super().forward(0.5 + (x - self.low) / (self.high - self.low))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_objects_of_a_prediction_are_its_nifti(name: str, data_root: Path, tmp_path: Path) -> None:
    series = REAL[name]
    path = data_root / series.path
    if name == "breast DCE":
        path = _phase(data_root)
    stack = stack_of(path)
    labels = Labels.from_names({"organ": 1, "lesion": 2})
    plan = threshold_plan(spacing=stack.grid.spacing, patch=(8, 128, 128), labels=labels)
    options = PredictOptions(precision="f32", engine="torch", mirror="off", overlap=0.0)
    predictor = Predictor(plan, [Bands(*series.between)], options)
    more = DicomExtras(Identity(name="bands", version="0", key=predictor.key), sr=True, overlay=True)
    predict(predictor, [path], tmp_path / "a.nii.gz")
    for form in ("dicom-seg", "dicom-labelmap"):
        extras = more if form == "dicom-seg" else None
        (done,) = predict(predictor, [path], tmp_path / f"{form}.dcm", form=form, dicom=extras).done
        truth = read_labels(tmp_path / "a.nii.gz", plan.labels)
        array, grid = dcmqi_labels(done.output, tmp_path / form)
        assert np.array_equal(array, truth.array)
        assert {1, 2} <= set(np.unique(array).tolist())
        assert grid.isclose(truth.grid)
    assert dciodvfy_errors(tmp_path / "dicom-seg.dcm") == []
    assert dciodvfy_errors(tmp_path / "dicom-seg.sr.dcm") == []
    pictures = sorted((tmp_path / "dicom-seg_overlay_dicom").iterdir())
    assert len(pictures) == stack.grid.shape[0]
    assert dciodvfy_errors(pictures[len(pictures) // 2]) == []
    if name in ("lung CT", "breast DCE"):
        return  # so many specks take minutes; phases share a folder, of which plastimatch makes one volume
    (done,) = predict(predictor, [path], tmp_path / "rt.dcm", form="rtstruct").done
    assert dciodvfy_errors(done.output) == []
    masks = plastimatch_masks(done.output, path, tmp_path / "masks")
    for label in plan.labels.classes:
        both = np.count_nonzero(masks[label.name] & (truth.array == label.value))
        dice = 2 * both / (masks[label.name].sum() + np.count_nonzero(truth.array == label.value))
        assert dice >= 0.99, (label.name, dice)


def _phase(data_root: Path) -> Path:
    paths = series_paths(data_root / "breast-dce-dicom")
    return next(path for path in paths.values() if str(path).endswith("time 2"))
