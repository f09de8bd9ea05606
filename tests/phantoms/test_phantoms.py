"""Phantoms: laws that every kind obeys, and what is special to each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from calque.errors import InputError
from calque.io import read_image, read_labels
from calque.phantoms import KINDS, choose_kind, ct_abdomen, mr_brain, picture_2d, write_phantoms

SHAPES = {"ct_abdomen": (32, 48, 40), "mr_brain": (32, 48, 40), "picture_2d": (1, 64, 80)}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_obeys_the_contract(name: str) -> None:
    kind, shape, spacing = KINDS[name], SHAPES[name], (2.0, 1.5, 1.25)
    image, label_map = kind.draw(np.random.default_rng(3), shape, spacing)
    assert image.grid.shape == label_map.grid.shape == shape
    assert image.grid == label_map.grid
    assert image.grid.spacing == pytest.approx(spacing)
    assert image.channels == kind.channels
    assert label_map.labels == kind.labels
    assert label_map.labels.undeclared(label_map.array) == ()
    assert np.isfinite(image.array.astype(float)).all()
    assert set(np.unique(label_map.array)) == {0, *kind.labels.values}


@pytest.mark.parametrize("name", KINDS)
def test_the_generator_decides(name: str) -> None:
    kind = KINDS[name]

    def draw(seed: int) -> tuple[bytes, bytes]:
        image, label_map = kind.draw(np.random.default_rng(seed), SHAPES[name], (1.0, 1.0, 1.0))
        return image.array.tobytes(), label_map.array.tobytes()

    assert draw(1) == draw(1)
    assert draw(1)[0] != draw(2)[0]
    assert draw(1)[1] != draw(2)[1]


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_case_is_another_case(name: str) -> None:
    _, label_map = KINDS[name].draw(np.random.default_rng(0), SHAPES[name], (1.0, 1.0, 1.0))
    for axis in range(3):
        if label_map.grid.shape[axis] > 1:
            assert not np.array_equal(np.flip(label_map.array, axis), label_map.array)


@pytest.mark.parametrize("seed", range(6))
def test_lesions_lie_inside_the_liver(seed: int) -> None:
    _, label_map = ct_abdomen(np.random.default_rng(seed), (48, 64, 64))
    lesion = label_map.array == 2
    assert lesion.any()
    around = ndimage.binary_dilation(lesion) & ~lesion
    assert (label_map.array[around] == 1).mean() > 0.9


def test_hounsfield_units_are_those_of_the_tissue() -> None:
    image, label_map = ct_abdomen(np.random.default_rng(0))
    means = {
        label.name: image.array[0][label_map.array == label.value].mean()
        for label in label_map.labels.classes
    }
    assert 90 < means["liver"] < 130
    assert means["lesion"] < means["liver"] - 20
    assert means["spine"] > 200
    assert image.array[0, 0, 0, 0] < -900
    liver = ndimage.center_of_mass(label_map.array == 1)
    spleen = ndimage.center_of_mass(label_map.array == 4)
    left_of = label_map.grid.to_world(spleen) - label_map.grid.to_world(liver)
    assert left_of[0] > 0  # LPS: x grows to the patient's left


def test_edges_have_partial_volume() -> None:
    image, _ = ct_abdomen(np.random.default_rng(0))
    between = (image.array > -850) & (image.array < -250)
    assert 0.001 < between.mean() < 0.1


def test_every_head_has_a_scale_of_its_own() -> None:
    tops = [mr_brain(np.random.default_rng(s), SHAPES["mr_brain"])[0].array.max() for s in range(8)]
    assert max(tops) > 10 * min(tops)


def test_a_picture_is_a_volume_with_one_slice() -> None:
    image, _ = picture_2d(np.random.default_rng(0), (1, 64, 48))
    assert image.array.shape == (3, 1, 64, 48)
    assert image.array.dtype == np.uint8


@pytest.mark.parametrize("varied", [False, True])
def test_a_written_folder_reads_back(tmp_path: Path, varied: bool) -> None:
    write_phantoms(tmp_path / "d", "ct_abdomen", 4, shape=(12, 16, 20), seed=5, varied=varied)
    description = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert description["numTraining"] == 4
    orientations = set()
    for number, entry in enumerate(description["training"]):
        image = read_image(tmp_path / "d" / entry["image"])
        label_map = read_labels(tmp_path / "d" / entry["label"])
        assert image.grid.isclose(label_map.grid)
        assert sorted(image.grid.shape) == [12, 16, 20]
        orientations.add(image.grid.orientation)
        assert number < 4
    assert len(orientations) == 1 or varied


def test_more_cases_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    for cases in (1, 2):
        write_phantoms(tmp_path / str(cases), "mr_brain", cases, shape=(8, 12, 10), seed=1, varied=True)
    name = "imagesTr/mr_brain_000.nii.gz"
    first, second = (read_image(tmp_path / folder / name) for folder in ("1", "2"))
    assert np.array_equal(first.array, second.array)
    assert first.grid == second.grid


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such kind"):
        choose_kind("unicorn")
    with pytest.raises(InputError, match="at least one case"):
        write_phantoms(tmp_path, "ct_abdomen", 0)
    write_phantoms(tmp_path, "picture_2d", 1, shape=(1, 16, 16))
    with pytest.raises(InputError, match="already holds"):
        write_phantoms(tmp_path, "picture_2d", 1, shape=(1, 16, 16))
