"""One case: grids, labels, regions, ignored voxels, tolerances."""

from __future__ import annotations

import numpy as np
import pytest

from calque.errors import GeometryError, InputError, LabelError
from calque.evaluation import Rules, score_case
from calque.evaluation.case import tolerance_by_target
from calque.evaluation.metrics import CALIBRATION, DEFAULT, METRICS
from calque.evaluation.pair import Pair
from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels, Region

from .maps import LABELS, cube, label_map


def test_cropping_changes_nothing():
    generator = np.random.default_rng(0)
    truth, predicted = (
        generator.integers(0, 3, (9, 10, 11)) * (generator.random((9, 10, 11)) < 0.1) for _ in "ab"
    )
    score = score_case(label_map(predicted, spacing=(3, 1, 1)), label_map(truth, spacing=(3, 1, 1)))
    for name, value in (("organ", 1), ("lesion", 2)):
        whole = Pair(predicted == value, truth == value, (3.0, 1.0, 1.0), 0.003, truth.size, 1.0)
        assert score.classes[name].values == pytest.approx({name: METRICS[name](whole) for name in DEFAULT})


def test_a_lesion_in_one_slice_of_a_volume_is_three_dimensional():
    truth = np.zeros((5, 9, 9), np.uint8)
    truth[2, 2:7, 2:7] = 1
    inside = truth.copy()
    inside[2, 4, 4] = 0
    score = score_case(label_map(inside), label_map(truth), Rules(metrics=["hd"]))
    assert (
        score.classes["organ"].values["hd"] == 1.0
    )  # every voxel of the sheet is surface, also the one missed


def test_states():
    truth, predicted = cube(2, 5), cube(3, 6, value=2)
    score = score_case(label_map(predicted), label_map(truth), case="a", patient="p")
    assert (score.case, score.patient) == ("a", "p")
    assert {n: s.state for n, s in score.classes.items()} == {"organ": "missed", "lesion": "spurious"}
    score = score_case(label_map(cube(0, 0)), label_map(cube(0, 0)))
    assert {s.state for s in score.classes.values()} == {"absent"}


def test_regions_are_scored_as_unions():
    labels = Labels(classes=LABELS.classes, regions=(Region(name="whole", values=(1, 2)),))
    truth, predicted = cube(2, 6), cube(2, 6)
    predicted[3:5, 3:5, 3:5] = 2
    score = score_case(label_map(predicted), label_map(truth, labels))
    assert score.classes["whole"].values["dice"] == 1.0
    assert score.classes["organ"].values["dice"] < 1.0


def test_a_region_may_not_take_the_name_of_a_class():
    labels = Labels(classes=LABELS.classes, regions=(Region(name="organ", values=(1, 2)),))
    with pytest.raises(LabelError, match="name of a class"):
        score_case(label_map(cube(2, 6)), label_map(cube(2, 6), labels))


def test_ignored_voxels_count_for_nobody():
    labels = Labels.from_names({"organ": 1}, ignore=9)
    truth, predicted = cube(2, 6), cube(2, 6)
    truth[8:] = 9
    predicted[9, 3, 3] = 1
    score = score_case(label_map(predicted), label_map(truth, labels))
    values = score.classes["organ"].values
    assert (values["dice"], values["hd"], values["volume_error_ml"]) == (1.0, 0.0, 0.0)
    predicted[6, 3, 3] = 1
    values = score_case(label_map(predicted), label_map(truth, labels)).classes["organ"].values
    assert values["specificity"] == pytest.approx(1 - 1 / (8 * 144 - 64))


def test_other_grid_is_an_error_and_never_resampled():
    truth = label_map(cube(2, 6))
    for grid in (
        Grid.from_parts((12, 12, 12), (1, 1, 1.01)),
        Grid.from_parts((12, 12, 12), (1, 1, 1), origin=(0, 0, 0.1)),
    ):
        with pytest.raises(GeometryError, match="different grids") as caught:
            score_case(LabelMap(truth.array, grid, LABELS), truth, case="case_7")
        assert caught.value.where == "case_7"
    with pytest.raises(GeometryError):
        score_case(label_map(cube(2, 6, size=13)), truth)


def test_headers_that_differ_by_rounding_are_one_grid():
    truth = label_map(cube(2, 6))
    grid = Grid.from_parts((12, 12, 12), (1, 1, 1), origin=(0, 1e-6, 0))
    assert score_case(LabelMap(truth.array, grid, LABELS), truth).classes["organ"].values["dice"] == 1.0


def test_undeclared_values_are_refused():
    with pytest.raises(LabelError, match="not declared"):
        score_case(label_map(cube(2, 6, value=3)), label_map(cube(2, 6)))


def test_tolerance_by_class():
    truth, predicted = cube(2, 6), cube(3, 7)
    truth[10, 10, 10] = 2
    predicted[10, 10, 9] = 2
    score = score_case(
        label_map(predicted), label_map(truth), Rules(["nsd"], tolerance_mm={"organ": 2.0, "lesion": 0.5})
    )
    assert {n: s.values["nsd"] for n, s in score.classes.items()} == {"organ": 1.0, "lesion": 0.0}


@pytest.mark.parametrize(
    "tolerance", [{"organ": 1.0}, {"organ": 1.0, "lesion": 1.0, "x": 1.0}, -1.0, float("nan")]
)
def test_tolerances_that_cannot_be(tolerance):
    with pytest.raises(InputError):
        tolerance_by_target(tolerance, LABELS)


def test_pictures():
    truth = np.zeros((1, 9, 9), np.uint8)
    truth[0, 2:7, 2:7] = 1
    moved = np.roll(truth, 1, axis=2)
    values = score_case(label_map(moved), label_map(truth), Rules(tolerance_mm=0.5)).classes["organ"].values
    assert values["hd"] == 1.0
    assert values["nsd"] == pytest.approx((8 + 8) / 32)  # of 16 voxels each, top and bottom share 4


def test_probabilities_of_classes_regions_and_ignored_voxels():
    labels = Labels(classes=LABELS.classes, regions=(Region(name="whole", values=(1, 2)),), ignore=9)
    truth = cube(2, 6)
    truth[4:6, 4:6, 4:6] = 2
    truth[2, 2, 2] = 9
    soft = np.zeros((3, *truth.shape), np.float16)
    soft[0], soft[1], soft[2] = truth == 0, 0.75 * (truth > 0), 0.25 * (truth > 0)
    score = score_case(
        label_map(np.where(truth > 0, 1, 0)),
        label_map(truth, labels),
        Rules(metrics=CALIBRATION),
        probabilities=soft,
    )
    box, inside, lesion = 6**3 - 1, 64 - 1, 8
    organ = score.classes["organ"]
    assert organ.values["ece"] == pytest.approx(abs(0.75 * inside - (inside - lesion)) / box)
    assert sum(organ.reliability.counts) == box
    assert score.classes["whole"].values == {"ece": 0.0, "brier": 0.0}
    assert score.classes["lesion"].state == "missed"


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 12, 12, 12)), np.full((3, 12, 12, 12), 2.0), np.full((3, 12, 12, 12), np.nan)]
)
def test_probabilities_that_cannot_be(wrong):
    with pytest.raises(InputError, match="Probabilities"):
        score_case(label_map(cube(2, 6)), label_map(cube(2, 6)), probabilities=wrong)
    with pytest.raises(InputError, match="match above an IoU"):
        score_case(label_map(cube(2, 6)), label_map(cube(2, 6)), Rules(lesion_iou=1.0))
