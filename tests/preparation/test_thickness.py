"""Across which axis the nearest slice is taken."""

from __future__ import annotations

import numpy as np
import pytest

from calque.geometry import Grid, Reorientation
from calque.image import Image
from calque.planning import Normalisation
from calque.preparation import prepare_image
from calque.preparation.thickness import spline_orders

from .synthetic import make_plan

EVEN = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("separate", "source", "target", "expected"),
    [
        (False, (9.0, 1.0, 1.0), EVEN, (3, 3, 3)),
        (True, EVEN, EVEN, (0, 3, 3)),
        ("auto", EVEN, EVEN, (3, 3, 3)),
        ("auto", (1.0, 3.5, 1.0), EVEN, (3, 0, 3)),
        ("auto", EVEN, (1.0, 1.0, 3.5), (3, 3, 0)),
        ("auto", (3.5, 1.0, 1.0), (1.0, 1.0, 3.5), (0, 3, 3)),  # the image is asked first
        ("auto", (3.0, 1.0, 1.0), EVEN, (3, 3, 3)),  # not over three times
        ("auto", (0.2, 1.25, 1.25), (5.0, 1.0, 1.0), (3, 3, 3)),  # two long axes are no slices
        ("auto", (3.5, 1.0, 3.5 * (1 + 1e-9)), EVEN, (3, 3, 3)),
    ],
)
def test_thick_axis(separate, source, target, expected) -> None:
    assert spline_orders(3, separate, source, target) == expected


def test_stored_axes_are_permuted_and_never_flipped() -> None:
    plan = make_plan(spacing=(2.0, 1.5, 1.0)).model_copy(
        update={"orientation": "stored", "transpose": (2, 0, 1), "crop": "none"}
    )
    grid = Grid.from_parts((4, 5, 6), (1.5, 1.0, 2.0), direction=-np.eye(3)[[1, 2, 0]])
    assert plan.reorientation(grid) == Reorientation((2, 0, 1), (False, False, False))
    array = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32)
    prepared = prepare_image(Image(array, grid, ("MR",)), plan)
    expected = (array - array.mean()) / array.std()
    np.testing.assert_allclose(prepared.array[0], expected[0].transpose(2, 0, 1), atol=1e-5)


def test_masked_zscore_leaves_the_frame_and_fills_holes() -> None:
    plan = make_plan(spacing=(1.0, 1.0, 1.0)).model_copy(
        update={"normalisation": (Normalisation(scheme="zscore", nonzero=True),)}
    )
    array = np.zeros((1, 9, 9, 9), np.float32)
    array[0, 1:8, 1:8, 1:8] = np.random.default_rng(0).normal(50, 5, (7, 7, 7))
    array[0, 0, 4, 4] = 50  # the box is larger than the body
    array[0, 4, 4, 4] = 0  # a hole
    prepared = prepare_image(Image(array, Grid.from_parts((9, 9, 9), (1, 1, 1)), ("MR",)), plan).array[0]
    assert (prepared[0].ravel() != 0).sum() == 1
    body = np.append(prepared[1:].ravel(), prepared[0, 3, 3])
    assert prepared.shape == (8, 7, 7)
    np.testing.assert_allclose((body.mean(), body.std()), (0, 1), atol=1e-5)
    assert prepared[4, 3, 3] < -5
