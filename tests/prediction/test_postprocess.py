"""Postprocessing is learned where validation cases are better for it beyond chance, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from calque.errors import GeometryError
from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels
from calque.prediction import Step, apply_steps, learn_postprocessing

LABELS = Labels.from_names({"organ": 2, "lesion": 5})
GRID = Grid.from_parts((20, 20, 20), (1, 1, 1))


def step(value: int, action: str, ml: float = 0.0) -> Step:
    return Step.model_validate(
        {"value": value, "action": action, "ml": ml, "gain": 0.1, "low": 0.05, "cases": 9}
    )


def on_grid(array: np.ndarray) -> LabelMap:
    return LabelMap(array, GRID, LABELS)


def organ() -> np.ndarray:
    array = np.zeros(GRID.shape, np.uint8)
    array[4:14, 4:14, 4:14] = 2
    return array


def test_each_action_does_what_it_says():
    array = organ()
    array[8, 8, 8] = 0  # a hole
    array[9, 9, 9] = 5  # a lesion within: not a hole
    array[18, 18, 17:19] = 2  # a speck
    largest = apply_steps(on_grid(array), [step(2, "largest")]).array
    assert largest[18, 18, 18] == 0
    small = apply_steps(on_grid(array), [step(2, "small", 0.003)]).array
    np.testing.assert_array_equal(small, largest)
    assert apply_steps(on_grid(array), [step(2, "small", 0.002)]).array[18, 18, 18] == 2
    filled = apply_steps(on_grid(array), [step(2, "fill")]).array
    assert (filled[8, 8, 8], filled[9, 9, 9], filled[18, 18, 18]) == (2, 5, 2)


def test_nothing_to_do_is_nothing_done():
    label_map = on_grid(organ())
    assert apply_steps(label_map, []) is label_map
    np.testing.assert_array_equal(
        apply_steps(label_map, [step(5, "largest"), step(2, "fill")]).array, organ()
    )


def test_components_agree_with_scipy():
    rng = np.random.default_rng(0)
    array = (rng.random(GRID.shape) > 0.75).astype(np.uint8) * 5
    numbers, _ = ndimage.label(array, np.ones((3, 3, 3)))
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    kept = apply_steps(on_grid(array), [step(5, "largest")]).array
    np.testing.assert_array_equal(kept > 0, numbers == sizes.argmax())


def specks(rng: np.random.Generator, right: np.ndarray) -> np.ndarray:
    array = right.copy()
    for corner in rng.integers(15, 18, (3, 3)):
        array[tuple(slice(c, c + 2) for c in corner)] = 2
    return array


def test_specks_that_are_always_wrong_are_removed():
    rng = np.random.default_rng(0)
    pairs = [(on_grid(specks(rng, organ())), on_grid(organ())) for _ in range(8)]
    steps = learn_postprocessing(iter(pairs))
    assert [s.value for s in steps] == [2]
    assert steps[0].action in ("largest", "small")
    assert 0 < steps[0].low <= steps[0].gain
    for guess, truth in pairs:
        np.testing.assert_array_equal(apply_steps(guess, steps).array, truth.array)


def test_what_helps_some_cases_and_hurts_others_is_left_alone():
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(10):
        right = organ()
        if number % 2:
            right[17:19, 17:19, 17:19] = 2  # here the speck is true
        guess = specks(rng, organ()) if number % 2 == 0 else right
        pairs.append((on_grid(guess), on_grid(right)))
    assert learn_postprocessing(pairs) == ()


def test_perfect_predictions_and_few_cases_teach_nothing():
    right = on_grid(organ())
    assert learn_postprocessing([(right, right)] * 9) == ()
    wrong = on_grid(specks(np.random.default_rng(0), organ()))
    assert learn_postprocessing([(wrong, right)] * 4) == ()


def test_other_grids_are_refused():
    other = LabelMap(organ(), Grid.from_parts((20, 20, 20), (2, 1, 1)), LABELS)
    with pytest.raises(GeometryError):
        learn_postprocessing([(on_grid(organ()), other)])
