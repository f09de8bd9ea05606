"""Regions and postprocessing of nnU-Net's models: carried over, or refused with a word."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from calque.errors import ModelError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.interop.nnunet import import_nnunet
from calque.labels import Labels
from calque.model import Model
from calque.prediction import PredictOptions, Step, apply_steps

from . import foreign_models as fm

ONLY = "remove_all_but_largest_component_from_segmentation"
BRAIN = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": [3]}
GRID = Grid.from_parts((6, 7, 8), (1.5, 1.0, 0.8))


def with_regions(folder: Path, labels: dict[str, Any], order: list[int] | None, channels: int = 1) -> Path:
    data = fm.dataset(channels, labels=labels, regions_class_order=order)
    content = fm.checkpoint(fm.weights(fm.network(channels=channels)))
    plan = fm.plans({"3d_fullres": fm.configuration(channels=channels)}, channels)
    return fm.write(folder, plan, data, {"0": content})


class Copy:
    """An engine whose logits are its input."""

    name, precision, streams, last = "copy", "f32", 1, None

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        return windows.clone()

    def rest(self) -> None:
        """It holds nothing."""


def chosen(folder: Path, *masks: object, folds: str = "0", functions: list[str] | None = None) -> Path:
    """postprocessing.json as `determine_postprocessing` writes it."""
    place = folder / f"crossval_results_folds_{folds}"
    place.mkdir()
    content = {
        "input_folder": {"foreground_mean": {"Dice": 0.8}, "mean": {"(1, 2)": {"Dice": 0.8}}},
        "postprocessed": {"foreground_mean": {"Dice": 0.9}, "mean": {"(1, 2)": {"Dice": 0.9}}},
        "postprocessing_fns": [ONLY] * len(masks) if functions is None else functions,
        "postprocessing_kwargs": [{"labels_or_regions": mask} for mask in masks],
    }
    (place / "postprocessing.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_regions_come_over_with_their_order(tmp_path: Path) -> None:
    model = import_nnunet(with_regions(tmp_path, {**BRAIN, "ignore": 4}, [1, 2, 3]))
    assert [(h.name, h.values, h.paints) for h in model.plan.heads] == [
        ("whole", (1, 2, 3), 1),
        ("core", (2, 3), 2),
        ("active", (3,), 3),
    ]
    assert (model.plan.labels.values, model.plan.labels.ignore) == ((1, 2, 3), 4)
    assert model.plan.labels.names == ("class 1", "class 2", "active")
    assert [r.name for r in model.plan.labels.regions] == ["whole", "core"]
    model.save(tmp_path / "model.calque")
    assert Model.load(tmp_path / "model.calque").plan == model.plan


def test_regions_are_painted_as_nnunet_paints_them(tmp_path: Path) -> None:
    """`convert_probabilities_to_segmentation`, with values that have gaps, in the order of dataset.json."""
    labels = {"background": 0, "kidney": [1, 5, 7], "mass": [7, 5], "tumour": 5}
    model = import_nnunet(with_regions(tmp_path, labels, [1, 7, 5], channels=3))
    array = np.random.default_rng(0).normal(5, 2, (3, *GRID.shape)).astype(np.float32)
    image = Image(array, GRID, model.plan.channels)
    options = PredictOptions(mirror="off", precision="f32", engine="torch", probabilities=True)
    predictor = model.predictor(options)
    predictor.engine = Copy()
    found = predictor(image)
    assert found.probabilities is not None
    expected = np.zeros(GRID.shape, int)
    for number, value in enumerate((1, 7, 5)):
        expected[found.probabilities[number] > 0.5] = value
    assert set(np.unique(expected)) == {0, 1, 5, 7}
    np.testing.assert_array_equal(found.label_map.array, expected)


@pytest.mark.parametrize(
    ("labels", "order", "message"),
    [
        (BRAIN, None, "3 values, for whole, core, active"),
        (BRAIN, [1, 2], "regions_class_order"),
        (BRAIN, [3, 2, 1], "cannot be turned back"),
        (BRAIN, [1, 2, 9], "no class"),
        ({"background": 0, "all": [0, 1, 2], "a": 1}, [2, 1], "no class|contradict|cannot be followed"),
    ],
)
def test_regions_that_contradict_themselves(
    tmp_path: Path, labels: dict[str, Any], order: list[int] | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_nnunet(with_regions(tmp_path, labels, order))


def test_an_order_without_regions_means_nothing(tmp_path: Path) -> None:
    labels = {"background": 0, "liver": [1], "tumour": 2}
    assert import_nnunet(with_regions(tmp_path, labels, [1, 2])).plan.heads == ()


def test_postprocessing_comes_over_in_its_order(tmp_path: Path) -> None:
    model = import_nnunet(chosen(fm.simple(tmp_path), [1, 2], 2, [[1, 2]]))
    steps = model.card.learned.postprocessing
    assert [(s.values, s.action) for s in steps] == [
        ((1, 2), "largest"),
        ((2,), "largest"),
        ((1, 2), "largest"),
    ]
    assert "is applied: 3 steps, crossval_results_folds_0/postprocessing.json" in model.card.notes
    model.save(tmp_path / "model.calque")
    assert Model.load(tmp_path / "model.calque").card == model.card


def test_nothing_was_better_is_nothing_done(tmp_path: Path) -> None:
    model = import_nnunet(chosen(fm.simple(tmp_path)))
    assert model.card.learned.postprocessing == ()
    assert "is applied: 0 steps" in model.card.notes


def test_what_was_chosen_for_other_folds_is_not_applied(tmp_path: Path) -> None:
    model = import_nnunet(chosen(fm.simple(tmp_path), 1, folds="0_1_2_3_4"))
    assert model.card.learned.postprocessing == ()
    assert "other folds is not applied: crossval_results_folds_0_1_2_3_4" in model.card.notes


def test_a_pickle_alone_is_named_and_never_opened(tmp_path: Path) -> None:
    place = fm.simple(tmp_path) / "crossval_results_folds_0"
    place.mkdir()
    (place / "postprocessing.pkl").write_bytes(pickle.dumps(([], [])))
    (place / "postprocessing.pkl").chmod(0)
    model = import_nnunet(tmp_path)
    assert model.card.learned.postprocessing == ()
    assert "postprocessing.pkl: it is a pickle" in model.card.notes


@pytest.mark.parametrize(
    ("masks", "functions", "message"),
    [
        ([1], ["my_own"], "my_own"),
        ([7], None, "no class"),
        ([[]], None, "no class"),
        ([1], [], "cannot be read"),
        (["liver"], None, "cannot be read"),
    ],
)
def test_other_postprocessing_is_refused(
    tmp_path: Path, masks: list[object], functions: list[str] | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        import_nnunet(chosen(fm.simple(tmp_path), *masks, functions=functions))
    assert "take this file away" in str(caught.value)


def nnunets_way(array: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """`remove_all_but_largest_component_from_segmentation`: of equal components all are kept."""
    mask = np.isin(array, values)
    numbers, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(numbers.ravel())[1:]
    keep = np.isin(numbers, [k + 1 for k, n in enumerate(sizes) if n == sizes.max()])
    return np.where(mask & ~keep, 0, array)


@given(
    seed=st.integers(0, 99),
    share=st.floats(0.5, 0.95),
    steps=st.lists(st.sampled_from([(1,), (2,), (3,), (2, 3), (1, 2, 3)]), max_size=3),
)
def test_steps_do_what_nnunet_does(seed: int, share: float, steps: list[tuple[int, ...]]) -> None:
    labels = Labels.from_names({"a": 1, "b": 2, "c": 3})
    random = np.random.default_rng(seed)
    array = np.where(random.random(GRID.shape) < share, 0, random.integers(1, 4, GRID.shape)).astype(np.uint8)
    expected = array
    for values in steps:
        expected = nnunets_way(expected, values)
    ours = [Step(value=values[0], together=values[1:], action="largest") for values in steps]
    np.testing.assert_array_equal(apply_steps(LabelMap(array, GRID, labels), ours).array, expected)
