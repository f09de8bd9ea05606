"""Folders and files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calque.errors import CalqueError, GeometryError, InputError, ReadError
from calque.evaluation import Rules, evaluate, score_case
from calque.evaluation.cohort import suited_workers
from calque.evaluation.matching import Job
from calque.evaluation.volumes import agreements
from calque.geometry import Grid
from calque.image import LabelMap
from calque.io import read_labels, write_labels, write_png
from calque.labels import Labels, Region

from .maps import LABELS, cube, label_map


@pytest.fixture
def folders(tmp_path):
    """Three cases: perfect, shifted, missed; a dataset.json above the truth."""
    truth, predicted = tmp_path / "data" / "labelsTr", tmp_path / "predicted"
    for k, guess in enumerate((cube(2, 6), cube(3, 7), cube(0, 0))):
        write_labels(label_map(cube(2, 6)), truth / f"case.{k}.nii.gz")
        write_labels(label_map(guess), predicted / f"case.{k}.nii.gz")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "liver"}}))
    return predicted, truth


def test_folders(folders):
    scores = evaluate(*folders)
    assert [c.case for c in scores.cases] == ["case.0", "case.1", "case.2"]
    assert scores.labels.names == ("liver",)
    assert [c.classes["liver"].values["dice"] for c in scores.cases] == pytest.approx([1.0, 27 / 64, 0.0])
    assert scores.complete


def test_workers_change_nothing(folders):
    assert evaluate(*folders, workers=1) == evaluate(*folders, workers=4)


def test_what_has_no_partner_is_named(folders):
    predicted, truth = folders
    (predicted / "case.1.nii.gz").rename(predicted / "other.nii.gz")
    (predicted / "plan.json").write_text("{}")
    (predicted / "._case.7.nii.gz").write_bytes(b"x")
    scores = evaluate(predicted, truth)
    assert scores.findings.missing == ("case.1",)
    assert scores.findings.unexpected == ("other",)
    assert [c.case for c in scores.cases] == ["case.0", "case.2"]
    assert not scores.complete


def test_a_sick_case_is_named_and_the_rest_goes_on(folders):
    predicted, truth = folders
    grid = Grid.from_parts((12, 12, 12), (1, 1, 2))
    write_labels(LabelMap(cube(2, 6), grid, LABELS), predicted / "case.0.nii.gz")
    (predicted / "case.1.nii.gz").write_bytes((predicted / "case.1.nii.gz").read_bytes()[:60])
    scores = evaluate(predicted, truth)
    assert [f.case for f in scores.findings.failed] == ["case.0", "case.1"]
    assert "different grids" in scores.findings.failed[0].error
    assert [c.case for c in scores.cases] == ["case.2"]


def test_all_sick_is_an_error(folders):
    predicted, truth = folders
    for path in predicted.iterdir():
        write_labels(LabelMap(cube(2, 6), Grid.from_parts((12, 12, 12), (1, 1, 2)), LABELS), path)
    with pytest.raises(GeometryError):
        evaluate(predicted, truth)


def test_values_without_names(folders):
    predicted, truth = folders
    (truth.parent / "dataset.json").unlink()
    write_labels(label_map(cube(2, 6, value=2)), predicted / "case.2.nii.gz")
    scores = evaluate(predicted, truth)
    assert scores.labels.names == ("class 1", "class 2")
    assert [c.classes["class 2"].state for c in scores.cases] == ["absent", "absent", "spurious"]
    assert scores.cases[0].classes["class 2"].values["volume_truth_ml"] == 0.0
    assert scores.summaries["class 2"]["dice"].absent == 2


def test_undeclared_values_fail_the_case(folders):
    predicted, truth = folders
    write_labels(label_map(cube(2, 6, value=2)), predicted / "case.2.nii.gz")
    scores = evaluate(predicted, truth)
    assert [f.case for f in scores.findings.failed] == ["case.2"]
    assert "not declared" in scores.findings.failed[0].error


def test_labels_patients_and_metrics_given(folders):
    scores = evaluate(
        *folders,
        Rules(metrics=["dice", "nsd"], tolerance_mm=2.0),
        labels=LABELS,
        patients={"case.0": "p", "case.1": "p"},
    )
    assert [c.patient for c in scores.cases] == ["p", "p", "case.2"]
    assert scores.metrics == ("dice", "nsd")
    assert scores.tolerance_mm == {"organ": 2.0, "lesion": 2.0}
    assert scores.summaries["organ"]["dice"].patients == 2


def test_two_files(folders):
    predicted, truth = folders
    scores = evaluate(predicted / "case.1.nii.gz", truth / "case.0.nii.gz")
    assert [c.case for c in scores.cases] == ["case.0"]
    assert scores.labels.names == ("liver",)
    with pytest.raises(InputError, match="two folders or two files"):
        evaluate(predicted, truth / "case.0.nii.gz")


def test_nothing_there(folders, tmp_path):
    predicted, truth = folders
    with pytest.raises(ReadError, match="nothing here"):
        evaluate(tmp_path / "no", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no mask"):
        evaluate(tmp_path / "empty", truth)
    write_labels(label_map(cube(2, 6)), tmp_path / "others" / "x.nii.gz")
    with pytest.raises(InputError, match="No file of one folder"):
        evaluate(tmp_path / "others", truth)
    with pytest.raises(InputError, match="no such metric"):
        evaluate(predicted, truth, Rules(metrics=["accuracy"]))


@pytest.mark.parametrize("text", ["", "[]", '{"labels": 3}', '{"labels": {"1": {}}}', '{"name": 1}'])
def test_a_broken_dataset_json_is_an_error(folders, text):
    predicted, truth = folders
    (truth.parent / "dataset.json").write_text(text)
    with pytest.raises(CalqueError) as caught:
        evaluate(predicted, truth)
    assert "dataset.json" in str(caught.value)


@pytest.mark.data
def test_genuine_predictions(data_root):
    scores = evaluate(
        data_root / "nnunet-model" / "predictions" / "mirror-off", data_root / "hippocampus" / "labelsTr"
    )
    assert len(scores.cases) == 20
    assert len(scores.findings.missing) == 180
    assert scores.labels.names == ("Anterior", "Posterior")
    first = scores.case("hippocampus_001").classes  # by nibabel and numpy alone
    assert [round(first[n].values["dice"], 3) for n in scores.labels.names] == [0.582, 0.346]
    assert np.isfinite([s.mean for s in scores.foreground.values()]).all()


def test_another_grid_is_resampled_only_when_asked(folders):
    predicted, truth = folders
    fine = Grid.from_parts((24, 24, 24), (0.5, 0.5, 0.5), origin=(-0.25, -0.25, -0.25))
    write_labels(LabelMap(cube(4, 12, size=24), fine, LABELS), predicted / "case.0.nii.gz")
    assert [f.case for f in evaluate(predicted, truth).findings.failed] == ["case.0"]
    scores = evaluate(predicted, truth, Rules(resample=True))
    assert scores.resampled == ("case.0",)
    assert scores.complete
    assert scores.case("case.0").classes["liver"].values["dice"] == 1.0


def test_what_lies_beside_a_mask_is_no_mask(folders):
    predicted, truth = folders
    before = evaluate(predicted, truth)
    soft = np.zeros((2, 12, 12, 12), np.float16)
    soft[0], soft[1] = 1 - cube(2, 6) * 0.75, cube(2, 6) * 0.75
    for k, name in enumerate(("case.0.npz", "case.1_probabilities.npz", "case.2_probabilities.npz")):
        np.savez_compressed(predicted / name, probabilities=soft if k < 2 else soft[:, :-1])
    (predicted / "case.0_overlay.png").write_bytes(b"x")
    assert evaluate(predicted, truth) == before
    scores = evaluate(predicted, truth, Rules(metrics=["dice"], probabilities=predicted))
    assert scores.metrics == ("dice", "ece", "brier")
    liver = scores.case("case.0").classes["liver"]
    assert liver.values["brier"] == pytest.approx(0.25**2 * 64 / 6**3)
    assert sum(liver.reliability.counts) == 6**3
    assert [f.case for f in scores.findings.failed] == ["case.2"]
    (predicted / "case.0.npz").write_bytes(b"PK")
    (predicted / "case.1_probabilities.npz").unlink()
    with pytest.raises(CalqueError, match="Cannot read these probabilities"):
        evaluate(predicted, truth, Rules(probabilities=predicted))
    with pytest.raises(InputError, match="need probabilities"):
        evaluate(predicted, truth, Rules(metrics=["ece"]))


def test_probabilities_as_predict_writes_them(folders):
    predicted, truth = folders
    soft = np.zeros((2, 12, 12, 12), np.float32)
    soft[0], soft[1] = 1 - cube(2, 6) * 0.75, cube(2, 6) * 0.75
    for k in range(3):
        np.save(predicted / f"case.{k}_probabilities.npy", soft)
    scores = evaluate(predicted, truth, Rules(metrics=["dice"], probabilities=predicted))
    assert [case.case for case in scores.cases] == ["case.0", "case.1", "case.2"]
    assert scores.case("case.0").classes["liver"].values["brier"] == pytest.approx(0.25**2 * 64 / 6**3)
    (predicted / "case.1_probabilities.npy").write_bytes(b"PK")
    failed = evaluate(predicted, truth, Rules(probabilities=predicted)).findings.failed
    assert [f.case for f in failed] == ["case.1"]


def test_pictures_of_unknown_scale_are_in_pixels(tmp_path):
    for folder in ("predicted", "truth"):
        (tmp_path / folder).mkdir()
        write_png(np.eye(12, dtype=np.uint8)[..., None].repeat(3, axis=2), tmp_path / folder / "a.png")
    assert not evaluate(tmp_path / "predicted", tmp_path / "truth").spacing_known


def test_an_empty_prediction_adds_no_class(folders):
    predicted, truth = folders
    (truth.parent / "dataset.json").unlink()
    for path in truth.iterdir():
        write_labels(label_map(7 * cube(2, 6), Labels.from_names({"organ": 7})), path)
    for k, path in enumerate(sorted(predicted.iterdir())):
        size = 6 if k else 2  # nothing at all in the first
        write_labels(label_map(7 * cube(2, size), Labels.from_names({"organ": 7})), path)
    assert evaluate(predicted, truth).labels.names == ("class 7",)


def test_a_table_of_labels_beside_the_truth_rules(folders):
    predicted, truth = folders
    for path in truth.iterdir():
        write_labels(label_map(255 * cube(2, 6), Labels.from_names({"white": 255})), path)
    (truth / "manifest.labels.csv").write_text("name,value,stored\nliver,1,255\n")
    scores = evaluate(predicted, truth)
    assert scores.labels.names == ("liver",)
    assert [c.classes["liver"].values["dice"] for c in scores.cases] == pytest.approx([1.0, 27 / 64, 0.0])


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_formats_may_differ(folders, suffix):
    pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    predicted, truth = folders
    before = evaluate(predicted, truth)
    for path in list(truth.glob("*.nii.gz")):
        write_labels(read_labels(path), truth / path.name.replace(".nii.gz", suffix))
        path.unlink()
    assert evaluate(predicted, truth).cases == before.cases


def test_classes_that_were_not_annotated_have_no_figures(tmp_path):
    """As a dataset's manifest tells it; the same table makes subgroups."""
    lesions = cube(2, 6)
    lesions[8:10, 8:10, 8:10] = 2
    for k, truth in enumerate((lesions, cube(2, 6), lesions)):
        write_labels(label_map(truth), tmp_path / "truth" / f"c{k}.nii.gz")
        write_labels(label_map(lesions), tmp_path / "predicted" / f"c{k}.nii.gz")
    table = tmp_path / "g.csv"
    table.write_text("case,image,label,annotated,sex\nc0,a,b,,f\nc1,a,b,organ,f\nc2,a,b,organ; lesion,m\n")
    folders = tmp_path / "predicted", tmp_path / "truth"
    scores = evaluate(*folders, labels=LABELS, groups=table)
    score = scores.case("c1").classes["lesion"]
    assert (score.state, set(score.values.values())) == ("unknown", {None})
    summary = scores.summaries["lesion"]["dice"]
    assert (summary.mean, summary.n, summary.unknown, summary.absent) == (1.0, 2, 1, 0)
    assert scores.foreground["dice"].mean == 1.0
    assert agreements(scores)["lesion"].n == 2
    assert {g.column for g in scores.groups} == {"sex"}
    assert evaluate(*folders, labels=LABELS).case("c1").classes["lesion"].state == "spurious"
    with pytest.raises(InputError, match="only where classes have names"):
        evaluate(*folders, groups=table)
    table.write_text("case,annotated\nc0,organs\n")
    with pytest.raises(InputError, match="do not exist"):
        evaluate(*folders, labels=LABELS, groups=table)


def test_a_region_with_a_class_that_was_not_annotated_is_unknown():
    labels = Labels(classes=LABELS.classes, regions=(Region(name="all", values=(1, 2)),))
    score = score_case(label_map(cube(2, 6), labels), label_map(cube(2, 6), labels), annotated=("organ",))
    states = {name: found.state for name, found in score.classes.items()}
    assert states == {"organ": "present", "lesion": "unknown", "all": "unknown"}


def test_small_masks_are_scored_by_one_thread(tmp_path):
    """After the first file that can be read; where none can, each processor has a thread."""
    small, large, sick = (tmp_path / f"{name}.nii.gz" for name in ("small", "large", "sick"))
    write_labels(label_map(cube(2, 6)), small)
    wide = np.zeros((64, 64, 65), np.uint8)
    write_labels(LabelMap(wide, Grid.from_parts(wide.shape, (1, 1, 1)), LABELS), large)
    sick.write_bytes(b"no mask")
    jobs = {path.stem: Job("a", "a", path, path) for path in (small, large, sick)}
    assert suited_workers([jobs["sick.nii"], jobs["small.nii"]]) == 1
    assert suited_workers([jobs["large.nii"], jobs["small.nii"]]) is None
    assert suited_workers([jobs["sick.nii"]]) is None
