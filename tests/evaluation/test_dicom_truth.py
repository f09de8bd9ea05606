"""A NIfTI prediction against a DICOM SEG or RTSTRUCT truth, and the reverse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.dicom_series import oblique, phantom, write_series
from tests.support.dicom_structures import contour, write_rtstruct, write_seg

from calque.errors import GeometryError
from calque.evaluation import Rules, evaluate
from calque.image import LabelMap
from calque.io import write_labels
from calque.labels import Labels

SHAPE = (6, 12, 10)
GRID = oblique(SHAPE)
LABELS = Labels.from_names({"thing": 1})
DICE = Rules(metrics=("dice",))


@pytest.fixture
def truth() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:4, 3:8, 2:6] = 1
    return array


def predicted(folder: Path, array: np.ndarray, grid: object = GRID) -> Path:
    folder.mkdir(exist_ok=True)
    assert hasattr(grid, "shape")
    write_labels(LabelMap(array, grid, LABELS), folder / "a.nii.gz")  # type: ignore[arg-type]
    return folder


def test_a_seg_is_scored_on_the_grid_of_the_prediction(truth: np.ndarray, tmp_path: Path) -> None:
    """The SEG stores two slices alone; what is predicted beyond them counts as wrong."""
    files = write_series(tmp_path / "ct", phantom(SHAPE))
    write_seg(tmp_path / "truth" / "a.dcm", files, {"thing": truth > 0}, "BINARY")
    guess = truth.copy()
    guess[5, :2, :10] = 1
    scores = evaluate(predicted(tmp_path / "pred", guess), tmp_path / "truth", DICE)
    assert scores.labels.names == ("thing",)
    assert scores.cases[0].classes["thing"].values["dice"] == pytest.approx(2 * 40 / (40 + 60))


def test_an_rtstruct_is_scored_on_the_grid_of_the_prediction(truth: np.ndarray, tmp_path: Path) -> None:
    corners = [(2.5, 1.5), (2.5, 5.5), (7.5, 5.5), (7.5, 1.5)]
    contours = [contour(GRID.to_world(np.array([(k, *c) for c in corners]))) for k in (2, 3)]
    write_rtstruct(tmp_path / "truth" / "a.dcm", {"thing": contours})
    scores = evaluate(predicted(tmp_path / "pred", truth), tmp_path / "truth", DICE)
    assert scores.cases[0].classes["thing"].values["dice"] == 1.0


def test_a_predicted_seg_against_a_nifti(truth: np.ndarray, tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", phantom(SHAPE))
    write_seg(tmp_path / "pred" / "a.dcm", files, {"thing": truth > 0}, "LABELMAP")
    known = tmp_path / "truth"
    scores = evaluate(tmp_path / "pred", predicted(known, truth), DICE, labels=LABELS)
    assert scores.cases[0].classes["thing"].values["dice"] == 1.0


def test_the_table_of_labels_beside_the_truth_decides_overlaps(truth: np.ndarray, tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", phantom(SHAPE))
    inner = truth.copy()
    inner[2] = 0
    write_seg(tmp_path / "truth" / "a.dcm", files, {"outer": truth > 0, "inner": inner > 0}, "BINARY")
    (tmp_path / "truth" / "manifest.labels.csv").write_text(
        "name,value,stored,priority\norgan,1,outer,2\nlesion,2,inner,1\n"
    )
    labels = Labels.from_names({"organ": 1, "lesion": 2})
    folder = tmp_path / "pred"
    folder.mkdir()
    write_labels(LabelMap(truth + inner, GRID, labels), folder / "a.nii.gz")
    scores = evaluate(folder, tmp_path / "truth", DICE)
    assert [c.values["dice"] for c in scores.cases[0].classes.values()] == [1.0, 1.0]


def test_another_grid_is_refused_and_never_resampled(truth: np.ndarray, tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", phantom(SHAPE))
    write_seg(tmp_path / "truth" / "a.dcm", files, {"thing": truth > 0}, "BINARY")
    other = GRID.resampled((3.0, 1.1, 1.1))
    with pytest.raises(GeometryError, match="not those of the series"):
        evaluate(
            predicted(tmp_path / "pred", np.ones(other.shape, np.uint8), other),
            tmp_path / "truth",
            DICE,
        )
