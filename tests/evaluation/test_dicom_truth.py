"""A NIfTI prediction against a DICOM SEG or RTSTRUCT truth, and the reverse."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from tests.reporting.pages import read_page
from tests.support.dicom_series import oblique, phantom, uid, write_series
from tests.support.dicom_structures import contour, write_rtstruct, write_seg

from calque.errors import GeometryError, InputError, LabelError
from calque.evaluation import Rules, Scores, evaluate
from calque.image import LabelMap
from calque.io import write_labels
from calque.labels import Labels
from calque.reporting import report

SHAPE = (6, 12, 10)
GRID = oblique(SHAPE)
LABELS = Labels.from_names({"thing": 1})
DICE = Rules(metrics=("dice",))


@pytest.fixture
def truth() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:4, 3:8, 2:6] = 1
    return array


def predicted(folder: Path, array: np.ndarray, grid: object = GRID, labels: Labels = LABELS) -> Path:
    folder.mkdir(exist_ok=True)
    assert hasattr(grid, "shape")
    write_labels(LabelMap(array, grid, labels), folder / "a.nii.gz")  # type: ignore[arg-type]
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


def square(grid_k: int, low: float, high: float, series: str = "series") -> Dataset:
    corners = [(grid_k, low, low), (grid_k, low, high), (grid_k, high, high), (grid_k, high, low)]
    return contour(GRID.to_world(np.array(corners)), source=uid(series, "instance", grid_k + 1))


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """An RTSTRUCT of slices 2 and 3 as truth, and a SEG of slices 2 to 4 as prediction; `ct` lies beside."""
    files = write_series(tmp_path / "ct", phantom(SHAPE))
    truth = write_rtstruct(tmp_path / "rt" / "a.dcm", {"thing": [square(k, 2.5, 6.5) for k in (2, 3)]})
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3:7, 3:7] = True
    return write_seg(tmp_path / "seg" / "b.dcm", files, {"thing": mask}, "BINARY"), truth


def test_a_seg_and_an_rtstruct_are_placed_on_the_series_beside_them(both: tuple[Path, Path]) -> None:
    scores = evaluate(*both, DICE)
    assert scores.cases[0].classes["thing"].values["dice"] == pytest.approx(2 * 32 / (32 + 48))
    assert scores.notes == {"a": (f"both were placed on the series in {both[0].parents[1] / 'ct'}",)}


def test_the_series_is_the_one_that_is_referred_to(both: tuple[Path, Path], tmp_path: Path) -> None:
    write_series(tmp_path / "other", phantom(SHAPE), series="other")
    assert "ct" in evaluate(*both, DICE).notes["a"][0]
    write_rtstruct(both[1], {"thing": [square(k, 2.5, 6.5, "nowhere") for k in (2, 3)]})
    with pytest.raises(InputError, match="not clear on which series") as caught:
        evaluate(*both, DICE)
    assert "--reference" in str(caught.value)
    notes = evaluate(*both, replace(DICE, reference=tmp_path / "ct")).notes["a"]
    assert "2 of 2 planes refer to no image of the series" in notes[1]


def test_a_series_that_does_not_fit_is_refused(both: tuple[Path, Path], tmp_path: Path) -> None:
    other = GRID.resampled((2.2, 0.8, 0.7))
    write_series(tmp_path / "away" / "other", phantom(other.shape), other, series="other")
    with pytest.raises(GeometryError):
        evaluate(*both, replace(DICE, reference=tmp_path / "away" / "other"))


def test_without_a_series_an_rtstruct_asks_for_one(both: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "ct")
    with pytest.raises(GeometryError, match="only on the grid of their series"):
        evaluate(*both, DICE)
    scores = evaluate(both[1], both[0], DICE)  # a SEG has frames, which hold these contours
    assert scores.cases[0].classes["thing"].values["dice"] == pytest.approx(2 * 32 / (32 + 48))
    assert scores.notes["b"] == (
        "no series lies beside the truth: both were placed on the grid of its own frames",
    )
    write_rtstruct(both[1], {"thing": [square(k, 2.5, 6.5) for k in (0, 2)]})
    with pytest.raises(GeometryError, match="reaches outside"):
        evaluate(both[1], both[0], DICE)


def test_a_manifest_names_the_scans(both: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "ct").rename(tmp_path / "elsewhere")
    table = tmp_path / "pairs.csv"
    table.write_text("case,predicted,truth,image\nx,b.dcm,a.dcm,elsewhere\n")
    scores = evaluate(both[0].parent, both[1].parent, DICE, manifest=table)
    assert scores.notes["x"][0].endswith("elsewhere")


def test_structures_that_the_truth_does_not_have_are_unknown(truth: np.ndarray, tmp_path: Path) -> None:
    write_rtstruct(tmp_path / "truth" / "a.dcm", {"thing": [square(2, 2.5, 6.5)]})
    labels = Labels.from_names({"thing": 1, "other": 2})
    guess = truth.copy()
    guess[5] = 2
    folder = predicted(tmp_path / "pred", guess, labels=labels)
    scores = evaluate(folder, tmp_path / "truth", DICE, labels=labels)
    assert scores.cases[0].classes["other"].state == "unknown"
    assert "the truth has no structure other" in scores.notes["a"]
    table = tmp_path / "annotated.csv"
    table.write_text("case,annotated\na,thing;other\n")  # somebody looked, and there is none
    scores = evaluate(folder, tmp_path / "truth", DICE, labels=labels, groups=table)
    assert scores.cases[0].classes["other"].state == "spurious"


def test_a_damaged_truth_is_named_and_the_rest_is_scored(truth: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rtstruct(tmp_path / "truth" / name, {"thing": [square(2, 2.5, 6.5)]})
        write_labels(LabelMap(truth, GRID, LABELS), tmp_path / "pred" / f"{name}.nii.gz")
    spoiled = tmp_path / "truth" / "b"
    own, other = b"1.2.840.10008.5.1.4.1.1.481.3", b"1.2.840.10008.5.1.4.1.1.481.9"
    spoiled.write_bytes(spoiled.read_bytes().replace(own, other, 1))
    scores = evaluate(tmp_path / "pred", tmp_path / "truth", DICE)
    assert [case.case for case in scores.cases] == ["a"]
    assert "contradicts itself" in scores.findings.failed[0].error


@pytest.mark.parametrize("scan", [None, "ct", "."])
def test_the_report_draws_them(scan: str | None, both: tuple[Path, Path], tmp_path: Path) -> None:
    scores = evaluate(*both, DICE)
    images = None if scan is None else tmp_path / scan
    page = report(scores, tmp_path / "r.html", truth=both[1], predicted=both[0], images=images)
    tree = read_page(page.read_text())
    assert "could not be drawn" not in tree.words()
    assert len([i for i in tree.all("img") if "Scan" in i.attributes["alt"]]) == 3


def test_overlaps_are_drawn_as_they_were_scored(truth: np.ndarray, tmp_path: Path) -> None:
    drawn = {"big": [square(2, 1.5, 6.5)], "small": [square(2, 3.5, 5.5)]}
    write_rtstruct(tmp_path / "truth" / "a.dcm", drawn)
    folder = predicted(tmp_path / "pred", truth)
    with pytest.raises(LabelError, match="overlap"):
        evaluate(folder, tmp_path / "truth", DICE)
    scores = evaluate(folder, tmp_path / "truth", replace(DICE, priority=("small", "big")))
    again = Scores.model_validate_json(scores.to_json())
    assert again.priority == ("small", "big")
    page = report(again, tmp_path / "r.html", truth=tmp_path / "truth", predicted=folder)
    assert "could not be drawn" not in read_page(page.read_text()).words()
