"""Manifests: written from any layout, read back the same, and what is wrong with a row is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calque.dataset import init_manifest, open_dataset
from calque.dataset.reading import read_mask
from calque.errors import DatasetError, InputError, LabelError

from .building import GRID, mask, msd, scan, write
from .test_layouts_folders import painted, photo


def _cases(root: Path, rows: str, labels: str | None = None) -> Path:
    for k in range(3):
        write(root / f"i{k}.nii.gz", scan(k))
        write(root / f"m{k}.nii.gz", mask(k))
    (root / "manifest.csv").write_text(rows)
    if labels is not None:
        (root / "manifest.labels.csv").write_text(labels)
    return root


def test_every_column(tmp_path: Path) -> None:
    root = _cases(
        tmp_path,
        "case,patient,image:T1,image:T2,label,split,annotated,sex,centre\n"
        "a,P1,i0.nii.gz,i1.nii.gz,m0.nii.gz,train,front;back,f,Lyon\n"
        "\n"
        "b,P1,i1.nii.gz,i2.nii.gz,m1.nii.gz,,front,m,\n"
        "c,,i2.nii.gz,i0.nii.gz,,test,,f,Brno\n",
        "name,value,stored,colour,role,priority\nback,2,,,,\nfront,1,,#ff0000,class,\nboth,1;2,,,region,\n",
    )
    found = open_dataset(root)
    assert (found.layout, found.channels, found.patients) == ("manifest", ("T1", "T2"), "manifest")
    a, b, c = found.cases
    assert (a.patient, b.patient, c.patient) == ("P1", "P1", "c")
    assert (a.split, b.split, c.split) == ("train", None, "test")
    assert (a.annotated, b.annotated, c.annotated) == (("front", "back"), ("front",), None)
    assert dict(a.metadata) == {"sex": "f", "centre": "Lyon"}
    assert found.labels.names == ("front", "back")
    assert found.labels.classes[0].colour == (255, 0, 0)
    assert found.labels.regions[0].values == (1, 2)
    assert found.labels.ignore == 255  # case b has classes that nobody looked for
    assert open_dataset(root / "manifest.csv") == found


def test_what_was_not_looked_for_is_ignored(tmp_path: Path) -> None:
    root = _cases(
        tmp_path,
        "case,image,label,annotated\na,i0.nii.gz,m0.nii.gz,front\nb,i1.nii.gz,m1.nii.gz,\n",
        "name,value\nfront,1\nback,2\n",
    )
    found = open_dataset(root)
    partial, whole = (read_mask(case, found.labels, found.rule).array for case in found.cases)
    np.testing.assert_array_equal(partial, np.where(mask(0) == 0, 255, mask(0)))
    np.testing.assert_array_equal(whole, mask(1))


def test_stored_values_stand_for_others(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    painted(tmp_path / "a.png", (0, 128, 255))
    (tmp_path / "manifest.csv").write_text("case,image,label\na,a.jpg,a.png\n")
    table = tmp_path / "manifest.labels.csv"
    table.write_text("name;value;stored\ncytoplasm;1;128\nnucleus;2;255\n")
    found = open_dataset(tmp_path)
    assert found.labels.values == (1, 2)
    assert set(np.unique(read_mask(found.cases[0], found.labels, found.rule).array)) == {0, 1, 2}
    table.write_text("name,value,stored\ncytoplasm,1,128\n")
    found = open_dataset(tmp_path)
    with pytest.raises(LabelError, match="255"):
        read_mask(found.cases[0], found.labels, found.rule)
    table.write_text("name,value,stored\ncell,1,128;255\n")
    found = open_dataset(tmp_path)
    assert set(np.unique(read_mask(found.cases[0], found.labels, found.rule).array)) == {0, 1}


def _overlapping(root: Path, priorities: tuple[str, str]) -> Path:
    liver, tumour = np.zeros((2, *GRID.shape), np.uint8)
    liver[:4], tumour[2:5] = 1, 255
    write(root / "i.nii.gz", scan(0))
    write(root / "liver.nii.gz", liver)
    write(root / "tumour.nii.gz", tumour)
    (root / "manifest.csv").write_text(
        "case,image,label:liver,label:tumour\na,i.nii.gz,liver.nii.gz,tumour.nii.gz\n"
    )
    one, two = priorities
    (root / "manifest.labels.csv").write_text(f"name,value,priority\nliver,1,{one}\ntumour,2,{two}\n")
    return root


@pytest.mark.parametrize(
    ("priorities", "expected"), [(("2", "1"), [1, 1, 2, 2, 2, 0]), (("1", "2"), [1] * 4 + [2, 0])]
)
def test_classes_are_merged_by_priority(
    tmp_path: Path, priorities: tuple[str, str], expected: list[int]
) -> None:
    found = open_dataset(_overlapping(tmp_path, priorities))
    assert found.rule.priority[0] == ("tumour" if priorities[1] == "1" else "liver")
    merged = read_mask(found.cases[0], found.labels, found.rule)
    assert merged.array[:, 0, 0].tolist() == expected


def test_an_overlap_without_a_rule_is_an_error(tmp_path: Path) -> None:
    found = open_dataset(_overlapping(tmp_path, ("", "")))
    with pytest.raises(LabelError, match="claim the same voxels"):
        read_mask(found.cases[0], found.labels, found.rule)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("", "empty"),
        ("case,label\na,b\n", "columns"),
        ("case,image,image:T1\na,b,c\n", "columns"),
        ("case,image,image\na,b,c\n", "unique"),
        ("case,image\n,i0.nii.gz\n", "line 2"),
        ("case,image\na,\n", "incomplete"),
        ("case,image\n", "no case"),
        ("case,image,split\na,i0.nii.gz,valid\n", "train, test"),
        ("case,image\n../a,i0.nii.gz\n", "file name"),
        ("case,image\na,b,c\n", "more cells"),
        ("case,image,label\na,i0.nii.gz,m0.nii.gz\na,i0.nii.gz,m0.nii.gz\n", "unique"),
        ("case,image,label,annotated\na,i0.nii.gz,m0.nii.gz,liver\n", "liver"),
        ('case,image\n"a,b\n', "CSV"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: str, what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        open_dataset(_cases(tmp_path, rows))


@pytest.mark.parametrize(
    "labels",
    ["name,value\nfront,x\n", "name,value\n,1\n", "name,value\na,1\nb,1\n", "name,value,role\na,1,organ\n",
     "name,value,stored\na,1,#ff00\n", "name,value,stored\na,1,#ff0000\nb,2,7\n",
     "name,value,role\na,1,\nb,1;9,region\n",
     "name,value,stored\na,1,5\nb,2,5\n"],
)  # fmt: skip
def test_what_is_wrong_with_labels_is_named(tmp_path: Path, labels: str) -> None:
    with pytest.raises(DatasetError, match="labels"):
        open_dataset(_cases(tmp_path, "case,image,label\na,i0.nii.gz,m0.nii.gz\n", labels))


def test_init_describes_what_open_understands(tmp_path: Path) -> None:
    root = msd(tmp_path / "scans")
    before = open_dataset(root)
    written = init_manifest(root, tmp_path / "list" / "manifest.csv")
    assert (written.cases, written.understood) == (7, "msd")
    after = open_dataset(tmp_path / "list")
    assert after.labels == before.labels
    assert [c.id for c in after.cases] == [c.id for c in before.cases]
    assert [c.images[0].resolve() for c in after.cases] == [c.images[0].resolve() for c in before.cases]
    assert [c.split for c in after.cases] == [c.split for c in before.cases]
    with pytest.raises(InputError, match="there already"):
        init_manifest(root, tmp_path / "list" / "manifest.csv")


def test_a_manifest_in_the_folder_rules(tmp_path: Path) -> None:
    root = msd(tmp_path)
    init_manifest(root, root / "manifest.csv", patient_pattern="(.)")
    text = (root / "manifest.csv").read_text()
    assert "/" + str(tmp_path).strip("/") not in text  # relative: the folder can be moved
    (root / "manifest.csv").write_text("\n".join(text.splitlines()[:3]) + "\n")
    found = open_dataset(root)
    assert (found.layout, len(found.cases), {c.patient for c in found.cases}) == ("manifest", 2, {"c"})


def test_init_sketches_what_nobody_understands(tmp_path: Path) -> None:
    for name in ("t1", "t1_seg", "t1_lesion_seg", "t2"):
        write(tmp_path / f"{name}.nii.gz", mask(1))
    written = init_manifest(tmp_path, tmp_path / "manifest.csv")
    assert (written.understood, written.cases, written.labels) == (None, 2, None)
    found = open_dataset(tmp_path)
    assert [(c.id, c.label and c.label.name) for c in found.cases] == [("t1", "t1_seg.nii.gz"), ("t2", None)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image"):
        init_manifest(tmp_path / "empty", tmp_path / "x.csv")


@pytest.mark.data
def test_a_short_manifest_opens_the_spinal_cord(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / "spinal-cord"
    rows = [
        ("t1", "t1/t1w.nii.gz", "t1/t1w_seg-manual.nii.gz"),
        ("t2", "t2/t2.nii.gz", "t2/t2_seg-manual.nii.gz"),
    ]
    (tmp_path / "m.csv").write_text(
        "case,patient,image,label\n"
        + "".join(f"{c},errsm_30,{folder / i},{folder / m}\n" for c, i, m in rows)
    )
    found = open_dataset(tmp_path / "m.csv")
    assert {c.patient for c in found.cases} == {"errsm_30"}
    assert all(read_mask(c, found.labels, found.rule).array.any() for c in found.cases)
