"""Folders of scans: every one is accounted for, nothing is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calque.errors import CalqueError, InputError, ResourceError
from calque.geometry import Grid
from calque.image import LabelMap
from calque.io import read_labels, write_image
from calque.prediction import PredictOptions, Predictor, cohort, extras, predict, predict_many
from calque.prediction.ahead import look_ahead
from calque.prediction.choice import Choice
from calque.prediction.ledger import NAME
from calque.progress import Silent

from .fakes import Threshold, image_on, threshold_plan

GRID = Grid.from_parts((8, 9, 10), (1, 1, 1), origin=(3, -4, 5))


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(threshold_plan(), [Threshold()], PredictOptions(precision="f32", engine="torch"))


def classes(seed: int) -> np.ndarray:
    array = np.zeros(GRID.shape, np.float32)
    array[2:5, 2 : 4 + seed, 3:6] = 1
    array[6, 6, 6] = 2
    return array


@pytest.fixture
def scans(tmp_path) -> Path:
    folder = tmp_path / "scans"
    for number in range(3):
        write_image(image_on(GRID, classes(number)), folder / f"case{number}.nii.gz")
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {NAME}


def test_a_folder_becomes_a_folder(predictor, scans, tmp_path):
    result = predict(predictor, scans, tmp_path / "out")
    assert [done.case for done in result.done] == ["case0", "case1", "case2"]
    assert (result.failed, result.skipped) == ((), ())
    assert names(tmp_path / "out") == {f"case{k}.nii.gz" for k in range(3)}
    for number, done in enumerate(result.done):
        written = read_labels(done.output, predictor.plan.labels)
        assert written.grid.isclose(GRID)
        np.testing.assert_array_equal(
            written.array, predictor.plan.labels.to_values(classes(number).astype(np.uint8))
        )


def test_one_scan_may_be_given_a_file_name(predictor, scans, tmp_path):
    predict(predictor, scans / "case1.nii.gz", tmp_path / "deep" / "mask.nii.gz")
    assert names(tmp_path / "deep") == {"mask.nii.gz"}


def test_pictures_and_tables_are_written_on_request(predictor, scans, tmp_path):
    predict(predictor, [scans / "case2.nii.gz"], tmp_path, overlay=True, objects=True)
    with Pillow.open(tmp_path / "case2_overlay.png") as picture:
        assert picture.mode == "RGB"
    rows = list(csv.DictReader((tmp_path / "case2_objects.csv").read_text().splitlines()))
    assert [(row["name"], row["voxels"]) for row in rows] == [("organ", "36"), ("lesion", "1")]
    assert [o["voxels"] for o in json.loads((tmp_path / "case2_objects.json").read_text())] == [36, 1]


@pytest.mark.parametrize("sickness", ["truncated", "NaN", "channels"])
def test_a_sick_scan_is_named_and_the_others_go_on(predictor, scans, tmp_path, sickness):
    sick = scans / "case1.nii.gz"
    if sickness == "truncated":
        sick.write_bytes(sick.read_bytes()[:100])
    elif sickness == "NaN":
        write_image(image_on(GRID, np.full(GRID.shape, np.nan, np.float32)), sick)
    else:
        write_image(image_on(GRID, np.ones((2, *GRID.shape), np.float32)), sick)
    result = predict(predictor, scans, tmp_path / "out")
    assert [done.case for done in result.done] == ["case0", "case2"]
    assert [failure.case for failure in result.failed] == ["case1"]
    assert "case1.nii.gz" in result.failed[0].error
    assert names(tmp_path / "out") == {"case0.nii.gz", "case2.nii.gz"}


def test_a_missing_channel_is_named(tmp_path):
    options = PredictOptions(precision="f32", engine="torch")
    predictor = Predictor(threshold_plan(("T1", "T2")), [Threshold()], options)
    for name in ("a_0000", "a_0001", "b_0000"):
        write_image(image_on(GRID, classes(0)), tmp_path / "scans" / f"{name}.nii.gz")
    result = predict(predictor, tmp_path / "scans", tmp_path / "out")
    assert [done.case for done in result.done] == ["a"]
    assert "b_0001.nii.gz" in result.failed[0].error


def test_what_is_finished_is_skipped_or_made_again(predictor, scans, tmp_path):
    out = tmp_path / "out"
    predict(predictor, scans / "case0.nii.gz", out)
    before = (out / "case0.nii.gz").stat().st_ino
    result = predict(predictor, scans, out)
    assert result.skipped == ("case0",)
    assert [done.case for done in result.done] == ["case1", "case2"]
    assert (out / "case0.nii.gz").stat().st_ino == before
    assert len(predict(predictor, scans, out, overwrite=True).done) == 3


@pytest.mark.parametrize("change", ["scan", "mask", "no mask", "model", "options", "extras", "cut list"])
def test_finished_means_the_same_files_model_and_options(predictor, scans, tmp_path, change):
    out, more = tmp_path / "out", {}
    predict(predictor, scans, out)
    assert len(predict(predictor, scans, out).skipped) == 3
    if change == "scan":
        write_image(image_on(GRID, classes(2)), scans / "case1.nii.gz")
    elif change == "mask":
        (out / "case1.nii.gz").write_bytes(b"edited")
    elif change == "no mask":
        (out / "case1.nii.gz").unlink()
    elif change == "cut list":
        text = (out / NAME).read_text()
        (out / NAME).write_text(text[:-40])  # a crash in the middle of a line
    elif change == "model":
        predictor = Predictor(predictor.plan, [Threshold(0.01)], predictor.options)
    elif change == "options":
        options = predictor.options.model_copy(update={"mirror": "full"})
        predictor = Predictor(predictor.plan, [Threshold()], options)
    else:
        more = {"objects": True}
    expected = ("case0", "case2") if change in ("scan", "mask", "no mask") else ()
    expected = ("case0", "case1") if change == "cut list" else expected
    assert predict(predictor, scans, out, **more).skipped == expected


def test_memory_and_cache_change_no_label_and_make_nothing_again(predictor, scans, tmp_path):
    predict(predictor, scans, tmp_path / "out")
    options = predictor.options.model_copy(update={"memory": 2**33, "cache": tmp_path / "cache"})
    other = Predictor(predictor.plan, [Threshold()], options)
    assert len(predict(other, scans, tmp_path / "out").skipped) == 3


def test_a_scan_that_vanishes_is_named(predictor, scans, tmp_path, monkeypatch):
    found = cohort.find_scans

    def and_gone(*arguments):
        listed = found(*arguments)
        (scans / "case1.nii.gz").unlink()
        return listed

    monkeypatch.setattr(cohort, "find_scans", and_gone)
    result = predict(predictor, scans, tmp_path / "out")
    assert [done.case for done in result.done] == ["case0", "case2"]
    assert "case1.nii.gz" in result.failed[0].error


def test_many_as_a_generator(predictor, scans):
    (scans / "case1.nii.gz").write_bytes(b"")
    for limit in (None, 2**34):
        chosen = Predictor(
            predictor.plan, [Threshold()], predictor.options.model_copy(update={"memory": limit})
        )
        outcomes = list(predict_many(chosen, scans))
        assert [outcome.item.id for outcome in outcomes] == ["case0", "case1", "case2"]
        assert outcomes[2].unwrap().label_map.grid.isclose(GRID)
        with pytest.raises(CalqueError):
            outcomes[1].unwrap()


def test_a_scan_is_never_replaced_by_its_mask(predictor, scans):
    before = (scans / "case0.nii.gz").read_bytes()
    for output in (scans, scans / "case0.nii.gz"):
        with pytest.raises(InputError, match="replace a scan"):
            predict(predictor, scans / "case0.nii.gz", output)
    assert (scans / "case0.nii.gz").read_bytes() == before


def test_many_scans_do_not_go_into_one_file(predictor, scans, tmp_path):
    with pytest.raises(InputError, match="one file"):
        predict(predictor, scans, tmp_path / "mask.nii.gz")


def test_a_file_is_not_a_folder(predictor, scans, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(InputError, match="not a folder"):
        predict(predictor, scans, tmp_path / "out")


def test_twins_are_refused_before_anything_is_written(predictor, scans, tmp_path):
    write_image(image_on(GRID, classes(0)), tmp_path / "other" / "case2.nii.gz")
    with pytest.raises(InputError, match="Two scans"):
        predict(predictor, [scans, tmp_path / "other"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def failing(error: BaseException):
    def write(label_map: LabelMap, path: Path) -> None:
        raise error

    return write


def test_a_full_disk_is_named_per_scan_and_leaves_nothing(predictor, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "write_labels", failing(ResourceError("The disk is full")))
    result = predict(predictor, scans, tmp_path / "out")
    assert [failure.case for failure in result.failed] == ["case0", "case1", "case2"]
    assert "disk is full" in result.failed[0].error
    monkeypatch.undo()
    assert len(predict(predictor, scans, tmp_path / "out").done) == 3


def test_a_scan_that_cannot_be_written_is_named(predictor, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "write_labels", failing(InputError("This cannot be written")))
    assert len(predict(predictor, scans, tmp_path / "out").failed) == 3


def test_too_little_memory_for_one_scan_is_named(predictor, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "__call__", lambda self, image: failing(MemoryError())(None, None))
    result = predict(predictor, scans, tmp_path / "out")
    assert [f.case for f in result.failed] == ["case0", "case1", "case2"]
    assert "memory" in result.failed[0].error


def test_a_fault_of_ours_is_not_taken_for_a_sick_scan(predictor, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "__call__", lambda self, image: failing(ZeroDivisionError())(None, None))
    with pytest.raises(ZeroDivisionError):
        predict(predictor, scans, tmp_path / "out")


def test_an_interrupted_run_leaves_only_whole_files(predictor, scans, tmp_path):
    class Impatient(Silent):
        def task(self, name: str, total: float | None = None):
            class Task:
                def __enter__(self):
                    return self

                def __exit__(self, *_: object) -> None:
                    pass

                def advance(self, amount: float = 1.0, note: str = "") -> None:
                    raise KeyboardInterrupt

            return Task()

    with pytest.raises(KeyboardInterrupt):
        predict(predictor, scans, tmp_path / "out", progress=Impatient())
    assert names(tmp_path / "out") <= {"case0.nii.gz"}
    for path in (tmp_path / "out").glob("*.nii.gz"):
        assert read_labels(path, predictor.plan.labels).grid.isclose(GRID)


def test_the_result_goes_through_json(predictor, scans, tmp_path):
    (scans / "case1.nii.gz").write_bytes(b"")
    result = predict(predictor, scans, tmp_path / "out")
    assert cohort.CohortResult.from_json(result.to_json(), error=CalqueError) == result


def test_pictures_become_pictures_unless_asked_otherwise(predictor, tmp_path):
    flat = Grid.from_parts((1, 9, 10), (1, 1, 1))
    truth = np.random.default_rng(0).integers(0, 3, flat.shape).astype(np.uint8)
    for name in ("a.png", "b.tif"):
        write_image(image_on(flat, truth), tmp_path / "in" / name)
    Pillow.fromarray(truth[0]).save(tmp_path / "in" / "c.bmp")
    predict(predictor, tmp_path / "in", tmp_path / "out")
    assert names(tmp_path / "out") == {"a.png", "b.tif", "c.png"}
    values = predictor.plan.labels.to_values(truth)
    for path in ("a.png", "b.tif", "c.png"):
        written = read_labels(tmp_path / "out" / path, predictor.plan.labels)
        np.testing.assert_array_equal(written.array, values)
    with Pillow.open(tmp_path / "out" / "a.png") as picture:
        assert picture.mode == "P"
    predict(predictor, tmp_path / "in", tmp_path / "volumes", form="nifti")
    assert names(tmp_path / "volumes") == {"a.nii.gz", "b.nii.gz", "c.nii.gz"}
    with pytest.raises(InputError, match="nifti, png"):
        predict(predictor, tmp_path / "in", tmp_path / "other", form="dicom")


def test_a_cohort_starts_once_in_the_forecast_of_its_time(predictor, scans):
    assert predictor.engine.name == "torch"
    assert look_ahead(predictor, scans).seconds is None  # nobody timed it
    predictor.choice = Choice(engine="torch", precision="f32", seconds={"torch f32": 0.5}, reason="")
    one, three = (look_ahead(predictor, given) for given in (scans / "case0.nii.gz", scans))
    each = one.scans[0].forecast.seconds
    assert each is not None
    assert one.seconds is not None
    assert three.seconds == pytest.approx(3 * each + one.seconds - each)
