"""Rows made one after the other are the prepared image; and little of it is held."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.geometry import Grid
from calque.image import Image
from calque.planning import Normalisation
from calque.preparation import prepare_image, rows
from calque.preparation.rows import PreparedRows, axes_from, stream_axis

from ..prediction.fakes import random_grid
from .synthetic import make_plan

RULES = (
    Normalisation(scheme="zscore"),
    Normalisation(scheme="zscore", nonzero=True),
    Normalisation(scheme="ct", low=-1, high=2, mean=0.3, std=0.7),
    Normalisation(scheme="none"),
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 23)] * 3),
    spacing=st.tuples(*[st.sampled_from((0.4, 0.9, 1.0, 2.1, 5.0))] * 3),
    rules=st.lists(st.sampled_from(RULES), min_size=1, max_size=2),
    order=st.sampled_from((0, 1, 3)),
    separate_z=st.sampled_from((True, False, "auto")),
    axis=st.sampled_from((None, 0, 1, 2)),
    step=st.integers(1, 9),
)
def test_rows_are_those_of_the_dense_way(  # noqa: PLR0917
    seed, shape, spacing, rules, order, separate_z, axis, step
):
    rng = np.random.default_rng(seed)
    array = rng.normal(1, 2, (len(rules), *shape))
    array[:, : shape[0] // 3] = 0
    array[0, -1, -1, -1] = 4
    names = tuple(f"c{k}" for k in range(len(rules)))
    plan = make_plan(names, normalisation=tuple(rules), image_order=order, separate_z=separate_z)
    image = Image(array, random_grid(rng, shape, spacing), names)
    dense, made = prepare_image(image, plan), PreparedRows(image, plan, axis)
    assert made.placement == dense.placement
    whole = dense.array.transpose(0, *(1 + a for a in axes_from(made.axis)))
    assert made.shape == whole.shape
    for start in range(0, made.shape[1], step):
        part = made(slice(start, min(start + step, made.shape[1])))
        np.testing.assert_allclose(part, whole[:, start : start + step], atol=2e-5, rtol=1e-5)


def test_moments_do_not_depend_on_how_the_image_is_cut(monkeypatch):
    rng = np.random.default_rng(0)
    image = Image(rng.normal(1e4, 1, (1, 40, 8, 8)), Grid.from_parts((40, 8, 8), (1, 1, 1)), ("MR",))
    monkeypatch.setattr(rows, "CHUNK_BYTES", 8 * 8 * 8)  # a row at a time
    made = PreparedRows(image, make_plan(), 0)
    assert made.chunk() == 2
    np.testing.assert_allclose(made(slice(0, 40)), prepare_image(image, make_plan()).array, atol=1e-6)


def test_windows_move_along_the_axis_where_they_are_the_smallest_share():
    assert stream_axis((100, 50, 50), (32, 32, 32)) == 0
    assert stream_axis((50, 100, 50), (32, 32, 32)) == 1
    assert stream_axis((50, 60, 100), (50, 10, 100)) == 1
    assert stream_axis((4, 9, 9), (8, 8, 8)) == 1  # the window is larger than the image along z
