"""Folders of DICOM as datasets: recognised, listed, read and checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from tests.preparation.synthetic import make_plan
from tests.support.dicom_series import oblique, phantom, uid, write_series
from tests.support.dicom_structures import Points, contour, write_rtstruct, write_seg

from calque.dataset import check, init_manifest, open_dataset
from calque.dataset.doctor.kinds import KINDS
from calque.dataset.layouts.manifest import labels_beside
from calque.dataset.reading import read_mask, read_scan
from calque.errors import DatasetError, InputError, LabelError
from calque.image import LabelMap
from calque.io import write_labels
from calque.labels import Labels
from calque.preparation.store import content_key

SHAPE = (6, 12, 10)
GRID = oblique(SHAPE)


def square(k: int, low: float, high: float) -> Points:
    corners = [(k, low, low), (k, low, high), (k, high, high), (k, high, low)]
    return GRID.to_world(np.array(corners, dtype=float))


def drawn(k: int, low: float, high: float, patient: int = 0) -> Dataset:
    """A contour that refers to slice k of the patient's series, as `write_series` names it."""
    return contour(square(k, low, high), source=uid(f"s{patient}", "instance", k + 1))


def of_patient(number: int) -> Callable[..., None]:
    def edit(data: Dataset, _: int = 0) -> None:
        data.PatientID = f"SECRET-{number}"

    return edit


def structures(patient: int) -> dict[str, Sequence[Dataset]]:
    return {
        "Lung Left": [drawn(k, 1.5, 4.5, patient) for k in (1, 2)],
        "GTV": [drawn(k, 5.5, 8.5, patient) for k in (2, 3)],
    }


def patients(root: Path, count: int = 3) -> Path:
    """A folder for each patient with a series and an RTSTRUCT."""
    for k in range(count):
        write_series(root / f"P{k}" / "image", phantom(SHAPE, k), series=f"s{k}", edit=of_patient(k))
        draw(root, k, structures(k))
    return root


def draw(root: Path, patient: int, named: dict[str, Sequence[Dataset]]) -> Path:
    return write_rtstruct(root / f"P{patient}" / "rt" / "1.dcm", named, edit=of_patient(patient))


def _fractional(root: Path) -> None:
    shutil.rmtree(root / "P1" / "rt")
    files = sorted((root / "P1" / "image").iterdir())
    masks = {"Lung Left": phantom(SHAPE, 1) > 900, "GTV": np.zeros(SHAPE, bool)}
    masks["GTV"][4, 5, 5] = True
    write_seg(root / "P1" / "rt" / "seg.dcm", files, masks, "FRACTIONAL")


def _broken(root: Path) -> None:
    draw(root, 1, {n: [contour(square(2, 1.5 + 4 * i, 4.5 + 4 * i))] for i, n in enumerate(structures(1))})


MIXED = "modalities-mixed"
"""Of a whole folder, not of a case."""

DRAWN: dict[str, tuple[Callable[[Path], object], str]] = {
    # name of the finding: how to provoke it in patient P1, what the finding says
    "structures-by-geometry": (_broken, "2 of 2 planes"),
    "structures-overlap": (
        lambda root: draw(root, 1, {"Lung Left": [drawn(1, 1.5, 5.5, 1)], "GTV": [drawn(1, 3.5, 7.5, 1)]}),
        "Lung Left and GTV: 4 voxels",
    ),
    "structure-missing": (lambda root: draw(root, 1, {"lungleft": structures(1)["Lung Left"]}), "GTV"),
    "structure-gaps": (
        lambda root: draw(root, 1, {**structures(1), "GTV": [drawn(0, 5.5, 8.5, 1), drawn(4, 5.5, 8.5, 1)]}),
        "GTV: 3 slices",
    ),
    "structure-empty": (lambda root: draw(root, 1, {**structures(1), "GTV": []}), "GTV"),
    "contours-ambiguous": (
        lambda root: draw(root, 1, {**structures(1), "GTV": [drawn(3, 4.5, 7.5, 1), drawn(3, 5.5, 8.5, 1)]}),
        "cross on 1 slices",
    ),
    "mask-fractional": (_fractional, "voxels from 0.5 on"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_amiss_with_structures_is_found(name: str, tmp_path: Path) -> None:
    root = patients(tmp_path)
    DRAWN[name][0](root)
    report = check(open_dataset(root))
    found = [f for f in report.findings if f.name in DRAWN]
    assert [(f.name, f.case) for f in found] == [(name, "P1")]
    assert DRAWN[name][1] in f"{found[0].expected} {found[0].got}"
    assert found[0].severity == KINDS[name].severity
    assert found[0].fix
    assert "SECRET" not in str(report)


def test_a_folder_of_patients_is_a_dataset(tmp_path: Path) -> None:
    dataset = open_dataset(patients(tmp_path))
    assert dataset.layout == "dicom"
    assert dataset.channels == ("CT",)
    assert dataset.labels.names == ("Lung Left", "GTV")
    assert [case.id for case in dataset.cases] == ["P0", "P1", "P2"]
    assert len({case.patient for case in dataset.cases}) == 3
    assert "SECRET" not in repr(dataset)
    assert not [f for f in check(dataset).findings if f.name in DRAWN or f.severity == "error"]
    mask = read_mask(dataset.cases[1], dataset.labels, dataset.rule)
    assert mask.array.sum(axis=(1, 2)).tolist() == [0, 9, 9 + 18, 18, 0, 0]
    assert mask.grid == read_scan(dataset.cases[1].images).grid


def test_one_flat_folder_is_understood_by_references(tmp_path: Path) -> None:
    root = patients(tmp_path / "nested")
    flat = tmp_path / "flat"
    flat.mkdir()
    for k, path in enumerate(sorted(root.rglob("*.dcm"))):
        shutil.copyfile(path, flat / f"{k:03d}.dcm")
    dataset = open_dataset(flat)
    assert len(dataset.cases) == 3
    for case in dataset.cases:
        assert "@" in str(case.images[0])
        mask = read_mask(case, dataset.labels, dataset.rule)
        assert sorted(set(mask.array.reshape(-1).tolist())) == [0, 1, 2]
        assert read_scan(case.images).grid == mask.grid
    assert not [f for f in check(dataset).findings if f.name in DRAWN]


def test_a_structure_that_is_missing_counts_as_unknown(tmp_path: Path) -> None:
    root = patients(tmp_path)
    draw(root, 1, {"lung  left": structures(1)["Lung Left"]})
    dataset = open_dataset(root)
    assert dataset.case("P1").annotated == ("Lung Left",)
    mask = read_mask(dataset.case("P1"), dataset.labels, dataset.rule)
    assert sorted(set(mask.array.reshape(-1).tolist())) == [1, dataset.labels.ignore]


def test_which_series_is_not_clear_and_init_lists_the_choices(tmp_path: Path) -> None:
    """Two phases at the same positions, and contours that refer to neither."""
    root = tmp_path / "data"
    for phase in ("a", "b"):
        write_series(root / "images" / phase, series=phase)
    write_rtstruct(root / "rt.dcm", {"x": [contour(square(1, 1.5, 4.5))]})
    with pytest.raises(DatasetError, match="not clear") as caught:
        open_dataset(root)
    assert "rt.dcm may belong to" in str(caught.value)
    written = init_manifest(root, tmp_path / "manifest.csv")
    assert written.understood is None
    rows = written.manifest.read_text().splitlines()
    assert len(rows) == 3
    assert all("rt.dcm" in row for row in rows[1:])
    written.manifest.write_text("\n".join(rows[:2]) + "\n")
    dataset = open_dataset(written.manifest)
    assert dataset.labels.names == ("x",)
    assert int(read_mask(dataset.cases[0], dataset.labels, dataset.rule).array.sum()) == 9


def test_init_writes_what_open_dataset_reads_again(tmp_path: Path) -> None:
    root = patients(tmp_path / "data")
    written = init_manifest(root, root / "manifest.csv")
    assert written.understood == "dicom"
    again, first = open_dataset(root / "manifest.csv"), open_dataset(root)
    assert again.layout == first.layout == "manifest"
    assert [c.id for c in again.cases] == ["P0", "P1", "P2"]
    assert "SECRET" not in written.manifest.read_text()
    assert not [f for f in check(again).findings if f.name in DRAWN or f.severity == "error"]


def test_a_manifest_selects_renames_and_ranks_structures(tmp_path: Path) -> None:
    root = patients(tmp_path / "data", 2)
    big, small = drawn(1, 1.5, 5.5, 1), drawn(1, 3.5, 7.5, 1)
    draw(root, 1, {"LUNG_L": [big], "gtv": [small], "Couch": [drawn(5, 0.5, 8.5, 1)]})
    manifest = init_manifest(root, tmp_path / "manifest.csv").manifest
    table = labels_beside(manifest)
    table.write_text("name,value,stored,priority\nlung,1,Lung Left;LUNG_L,2\ntumour,2,GTV,1\n")
    text = manifest.read_text().replace("Lung Left;GTV", "").replace("LUNG_L;GTV;Couch", "")
    manifest.write_text("\n".join(",".join(row.split(",")[:5]) for row in text.splitlines()))
    dataset = open_dataset(manifest)
    assert dataset.rule.coding.names == (("Lung Left", 1), ("LUNG_L", 1), ("GTV", 2))
    for case, counts in zip(dataset.cases, ([18, 18], [12, 16]), strict=True):
        mask = read_mask(case, dataset.labels, dataset.rule)
        assert np.bincount(mask.array.reshape(-1))[1:].tolist() == counts
    assert not [f for f in check(dataset).findings if f.name in DRAWN]


def test_a_manifest_makes_an_overlap_a_class_of_its_own(tmp_path: Path) -> None:
    root = patients(tmp_path / "data", 1)
    draw(root, 0, {"lung": [drawn(1, 1.5, 5.5)], "gtv": [drawn(1, 3.5, 7.5)]})
    manifest = init_manifest(root, tmp_path / "manifest.csv").manifest
    dataset = open_dataset(manifest)
    with pytest.raises(LabelError, match="overlap"):
        read_mask(dataset.cases[0], dataset.labels, dataset.rule)
    labels_beside(manifest).write_text(
        "name,value,stored,role\nlung only,1,lung,\ngtv only,2,gtv,\nboth,3,lung+gtv,\n"
        "lung,1;3,,region\ngtv,2;3,,region\n"
    )
    text = manifest.read_text().replace("lung;gtv", "")
    manifest.write_text(text)
    dataset = open_dataset(manifest)
    mask = read_mask(dataset.cases[0], dataset.labels, dataset.rule)
    assert np.bincount(mask.array.reshape(-1))[1:].tolist() == [12, 12, 4]
    assert [r.values for r in dataset.labels.regions] == [(1, 3), (2, 3)]


def test_a_nifti_scan_with_a_seg_and_a_file_for_each_class(tmp_path: Path) -> None:
    root = patients(tmp_path / "data", 1)
    files = sorted((root / "P0" / "image").iterdir())
    mask = phantom(SHAPE) > 900
    write_seg(root / "seg.dcm", files, {"anything": mask}, "BINARY")
    scan = tmp_path / "scan.nii.gz"
    dataset = open_dataset(root / "P0")
    write_labels(read_mask(dataset.cases[0], dataset.labels, dataset.rule), scan)  # a file on the same grid
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"case,image,label:bone\na,{scan},data/seg.dcm\n")
    dataset = open_dataset(manifest)
    found = read_mask(dataset.cases[0], dataset.labels, dataset.rule)
    assert (found.array.astype(bool) == mask).all()
    assert not [f for f in check(dataset).errors if f.name != "constant"]


def test_structures_alone_or_series_alone_are_no_dataset(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    with pytest.raises(DatasetError, match="no mask to learn from"):
        open_dataset(tmp_path)
    draw(tmp_path / "other", 1, structures(1))
    with pytest.raises(DatasetError):
        open_dataset(tmp_path / "other")


def test_two_truths_for_one_series_need_a_person(tmp_path: Path) -> None:
    root = patients(tmp_path, 1)
    write_rtstruct(root / "P0" / "second.dcm", structures(0), edit=of_patient(0))
    with pytest.raises(DatasetError, match="not clear"):
        open_dataset(root)


def test_damaged_structures_are_a_finding_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = patients(tmp_path)
    file = root / "P1" / "rt" / "1.dcm"
    file.write_bytes(file.read_bytes()[:600])
    dataset = open_dataset(root)
    assert dataset.case("P1").label == file
    found = [f for f in check(dataset).findings if f.name == "unreadable"]
    assert [(f.case, f.severity) for f in found] == [("P1", "error")]
    shutil.rmtree(root / "P0")
    shutil.rmtree(root / "P2")
    with pytest.raises(InputError):
        open_dataset(root)


def _truncated(root: Path) -> Path:
    file = root / "P1" / "rt" / "1.dcm"
    file.write_bytes(file.read_bytes()[:600])
    return file


def _hidden(root: Path) -> Path:
    """Its class is spoiled in the data set, as one changed byte does it."""
    file = root / "P1" / "rt" / "1.dcm"
    content, own = file.read_bytes(), b"1.2.840.10008.5.1.4.1.1.481.3"
    at = content.rindex(own, 0, 900)
    file.write_bytes(content[: at + len(own) - 1] + b"7" + content[at + len(own) :])
    return file


def _nameless(root: Path) -> Path:
    file = root / "P1" / "rt" / "1.dcm"
    data = dcmread(file)
    del data.SOPClassUID, data.file_meta.MediaStorageSOPClassUID
    data.save_as(file, enforce_file_format=False)
    return file


def _slice(root: Path) -> Path:
    file = min((root / "P1" / "image").iterdir())
    file.write_bytes(file.read_bytes()[:-100])
    return file


def _lost_slice(root: Path) -> Path:
    file = min((root / "P1" / "image").iterdir())
    file.write_bytes(b"")
    return file


@pytest.mark.parametrize(
    ("spoil", "how"),
    [
        (_truncated, "unreadable"),
        (_hidden, "unreadable"),
        (_nameless, "unreadable"),
        (_slice, "truncated"),
        (_lost_slice, "unreadable"),
    ],
)
def test_one_damaged_file_is_named_and_the_rest_is_listed(
    spoil: Callable[[Path], Path], how: str, tmp_path: Path
) -> None:
    root = patients(tmp_path / "data")
    file = spoil(root)
    written = init_manifest(root, tmp_path / "manifest.csv")
    assert written.understood == "dicom"
    assert len(written.unreadable) == 1
    assert file.name in written.unreadable[0]
    assert "SECRET" not in written.unreadable[0]
    report = check(open_dataset(written.manifest))
    assert {(f.name, f.case) for f in report.errors} == {(how, "P1")}
    assert [c.id for c in open_dataset(root).cases] == ["P0", "P1", "P2"]


def test_what_is_damaged_and_belongs_nowhere_is_named_by_init(tmp_path: Path) -> None:
    root = patients(tmp_path / "data")
    (root / "lost").mkdir()
    shutil.copyfile(_truncated(root), root / "lost" / "rt.dcm")
    written = init_manifest(root, tmp_path / "manifest.csv")
    assert written.understood is None
    assert len(written.unreadable) == 2
    assert len(written.manifest.read_text().splitlines()) == 4


def test_dicom_beside_other_scans_is_listed_too(tmp_path: Path) -> None:
    root = patients(tmp_path / "data", 2)
    mask = LabelMap(np.zeros(SHAPE, np.uint8), GRID, Labels.from_names({"x": 1}))
    write_labels(mask, root / "P0.nii.gz")
    rows = init_manifest(root, tmp_path / "manifest.csv").manifest.read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["P0", "P0_dicom", "P1"]


def test_modalities_are_told_apart(tmp_path: Path) -> None:
    root = patients(tmp_path)
    assert open_dataset(root).channels == ("CT",)
    assert not [f for f in check(open_dataset(root)).findings if f.name == MIXED]
    shutil.rmtree(root / "P1" / "image")
    write_series(root / "P1" / "image", phantom(SHAPE, 1), modality="MR", series="s1", edit=of_patient(1))
    mixed = open_dataset(root)
    assert mixed.channels == ("image",)
    (found,) = (f for f in check(mixed).findings if f.name == MIXED)
    assert found.got == "CT: 2 cases, MR: 1 cases"


def test_a_series_is_known_by_the_content_of_its_files(tmp_path: Path) -> None:
    case = open_dataset(patients(tmp_path, 1)).cases[0]
    before = content_key(case, make_plan(("CT",)))
    assert content_key(case, make_plan(("CT",))) == before
    file = min((tmp_path / "P0" / "image").iterdir())
    data = dcmread(file)
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(file)
    assert content_key(case, make_plan(("CT",))) != before


@pytest.mark.data
def test_real_patients(data_root: Path, tmp_path: Path) -> None:
    """Copies: what lies beside them would be read too."""
    shutil.copytree(data_root / "lung-ct-dicom" / "LUNG1-001", tmp_path / "LUNG1-001")
    shutil.copytree(data_root / "sarcoma-petct" / "dicom" / "STS_008", tmp_path / "STS_008")
    dataset = open_dataset(tmp_path)
    assert [c.id for c in dataset.cases] == ["LUNG1-001", "STS_008_CT", "STS_008_MR_T1", "STS_008_PET"]
    assert len({c.patient for c in dataset.cases}) == 2
    report = check(dataset)
    assert [(f.name, f.case) for f in report.errors] == [("structures-overlap", "LUNG1-001")]
    by_geometry = [f.case for f in report.findings if f.name == "structures-by-geometry"]
    assert by_geometry == ["STS_008_CT", "STS_008_MR_T1", "STS_008_PET"]
    names = {str(dcmread(p, stop_before_pixels=True).PatientID) for p in tmp_path.rglob("1-1.dcm")}
    ours = {part for case in dataset.cases for part in (case.patient,)}
    assert not names & ours
