"""Layouts that only names describe, and what happens where names do not tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from calque.dataset import open_dataset
from calque.dataset.reading import read_mask, read_scan
from calque.errors import DatasetError

from .building import mask, scan, write


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    Picture.fromarray(pixels).save(path)
    return path


def painted(path: Path, values: tuple[int, ...] = (0, 128, 255), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.random.default_rng(seed).choice(values, (8, 9)).astype(np.uint8)).save(path)
    return path


def test_nnunet_with_regions_ignore_and_ending(tmp_path: Path) -> None:
    for case in ("a_1", "b_2"):
        for channel in range(2):
            write(tmp_path / "imagesTr" / f"{case}_{channel:04d}.nrrd", scan(channel))
        write(tmp_path / "labelsTr" / f"{case}.nrrd", mask(0, (0, 1, 2, 3)))
    write(tmp_path / "imagesTs" / "c_3_0000.nrrd", scan(3))
    described = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
        "numTraining": 2,
        "file_ending": ".nrrd",
        "name": "raw",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    found = open_dataset(tmp_path)
    assert (found.name, found.layout, found.channels) == ("raw", "nnunet", ("T1", "T2"))
    assert [case.id for case in found.cases] == ["a_1", "b_2", "c_3"]
    assert found.labels.ignore == 3
    assert [region.name for region in found.labels.regions] == ["whole"]
    first, _, test = found.cases
    assert first.label == tmp_path / "labelsTr" / "a_1.nrrd"
    assert [path.name for path in first.images] == ["a_1_0000.nrrd", "a_1_0001.nrrd"]
    assert (test.split, test.label) == ("test", None)
    assert test.images[1].name == "c_3_0001.nrrd"  # not there: for `check` to name


def test_nested_folders_are_patients(tmp_path: Path) -> None:
    for patient in ("anna", "bela"):
        for cut in ("one", "two"):
            photo(tmp_path / "Images" / patient / f"{cut}.png")
            painted(tmp_path / "Labels" / patient / f"{cut}.png")
    found = open_dataset(tmp_path)
    assert found.layout == "two-folders"
    assert [(c.id, c.patient) for c in found.cases][:2] == [("anna_one", "anna"), ("anna_two", "anna")]
    assert found.channels == ("red", "green", "blue")
    assert found.labels.values == (128, 255)


def test_names_tell_patients(tmp_path: Path) -> None:
    for name in ("SC-HF-I-01-IM-0001-0068", "SC-HF-I-01-IM-0001-0079", "SC-N-05-IM-0001-0068"):
        photo(tmp_path / "images" / f"{name}.dcm.png")
        painted(tmp_path / "masks" / f"{name}.dcm.png")
    found = open_dataset(tmp_path)
    assert {c.patient for c in found.cases} == {"SC-HF-I-01", "SC-N-05"}
    assert found.patients == "name"
    assert {c.patient for c in open_dataset(tmp_path, r"-(\d{4})\.dcm$").cases} == {"0068", "0079"}


def test_names_that_do_not_all_tell_are_left_alone(tmp_path: Path) -> None:
    for name in ("P1_slice_1", "P1_slice_2", "other"):
        photo(tmp_path / "images" / f"{name}.png")
        painted(tmp_path / "masks" / f"{name}.png")
    found = open_dataset(tmp_path)
    assert [c.patient for c in found.cases] == [c.id for c in found.cases]
    assert found.patients is None


@pytest.mark.parametrize(("image", "truth"), [("bmp", "png"), ("jpg", "png"), ("png", "bmp")])
def test_twins_side_by_side(tmp_path: Path, image: str, truth: str) -> None:
    for k in range(3):
        photo(tmp_path / f"{k:03d}.{image}", k)
        painted(tmp_path / f"{k:03d}.{truth}", seed=k)
    found = open_dataset(tmp_path)
    assert found.layout == "side-by-side"
    assert [c.images[0].suffix for c in found.cases] == [f".{image}"] * 3
    assert found.labels.names == ("class 128", "class 255")


def test_twins_that_could_be_either(tmp_path: Path) -> None:
    painted(tmp_path / "a.bmp")
    painted(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="calque dataset init"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("word", ["_mask", "_seg", "-label", "_gt", ".seg", "_lesion_mask"])
def test_words_side_by_side(tmp_path: Path, word: str) -> None:
    for k in range(2):
        core = "_lesion" if "lesion" in word else ""
        write(tmp_path / f"p{k}{core}.nii.gz", scan(k))
        write(tmp_path / f"p{k}{word}.nii.gz", mask(k))
    found = open_dataset(tmp_path)
    assert found.layout == "side-by-side"
    assert all(c.label is not None and word in c.label.name for c in found.cases)


def test_a_mask_without_image_is_ambiguous(tmp_path: Path) -> None:
    write(tmp_path / "p1.nii.gz", scan(1))
    write(tmp_path / "p1_seg.nii.gz", mask(1))
    write(tmp_path / "p1_lesion_seg.nii.gz", mask(1))
    with pytest.raises(DatasetError, match="p1_lesion_seg") as caught:
        open_dataset(tmp_path)
    assert "calque dataset init" in str(caught.value)


def test_patient_folders_with_a_mask_for_each_modality(tmp_path: Path) -> None:
    for patient in ("S1", "S2"):
        for kind in ("CT", "MR_T1", "PET"):
            write(tmp_path / patient / f"{kind}_image.nii.gz", scan(1))
            write(tmp_path / patient / f"{kind}_mask.nii.gz", mask(1))
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels) == ("patient-folders", ("CT", "MR_T1", "PET"))
    assert found.cases[0].label == tmp_path / "S1" / "CT_mask.nii.gz"
    assert [c.patient for c in found.cases] == ["S1", "S2"]


def test_patient_folders_with_long_names_and_their_own(tmp_path: Path) -> None:
    for patient in ("patient07", "patient08"):
        for kind in ("FLAIR", "T1", "T1POST"):
            write(tmp_path / patient / f"{patient}_{kind}_N4_toMNI.nii.gz", scan(1))
        write(tmp_path / patient / f"{patient}_GOLD_STANDARD_N4_toMNI.nii.gz", mask(1))
    found = open_dataset(tmp_path)
    assert found.channels == ("FLAIR", "T1", "T1POST")
    assert found.labels.values == (1, 2)


def test_patient_folders_with_a_mask_for_each_class(tmp_path: Path) -> None:
    for patient in ("S1", "S2"):
        write(tmp_path / patient / "CT_image.nii.gz", scan(1))
        for kind in ("liver", "spleen"):
            write(tmp_path / patient / f"{kind}_mask.nii.gz", mask(1, (0, 1)))
    found = open_dataset(tmp_path)
    assert found.labels.names == ("liver", "spleen")
    assert [name for name, _ in found.cases[0].parts] == ["liver", "spleen"]
    assert len(found.annotated) == 2


def test_bids(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02", "sub-03"):
        for kind in ("T1w", "FLAIR"):
            write(tmp_path / subject / "anat" / f"{subject}_{kind}.nii.gz", scan(1))
    for subject in ("sub-01", "sub-02"):
        folder = tmp_path / "derivatives" / "manual" / subject / "anat"
        write(folder / f"{subject}_dseg.nii.gz", mask(1))
    (tmp_path / "derivatives" / "manual" / "dseg.tsv").write_text("index\tname\n1\tgrey\n2\twhite\n")
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels) == ("bids", ("FLAIR", "T1w"))
    assert found.labels.names == ("grey", "white")
    assert [c.patient for c in found.cases] == ["sub-01", "sub-02", "sub-03"]
    assert len(found.annotated) == 2


def test_bids_with_two_masks_is_ambiguous(tmp_path: Path) -> None:
    write(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz", scan(1))
    for rater in ("a", "b"):
        write(tmp_path / "derivatives" / rater / "sub-01_dseg.nii.gz", mask(1))
    with pytest.raises(DatasetError, match="sub-01_dseg"):
        open_dataset(tmp_path)


def test_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "1.dcm").write_bytes(b"DICM")
    with pytest.raises(DatasetError, match="DICOM"):
        open_dataset(tmp_path)


def test_colours_become_classes(tmp_path: Path) -> None:
    for k in range(2):
        photo(tmp_path / "images" / f"{k}.png", k)
        colours = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], np.uint8)
        chosen = np.random.default_rng(k).integers(0, 3, (8, 9))
        (tmp_path / "masks").mkdir(exist_ok=True)
        Picture.fromarray(colours[chosen]).save(tmp_path / "masks" / f"{k}.png")
    found = open_dataset(tmp_path)
    assert found.labels.names == ("#0000ff", "#ff0000")
    assert [label.colour for label in found.labels.classes] == [(0, 0, 255), (255, 0, 0)]
    truth = read_mask(found.cases[1], found.labels, found.rule)
    np.testing.assert_array_equal(truth.array[0], np.array([0, 2, 1])[chosen])


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "layout", "counts", "values"),
    [
        ("hippocampus", "msd", (200, 200, 1), (1, 2)),
        ("cardiac-lv", "two-folders", (526, 30, 3), (255,)),
        ("blood-cells", "side-by-side", (300, 300, 3), (128, 255)),
        ("sarcoma-petct", "patient-folders", (12, 12, 3), (1,)),
        ("ms-lesions", "patient-folders", (1, 1, 4), (1,)),
    ],
)
def test_real_folders(
    data_root: Path, folder: str, layout: str, counts: tuple[int, ...], values: tuple[int, ...]
) -> None:
    cases, patients, channels = counts
    found = open_dataset(data_root / folder)
    assert (found.layout, len(found.cases), len(found.annotated)) == (layout, cases, cases)
    assert len({c.patient for c in found.cases}) == patients
    assert (len(found.channels), found.labels.values) == (channels, values)
    image = read_scan(found.cases[0].images, found.channels)
    assert read_mask(found.cases[0], found.labels, found.rule).grid.isclose(image.grid)
