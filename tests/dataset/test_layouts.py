"""Folders become datasets, or an error that says what was looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calque.dataset import open_dataset
from calque.errors import DatasetError

from .building import edit, mask, msd, scan, write


def _two_folders(root: Path, images: str = "images", masks: str = "labels") -> Path:
    for k in range(3):
        write(root / images / f"P0{k}_a.nii.gz", scan(k))
        write(root / masks / f"P0{k}_a.nii.gz", mask(k, (0, 4)))
    return root


def test_the_decathlon(tmp_path: Path) -> None:
    root = msd(tmp_path)
    dataset = open_dataset(root)
    assert (dataset.name, dataset.layout, dataset.channels) == ("Tiny", "msd", ("MRI",))
    assert dict(zip(dataset.labels.names, dataset.labels.values, strict=True)) == {"front": 1, "back": 2}
    assert [c.id for c in dataset.cases] == ["c0", "c1", "c2", "c3", "c4", "c5", "t0"]
    assert dataset.cases[0].label == root / "labelsTr" / "c0.nii.gz"
    assert [c.split for c in dataset.cases][-2:] == [None, "test"]
    assert len(dataset.annotated) == 6
    assert open_dataset(root / "dataset.json") == dataset == open_dataset(str(root))


def test_no_voxel_is_read(tmp_path: Path) -> None:
    root = msd(tmp_path)
    for path in root.rglob("*.nii.gz"):
        path.write_bytes(b"not an image")
    (root / "imagesTr" / "c0.nii.gz").unlink()
    assert len(open_dataset(root).cases) == 7


@pytest.mark.parametrize(
    ("labels", "values", "regions", "ignore"),
    [
        ({"0": "background", "2": "1", "1": "liver"}, {"liver": 1, "1": 2}, {}, None),
        ({"background": 0, "liver": 1, "lesion": 2}, {"liver": 1, "lesion": 2}, {}, None),
        ({"background": 0, "liver": 1, "ignore": 2}, {"liver": 1}, {}, 2),
        (
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
            {"class 1": 1, "class 2": 2, "enhancing": 3},
            {"whole": (1, 2, 3), "core": (2, 3)},
            None,
        ),
        (
            {"background": 0, "kidney": 1, "tumour": 2, "both": [1, 2]},
            {"kidney": 1, "tumour": 2},
            {"both": (1, 2)},
            None,
        ),
    ],
)
def test_labels_in_both_spellings(
    tmp_path: Path, labels: Any, values: Any, regions: Any, ignore: int | None
) -> None:
    found = open_dataset(edit(msd(tmp_path), labels=labels)).labels
    assert dict(zip(found.names, found.values, strict=True)) == values
    assert {region.name: region.values for region in found.regions} == regions
    assert found.ignore == ignore


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"labels": None}, "labels"),
        ({"training": None}, "training"),
        ({"training": []}, "training"),
        ({"training": [{"label": "a.nii"}]}, "image"),
        ({"training": [{"image": []}]}, "no image"),
        ({"labels": {"0": "background"}}, "contradict"),
        ({"labels": {"1": "a", "2": "a"}}, "same name"),
        ({"labels": {"a": 1, "b": 1}}, "unique"),
        ({"labels": {"a": "b"}}, "whole number"),
        ({"labels": {"a": -1}}, "whole number"),
        ({"labels": {"a": "²"}}, "whole number"),
        ({"labels": {"9" * 5000: "a"}}, "whole number"),
        ({"training": [{"image": "a/x.nii"}, {"image": "b/x.nii"}]}, "unique"),
    ],
)
def test_a_broken_description_is_explained(tmp_path: Path, changes: Any, what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        open_dataset(edit(msd(tmp_path), **changes))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[]", b"null", b"", b"[" * 99999, b"1" * 9999])
def test_a_description_that_is_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        open_dataset(tmp_path)


def test_channels_are_counted_where_nobody_names_them(tmp_path: Path) -> None:
    root = edit(msd(tmp_path), modality=None)
    (root / "imagesTr" / "c0.nii.gz").write_bytes(b"broken")
    write(root / "imagesTr" / "c1.nii.gz", np.stack([scan(0), scan(1)]))
    assert open_dataset(root).channels == ("channel 1", "channel 2")


def test_eleven_channels_keep_their_order(tmp_path: Path) -> None:
    names = {str(k): f"m{k}" for k in range(11)}
    assert open_dataset(edit(msd(tmp_path), channel_names=names)).channels == tuple(names.values())


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "labels"), ("imagesTr", "labelsTr"), ("Images", "Masks"), ("image", "mask")],
)
def test_two_folders(tmp_path: Path, images: str, masks: str) -> None:
    root = _two_folders(tmp_path, images, masks)
    dataset = open_dataset(root)
    assert dataset.layout == "two-folders"
    assert dataset.labels.names == ("class 4",)
    assert dataset.channels == ("channel 1",)
    assert [c.id for c in dataset.cases] == ["P00_a", "P01_a", "P02_a"]
    assert dataset.cases[1].images == (root / images / "P01_a.nii.gz",)
    assert dataset.cases[1].label == root / masks / "P01_a.nii.gz"


def test_two_folders_with_partners_missing(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    (root / "images" / "P00_a.nii.gz").unlink()
    (root / "labels" / "P01_a.nii.gz").unlink()
    first, second, _ = open_dataset(root).cases
    assert first.images == (root / "images" / "P00_a.nii.gz",)
    assert second.label is None


def test_two_folders_with_a_test_set(tmp_path: Path) -> None:
    root = _two_folders(tmp_path, "imagesTr", "labelsTr")
    write(root / "imagesTs" / "P09_a.nii.gz", scan(9))
    assert [c.split for c in open_dataset(root).cases] == [None, None, None, "test"]


def test_hidden_and_other_files_are_not_data(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    for name in ("._P00_a.nii.gz", ".DS_Store", "notes.txt"):
        (root / "images" / name).write_bytes(b"x")
    assert len(open_dataset(root).cases) == 3


def test_a_spoilt_mask_does_not_hide_the_others(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    (root / "labels" / "P00_a.nii.gz").write_bytes(b"broken")
    assert open_dataset(root).labels.values == (4,)
    for path in (root / "labels").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="No mask of this dataset can be read"):
        open_dataset(root)


def test_masks_without_any_class(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    for path in (root / "labels").iterdir():
        write(path, mask(0, (0,)))
    with pytest.raises(DatasetError, match="empty"):
        open_dataset(root)
    for path in (root / "labels").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no mask"):
        open_dataset(root)


def test_one_name_with_two_suffixes(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    write(root / "images" / "P00_a.nii", scan(0))
    with pytest.raises(DatasetError, match=r"P00_a\.nii"):
        open_dataset(root)


def test_what_is_no_dataset_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="an empty folder") as caught:
        open_dataset(tmp_path)
    assert "dataset.json" in str(caught.value)
    assert "images/ and labels/" in str(caught.value)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"got: a\.txt"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="A dataset is a folder"):
        open_dataset(tmp_path / "a.txt")
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


def test_patients_by_pattern(tmp_path: Path) -> None:
    root = _two_folders(tmp_path)
    assert [c.patient for c in open_dataset(root).cases] == ["P00_a", "P01_a", "P02_a"]
    assert [c.patient for c in open_dataset(root, r"^(P\d+)_").cases] == ["P00", "P01", "P02"]
    for pattern in ("(", "P", r"(P)(\d)", r"(Q\d+)", "(Z?)"):
        with pytest.raises(DatasetError, match=r"pattern|expression"):
            open_dataset(root, pattern)


@pytest.mark.data
def test_the_real_hippocampus(data_root: Path) -> None:
    dataset = open_dataset(data_root / "hippocampus")
    assert len(dataset.annotated) == len(dataset.cases) == 200
    assert dataset.labels.names == ("Anterior", "Posterior")
    assert all(path.is_file() for case in dataset.cases for path in (*case.images, case.label) if path)
