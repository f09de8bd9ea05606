"""Resampling against scipy, and the laws it must keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from calque.errors import GeometryError
from calque.geometry import Grid
from calque.ops.resample import resample, resample_labels, slabs, source_rows

PAIRS = [
    ((9, 12, 7), (13, 8, 21)),
    ((1, 16, 16), (1, 31, 9)),
    ((5, 33, 40), (20, 33, 21)),
    ((3, 4, 2), (6, 8, 5)),
]


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def scipy_zoom(volume: np.ndarray, shape: tuple[int, int, int], order: int) -> np.ndarray:
    zoom = [n / m for n, m in zip(shape, volume.shape, strict=True)]
    return ndimage.zoom(volume.astype(np.float64), zoom, order=order, mode="nearest", grid_mode=True)


def orders(order, separate):
    return (0 if separate else order, order, order)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("order", [1, 3])
def test_equals_scipy(source: tuple[int, int, int], target: tuple[int, int, int], order: int) -> None:
    volume = noise((2, *source))
    expected = np.stack([scipy_zoom(v, target, order) for v in volume])
    if order == 3:
        expected = np.stack([np.clip(e, v.min(), v.max()) for e, v in zip(expected, volume, strict=True)])
    np.testing.assert_allclose(resample(volume, target, order), expected, atol=2e-5)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_nearest_takes_the_voxel_whose_cell_holds_the_position(source, target) -> None:
    volume = noise((1, *source))
    index = [
        np.minimum(np.floor((np.arange(n) + 0.5) * m / n + 1e-9), m - 1).astype(int)
        for m, n in zip(source, target, strict=True)
    ]
    np.testing.assert_array_equal(resample(volume, target, 0)[0], volume[0][np.ix_(*index)])


@given(
    source=st.tuples(*[st.integers(1, 9)] * 3),
    target=st.tuples(*[st.integers(1, 14)] * 3),
    order=st.sampled_from([0, 1, 3]),
    separate=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_constants_stay(source, target, order, separate) -> None:
    volume = np.full((1, *source), 3.25)
    np.testing.assert_allclose(resample(volume, target, orders(order, separate)), 3.25, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("target", [23, 60, 97])
def test_ramps_are_kept_inside(order: int, target: int) -> None:
    ramp = np.broadcast_to(np.arange(40.0), (1, 2, 3, 40))
    position = (np.arange(target) + 0.5) * 40 / target - 0.5
    inside = (position > 9) & (position < 30)
    got = resample(ramp, (2, 3, target), order)
    np.testing.assert_allclose(got[0, 1, 2, inside], position[inside], atol=1e-4)


@given(
    source=st.tuples(*[st.integers(1, 12)] * 3),
    target=st.tuples(st.integers(2, 15), st.integers(1, 9), st.integers(1, 9)),
    order=st.sampled_from([0, 1, 3]),
    step=st.integers(1, 5),
    separate=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_slabs_are_parts_of_the_whole(source, target, order, step, separate) -> None:
    volume = noise((2, *source))
    order = orders(order, separate)
    whole = resample(volume, target, order)
    parts = [
        resample(volume, target, order, slice(a, min(a + step, target[0]))) for a in range(0, target[0], step)
    ]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=2e-6)


@given(
    centre=st.tuples(*[st.floats(0.4, 0.6)] * 3),
    target=st.tuples(*[st.integers(14, 45)] * 3),
    order=st.sampled_from([1, 3]),
)
@settings(max_examples=25, deadline=None)
def test_a_blob_stays_where_it_is_in_the_body(centre, target, order) -> None:
    grid = Grid.from_parts((26, 30, 28), (2.0, 1.5, 1.7), (10.0, -20.0, 5.0))
    other = grid.resized(target)
    place = grid.to_world(np.array(centre) * grid.shape)
    where = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    blob = np.exp(-((where - place) ** 2).sum(axis=-1) / (2 * 6.0**2))
    moved = resample(blob[None], target, order)[0].astype(float)
    there = other.to_world(np.stack(np.meshgrid(*map(np.arange, target), indexing="ij"), axis=-1))
    found = (there * moved[..., None]).sum(axis=(0, 1, 2)) / moved.sum()
    np.testing.assert_allclose(found, place, atol=0.25)


def test_only_needed_rows_are_read() -> None:
    volume = noise((1, 100, 4, 4))
    needed = source_rows(100, 50, 1, range(10, 12))
    spoilt = volume.copy()
    spoilt[:, : needed.start] = np.nan
    spoilt[:, needed.stop :] = np.nan
    assert needed.stop - needed.start <= 6
    np.testing.assert_array_equal(
        resample(spoilt, (50, 9, 9), 1, slice(10, 12)), resample(volume, (50, 9, 9), 1, slice(10, 12))
    )


def test_same_shape_is_no_work() -> None:
    volume = noise((1, 5, 6, 7))
    assert np.shares_memory(resample(volume, (5, 6, 7), 3), volume)
    assert resample(volume, (5, 6, 7), 3, slice(1, 3)).shape == (1, 2, 6, 7)


def test_views_that_run_backwards() -> None:
    volume = noise((2, 5, 6, 7))
    view = volume[:, ::-1, :, ::-1].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(resample(view, (9, 9, 9), 3), resample(view.copy(), (9, 9, 9), 3))


def test_read_only_arrays_are_not_touched() -> None:
    volume = noise((1, 5, 6, 7))
    volume.setflags(write=False)
    assert resample(volume, (5, 9, 7), 3).shape == (1, 5, 9, 7)


def test_slices_resampled_alone_are_repeated() -> None:
    volume = noise((1, 3, 8, 8))
    got = resample(volume, (6, 16, 16), (0, 3, 3))
    np.testing.assert_array_equal(got[0, 0::2], got[0, 1::2])
    expected = np.clip(scipy_zoom(volume[0, 1:2], (1, 16, 16), 3)[0], volume[0, 1].min(), volume[0, 1].max())
    np.testing.assert_allclose(got[0, 2], expected, atol=2e-5)


@pytest.mark.parametrize("bad", [(0, 4, 4), (4, 4)])
def test_impossible_shapes(bad) -> None:
    with pytest.raises(GeometryError):
        resample(noise((1, 4, 4, 4)), bad, 1)
    with pytest.raises(GeometryError):
        resample(noise((4, 4, 4)), (4, 4, 4), 1)


def one_hot_oracle(labels: np.ndarray, shape: tuple[int, int, int], n: int) -> np.ndarray:
    shares = np.stack([scipy_zoom(labels == k, shape, 1) for k in range(n)]).round(5)
    return n - 1 - shares[::-1].argmax(axis=0)


@pytest.mark.parametrize("target", [(13, 9, 22), (5, 31, 8), (10, 11, 12)])
def test_labels_equal_one_hot_linear(target, monkeypatch) -> None:
    monkeypatch.setattr(slabs, "__defaults__", (300,))
    coarse = np.random.default_rng(1).integers(0, 4, (4, 4, 4), dtype=np.uint8)
    labels = np.kron(coarse, np.ones((3, 3, 3), np.uint8))[:10, :11, :12]
    got = resample_labels(labels, target, 4)
    assert got.dtype == labels.dtype
    assert (got == one_hot_oracle(labels, target, 4)).mean() > 0.999


def test_labels_of_thick_slices_are_not_blended_through() -> None:
    labels = np.zeros((2, 6, 6), np.uint8)
    labels[1] = 2
    np.testing.assert_array_equal(resample_labels(labels, (5, 6, 6), 3, (0, 1, 1))[:, 0, 0], [0, 0, 2, 2, 2])


def test_labels_out_of_range() -> None:
    with pytest.raises(GeometryError):
        resample_labels(np.full((2, 2, 2), 7, np.uint8), (3, 3, 3), 3)


def test_slabs_cover_once() -> None:
    rows = [r for s in slabs((17, 10, 10), 450) for r in range(s.start, s.stop)]
    assert rows == list(range(17))
