"""The store: complete or absent, keyed by content, resumable, clear when something fails."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import calque.preparation.store as store_module
from calque.dataset import Case, Dataset
from calque.errors import DatasetError, PlanError, ReadError, ResourceError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.planning import Normalisation, Plan
from calque.preparation import Store, cohort, prepare, prepare_image
from calque.preparation.store import pick_foreground

from .synthetic import LABELS, make_plan

GRID = Grid.from_parts((8, 9, 10), (2.0, 1.0, 1.0), (1.0, 2.0, 3.0))
PLAN = make_plan(spacing=(1.0, 1.0, 1.0))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    cases = []
    for number in range(4):
        generator = np.random.default_rng(number)
        image, label = tmp_path / f"c{number}.nii.gz", tmp_path / f"c{number}-mask.nii.gz"
        array = generator.normal(100, 10, (1, *GRID.shape)).astype(np.float32)
        write_image(Image(array, GRID, ("MR",)), image)
        mask = generator.choice([0, 1, 4, 9], GRID.shape).astype(np.uint8)
        write_labels(LabelMap(mask, GRID, LABELS), label)
        cases.append(Case(f"c{number}", (image,), label, f"c{number}"))
    return Dataset("d", tmp_path, "folders", ("MR",), LABELS, tuple(cases))


def snapshot(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*.npy")}


def test_what_is_loaded_is_what_was_prepared(dataset: Dataset, tmp_path: Path) -> None:
    from calque.io import read_image

    store = prepare(dataset, PLAN, tmp_path / "store")
    assert store.cases == ("c0", "c1", "c2", "c3")
    case = Store(tmp_path / "store").load("c2")
    expected = prepare_image(read_image(dataset.case("c2").images, ("MR",)), PLAN)
    np.testing.assert_array_equal(case.image, expected.array)
    assert case.placement == expected.placement
    assert isinstance(case.image, np.memmap)
    assert not case.image.flags.writeable
    assert case.labels.shape == case.image.shape[1:]
    assert sorted(case.foreground) == [1, 2]  # ignore (3) is not aimed at
    for number, places in case.foreground.items():
        assert places.dtype == np.int32
        assert (np.asarray(case.labels)[tuple(places.T)] == number).all()


def test_a_second_run_makes_nothing_again(dataset: Dataset, tmp_path: Path) -> None:
    prepare(dataset, PLAN, tmp_path / "store")
    before = snapshot(tmp_path / "store")
    prepare(dataset, PLAN, tmp_path / "store")
    assert snapshot(tmp_path / "store") == before
    assert len(before) == 8


def test_what_was_left_half_is_made_again(dataset: Dataset, tmp_path: Path) -> None:
    store = prepare(dataset, PLAN, tmp_path / "store")
    folder = next(p for p in (tmp_path / "store").iterdir() if p.is_dir())
    shutil.rmtree(folder)
    before = snapshot(tmp_path / "store")
    prepare(dataset, PLAN, tmp_path / "store")
    after = snapshot(tmp_path / "store")
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2
    assert store.load("c0").image.shape


def test_a_file_cut_short_is_noticed_and_made_again(dataset: Dataset, tmp_path: Path) -> None:
    store = prepare(dataset, PLAN, tmp_path / "store")
    damaged = next((tmp_path / "store").glob("*/image.npy"))
    with damaged.open("r+b") as file:
        file.truncate(200)
    with pytest.raises(ReadError, match="damaged"):
        [store.load(name) for name in store.cases]
    again = prepare(dataset, PLAN, tmp_path / "store")
    assert all(again.load(name).image.size for name in again.cases)


@pytest.mark.parametrize("name", ["image.npy", "labels.npy", "foreground.npz"])
def test_a_file_that_never_reached_the_disk_is_noticed_until_it_is_published(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    """After a power failure it may have its length, and zeros in it."""
    prepare(dataset, PLAN, tmp_path / "store")
    (tmp_path / "store" / "index.json").unlink()  # as if it had been stopped before the end
    before = snapshot(tmp_path / "store")
    path = next((tmp_path / "store").glob(f"*/{name}"))
    path.write_bytes(bytes(path.stat().st_size))
    spoilt = path.parent.name
    prepare(dataset, PLAN, tmp_path / "store")
    after = snapshot(tmp_path / "store")
    assert path.read_bytes().count(0) < path.stat().st_size
    assert {n: t for n, t in after.items() if not n.startswith(spoilt)} == {
        n: t for n, t in before.items() if not n.startswith(spoilt)
    }


def test_the_disk_has_all_of_it_before_the_index_names_it(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(store_module, "flush", lambda path: flushed.append(path.name))
    written = store_module.write_text_atomic

    def write(path: Path, text: str) -> None:
        assert sorted(flushed) == sorted(p.name for p in (tmp_path / "store").iterdir() if p.is_dir())
        written(path, text)

    monkeypatch.setattr(store_module, "write_text_atomic", write)
    assert len(prepare(dataset, PLAN, tmp_path / "store").cases) == 4
    (tmp_path / "store" / "index.json").unlink()
    flushed.clear()
    assert len(prepare(dataset, PLAN, tmp_path / "store").cases) == 4  # found, and not known to last


def test_another_spacing_or_another_mask_gets_another_key(dataset: Dataset, tmp_path: Path) -> None:
    case = dataset.cases[0]
    one = store_module.content_key(case, PLAN)
    assert one == store_module.content_key(case, make_plan(spacing=(1.0, 1.0, 1.0), batch=3))
    assert one != store_module.content_key(case, make_plan(spacing=(1.0, 1.0, 1.1)))
    assert one != store_module.content_key(case, _with_rule(Normalisation(scheme="none")))
    write_labels(LabelMap(np.ones(GRID.shape, np.uint8), GRID, LABELS), case.label)
    assert one != store_module.content_key(case, PLAN)


def _with_rule(rule: Normalisation) -> Plan:
    return make_plan(spacing=(1.0, 1.0, 1.0), normalisation=(rule,))


def test_sick_cases_are_all_named_and_the_others_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    dataset.case("c1").images[0].unlink()
    write_image(Image(np.zeros((1, *GRID.shape), np.int16), GRID, ("MR",)), dataset.case("c3").images[0])
    with pytest.raises(DatasetError) as caught:
        prepare(dataset, PLAN, tmp_path / "store")
    assert "2 of 4" in str(caught.value)
    assert "c1" in str(caught.value)
    assert "c3: The image holds nothing but zeros" in str(caught.value)
    assert Store(tmp_path / "store").cases == ("c0", "c2")


def test_a_mistake_of_our_own_is_not_a_sick_case(dataset: Dataset, tmp_path: Path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cohort, "prepare_image", broken)
    with pytest.raises(ZeroDivisionError):
        prepare(dataset, PLAN, tmp_path / "store")


def test_too_little_room_is_said_before_anything_is_written(dataset, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="not enough room"):
        prepare(dataset, PLAN, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_disk_that_fills_up_is_said_and_nothing_half_is_left(dataset, tmp_path, monkeypatch) -> None:
    def full(path: Path, parts: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module, "write", full)
    with pytest.raises(ResourceError, match="full"):
        prepare(dataset, PLAN, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_errors_of_use(dataset: Dataset, tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.cases == ()
    with pytest.raises(DatasetError, match="not been prepared"):
        store.load("c0")
    with pytest.raises(PlanError, match="another kind"):
        prepare(dataset, make_plan(("T1", "T2")), tmp_path / "store")
    with pytest.raises(DatasetError, match="No case"):
        prepare(dataset.only([]), PLAN, tmp_path / "store")
    (tmp_path / "index.json").write_text("[1")
    with pytest.raises(ReadError, match="index"):
        Store(tmp_path)


def test_foreground_is_bounded_even_and_seeded() -> None:
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[:, :30] = 1
    labels[0, 39, 0] = 3
    picked = pick_foreground(labels, 3, np.random.default_rng(5))
    assert sorted(picked) == [1, 3]
    assert picked[1].shape == (10_000, 3)
    assert len(np.unique(picked[1], axis=0)) == 10_000
    np.testing.assert_allclose(picked[1].mean(axis=0), [19.5, 14.5, 19.5], atol=0.6)
    np.testing.assert_array_equal(picked[3], [[0, 39, 0]])
    np.testing.assert_array_equal(picked[1], pick_foreground(labels, 3, np.random.default_rng(5))[1])
