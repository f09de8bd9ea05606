"""What can be mended is mended aside, noted, and gone at the second look; the originals stay as they were."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.dataset import check, open_dataset
from calque.dataset.doctor.remedies import MENDERS, orthonormal
from calque.dataset.doctor.repair import RepairResult, repair
from calque.errors import InputError, ResourceError
from calque.geometry import Grid
from calque.io import read_volume

from .building import GRID, edit, mask, msd, scan, write


def _state(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(p): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def _skewed(by: float = 0.01) -> Grid:
    affine = GRID.affine.copy()
    affine[0, 1] = by
    return Grid(GRID.shape, affine)


def _image(root: Path, name: str = "c3") -> Path:
    return root / "imagesTr" / f"{name}.nii.gz"


def _mask(root: Path, name: str = "c3") -> Path:
    return root / "labelsTr" / f"{name}.nii.gz"


def _skew(root: Path) -> None:
    write(_image(root), scan(3), _skewed())
    write(_mask(root), mask(3), _skewed())


def _hole(root: Path) -> None:
    array, marked = scan(3), mask(3)
    marked[0, 0] = 0
    array[0, 0, :2] = (np.nan, np.inf)
    write(_image(root), array)
    write(_mask(root), marked)


def _two_positions(root: Path) -> None:
    raw = bytearray(gzip.decompress(_image(root).read_bytes()))
    raw[268:272] = np.float32(9).tobytes()  # qoffset_x
    _image(root).write_bytes(gzip.compress(bytes(raw)))


def _gaps(root: Path) -> None:
    edit(root, labels={"0": "background", "1": "front", "5": "back"})
    for path in sorted((root / "labelsTr").iterdir()):
        write(path, mask(int(path.name[1:-7]), (0, 1, 5)))


def _twice(root: Path) -> None:
    write(_image(root, "c4"), scan(3))
    write(_mask(root, "c4"), mask(3))


MENDABLE: dict[str, Callable[[Path], object]] = {
    "wrong-suffix": lambda root: _image(root).write_bytes(gzip.decompress(_image(root).read_bytes())),
    "mask-rgb": lambda root: write(_mask(root), np.stack([mask(3)] * 3)),
    "labels-scaled": lambda root: write(_mask(root), mask(3) * np.uint8(127)),
    "labels-float": lambda root: write(_mask(root), mask(3).astype("f4")),
    "direction-skewed": _skew,
    "positions-disagree": _two_positions,
    "grids-nearly-equal": lambda root: write(
        _mask(root), mask(3), Grid.from_parts(GRID.shape, GRID.spacing, (0.05, 0, 0))
    ),
    "not-finite": _hole,
    "labels-gaps": _gaps,
    "duplicate": _twice,
    "duplicate-across-split": lambda root: write(root / "imagesTs" / "t0.nii.gz", scan(3)),
}


def _mended(root: Path, out: Path, **options: bool) -> RepairResult:
    return repair(open_dataset(root), out, **options)


def test_every_mender_is_tried() -> None:
    assert set(MENDERS) <= set(MENDABLE)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("name", MENDABLE)
def test_what_is_mended_is_gone_at_the_second_look(tmp_path: Path, name: str, copy: bool) -> None:
    root = msd(tmp_path / "data", cases=12)
    MENDABLE[name](root)
    before = _state(root)
    assert name in check(open_dataset(root)).summary
    made = _mended(root, tmp_path / "out", copy=copy)
    assert _state(root) == before
    again = open_dataset(tmp_path / "out")
    assert check(again).findings == ()
    lines = [json.loads(line) for line in (tmp_path / "out" / "repairs.jsonl").read_text().splitlines()]
    assert {line["finding"] for line in lines} == {name}
    assert len(lines) == len(made.repairs)
    for line in lines:
        assert line["sha256"] == hashlib.sha256(Path(line["file"]).read_bytes()).hexdigest()
        if line["written"]:
            assert line["sha256_after"] == hashlib.sha256(Path(line["written"]).read_bytes()).hexdigest()
    everything = [path for case in again.cases for path in (*case.images, *case.masks)]
    assert not copy or all(path.is_relative_to(tmp_path / "out") for path in everything)


@pytest.mark.parametrize(
    "name", ["wrong-suffix", "mask-rgb", "labels-scaled", "labels-float", "grids-nearly-equal"]
)
def test_voxels_are_those_of_the_undamaged_case(tmp_path: Path, name: str) -> None:
    root = msd(tmp_path / "data", cases=12)
    MENDABLE[name](root)
    _mended(root, tmp_path / "out")
    case = open_dataset(tmp_path / "out").case("c3")
    assert case.label is not None
    np.testing.assert_array_equal(read_volume(case.images[0]).array[0], scan(3))
    np.testing.assert_array_equal(read_volume(case.label).array[0], mask(3))
    assert read_volume(case.label).header.grid.isclose(GRID)


def test_several_faults_of_one_case_are_mended_one_after_the_other(tmp_path: Path) -> None:
    root = msd(tmp_path / "data", cases=12)
    near = Grid.from_parts(GRID.shape, GRID.spacing, (0.05, 0, 0))
    write(_mask(root), np.stack([mask(3) * np.float32(127)] * 3), near)
    _mask(root).write_bytes(gzip.decompress(_mask(root).read_bytes()))
    made = _mended(root, tmp_path / "out")
    names = [r.finding for r in made.repairs]
    assert names == ["wrong-suffix", "mask-rgb", "labels-scaled", "grids-nearly-equal"]
    assert {r.file for r in made.repairs} == {_mask(root)}
    assert check(open_dataset(tmp_path / "out")).findings == ()
    new = open_dataset(tmp_path / "out").case("c3").label
    assert new is not None
    np.testing.assert_array_equal(read_volume(new).array[0], mask(3))


def test_numbers_in_the_mask_are_not_invented(tmp_path: Path) -> None:
    root = msd(tmp_path / "data", cases=12)
    array = scan(3)
    array[np.nonzero(mask(3))[0][0], np.nonzero(mask(3))[1][0], np.nonzero(mask(3))[2][0]] = np.nan
    write(_image(root), array)
    made = _mended(root, tmp_path / "out")
    assert made.repairs == ()
    assert [f.name for f in made.remaining] == ["not-finite"]
    assert check(open_dataset(tmp_path / "out")).summary == {"not-finite": 1}


def test_a_case_that_cannot_be_mended_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    root = msd(tmp_path / "data", cases=12)
    write(_image(root, "c5"), np.full(GRID.shape, np.nan, np.float32))
    write(_mask(root, "c5"), mask(5, (0,)))
    MENDABLE["labels-float"](root)
    made = _mended(root, tmp_path / "out")
    assert list(made.failed) == ["c5"]
    assert "no finite value" in made.failed["c5"]
    assert [r.case for r in made.repairs] == ["c3"]
    assert {f.name for f in made.remaining if f.case == "c5"} >= {"not-finite"}
    assert open_dataset(tmp_path / "out").case("c5").images == (_image(root, "c5").absolute(),)


def test_an_interrupted_repair_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = msd(tmp_path / "data", cases=12)
    for name in ("c1", "c2", "c3"):
        write(_mask(root, name), mask(int(name[1])).astype("f4"))
    from calque.dataset.doctor import repair as module

    whole, done = module.mend, []

    def stops(case: object, bench: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(case)
        return whole(case, bench)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "mend", stops)
    with pytest.raises(KeyboardInterrupt):
        repair(open_dataset(root), tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    monkeypatch.setattr(module, "mend", lambda case, bench: (done.append(case), whole(case, bench))[1])
    made = repair(open_dataset(root), tmp_path / "out", workers=1)
    assert [getattr(case, "id", None) for case in done] == ["c1", "c2", "c3"]
    assert [r.case for r in made.repairs] == ["c1", "c2", "c3"]
    assert check(open_dataset(tmp_path / "out")).findings == ()
    assert not (tmp_path / "out" / ".journal").exists()


def test_a_used_folder_and_one_inside_the_dataset_are_refused(tmp_path: Path) -> None:
    root = msd(tmp_path / "data")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    for place in (tmp_path / "used", root / "repaired", root):
        with pytest.raises(InputError, match="folder of its own"):
            repair(open_dataset(root), place)
    assert (tmp_path / "used" / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_seen_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = msd(tmp_path / "data", cases=12)
    MENDABLE["labels-float"](root)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ResourceError, match="not enough room"):
        _mended(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_channels_labels_and_splits_are_kept(tmp_path: Path) -> None:
    root = msd(tmp_path / "data")
    made = open_dataset(_mended(root, tmp_path / "out").folder)
    old = open_dataset(root)
    assert made.channels == old.channels
    assert made.labels == old.labels
    assert [(c.id, c.patient, c.split, c.images) for c in made.cases] == [
        (c.id, c.patient, c.split, tuple(p.absolute() for p in c.images)) for c in old.cases
    ]


@given(st.lists(st.floats(-0.01, 0.01), min_size=9, max_size=9), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_nearest_axes_are_orthonormal_and_keep_spacing_and_centre(noise: list[float], turn: int) -> None:
    rotation = np.linalg.qr(np.random.default_rng(turn).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = (rotation + np.reshape(noise, (3, 3))) * (2.0, 0.7, 1.1)
    affine[:3, 3] = (10, -20, 30)
    grid = Grid((5, 6, 7), affine)
    straight = orthonormal(grid)
    np.testing.assert_allclose(straight.direction.T @ straight.direction, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(straight.spacing, grid.spacing, rtol=1e-9)
    np.testing.assert_allclose(straight.to_world((2, 2.5, 3)), grid.to_world((2, 2.5, 3)), atol=1e-9)
    assert np.linalg.det(straight.direction) * np.linalg.det(grid.direction) > 0
    assert straight.isclose(grid, 0.2)
