"""The sliding window against a plain reference that holds everything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from calque.errors import GeometryError, InputError, ModelError
from calque.prediction.tiling import Tiling, importance, window_starts
from calque.prediction.windows import slabs, sliding_window

sizes = st.tuples(*[st.integers(1, 14)] * 3)
patches = st.tuples(*[st.integers(1, 6)] * 3)
overlaps = st.sampled_from([0.0, 0.25, 0.5, 0.7])


def blur(windows: torch.Tensor) -> torch.Tensor:
    """A "network" whose answer depends on where the window lies, and on which way round it is."""
    ramp = torch.linspace(0, 1, windows.shape[-1]) + torch.linspace(0, 2, windows.shape[-2])[:, None]
    ramp = ramp + torch.linspace(0, 3, windows.shape[-3])[:, None, None]
    mean = windows.mean(dim=(2, 3, 4), keepdim=True)
    return torch.cat(
        [windows[:, :1] * ramp, mean[:, :1] + windows[:, -1:] ** 2, -ramp.expand_as(windows[:, :1])], 1
    )


def nnunet_steps(size: int, patch: int, share: float) -> list[int]:
    """`compute_steps_for_sliding_window`, along one axis; `share` is nnU-Net's tile_step_size."""
    count = int(np.ceil((size - patch) / (patch * share))) + 1
    step = (size - patch) / (count - 1) if count > 1 else 99999999999
    return [int(np.round(step * i)) for i in range(count)]


def nnunet_gaussian(patch: tuple[int, int, int]) -> np.ndarray:
    """`compute_gaussian`, with a maximum of 1."""
    peak = np.zeros(patch)
    peak[tuple(n // 2 for n in patch)] = 1
    weights = gaussian_filter(peak, [n / 8 for n in patch], order=0, mode="constant", cval=0)
    weights /= weights.max()
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def reference(array: np.ndarray, outputs: int, tiling: Tiling) -> np.ndarray:
    """Everything at once, in float64: sums over the whole array, one window and one mirroring at a time."""
    shape = array.shape[1:]
    padding = [max(0, p - n) for n, p in zip(shape, tiling.patch, strict=True)]
    padded = np.pad(array, [(0, 0), *((p // 2, p - p // 2) for p in padding)])
    total, weight = np.zeros((outputs, *padded.shape[1:])), np.zeros(padded.shape[1:])
    gauss = nnunet_gaussian(tiling.patch)
    starts = window_starts(padded.shape[1:], tiling.patch, tiling.overlap)
    for number, corner in enumerate(itertools.product(*starts)):
        place = tuple(slice(c, c + p) for c, p in zip(corner, tiling.patch, strict=True))
        for flips in tiling.flips(number):
            axes = [1 + f for f in flips]
            window = np.flip(padded[(slice(None), *place)], axes).copy()
            logits = blur(torch.from_numpy(window)[None])[0].numpy()
            total[(slice(None), *place)] += np.flip(logits, axes) * gauss / len(tiling.flips(number))
        weight[place] += gauss
    inside = tuple(slice(p // 2, p // 2 + n) for p, n in zip(padding, shape, strict=True))
    return (total / weight)[(slice(None), *inside)]


@given(size=st.integers(1, 300), patch=st.integers(2, 130), overlap=overlaps)
@example(size=89, patch=7, overlap=0.7)  # where 30 steps end at 61.5, or just below it
def test_starts_are_nnunets(size, patch, overlap):
    if patch * (1 - overlap) < 1:
        return
    size = max(size, patch)
    assert list(window_starts((size,) * 3, (patch,) * 3, overlap)[1]) == nnunet_steps(
        size, patch, 1 - overlap
    )


@given(shape=sizes, patch=patches, overlap=overlaps)
def test_windows_cover_everything_and_stay_inside(shape, patch, overlap):
    shape = tuple(max(n, p) for n, p in zip(shape, patch, strict=True))
    for n, p, starts in zip(shape, patch, window_starts(shape, patch, overlap), strict=True):
        assert starts[0] == 0
        assert starts[-1] == n - p
        assert len(set(starts)) == len(starts)
        assert all(b - a <= max(1, p) for a, b in itertools.pairwise(starts))


def test_an_array_smaller_than_the_patch_must_be_padded_first():
    with pytest.raises(GeometryError, match="padded"):
        window_starts((4, 8, 8), (8, 8, 8))


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap):
    with pytest.raises(InputError, match="overlap"):
        window_starts((8, 8, 8), (8, 8, 8), overlap)


@pytest.mark.parametrize("patch", [(16, 24, 8), (1, 32, 32), (7, 5, 3), (1, 1, 1)])
def test_importance_is_nnunets(patch):
    z, y, x = importance(patch)
    np.testing.assert_allclose(z[:, None, None] * y[:, None] * x, nnunet_gaussian(patch), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    shape=sizes,
    patch=patches,
    overlap=overlaps,
    mirror=st.sampled_from(["off", "interleaved", "full"]),
    axes=st.tuples(*[st.booleans()] * 3),
    batch=st.sampled_from([None, 1, 3, 7]),
)
def test_logits_are_those_of_the_reference(shape, patch, overlap, mirror, axes, batch):
    array = np.random.default_rng(math.prod(shape)).normal(size=(2, *shape)).astype(np.float32)
    tiling = Tiling(patch, overlap, mirror, axes, batch)
    np.testing.assert_allclose(
        sliding_window(blur, array, 3, tiling), reference(array, 3, tiling), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=30, deadline=None)
@given(shape=sizes, patch=patches, batch=st.sampled_from([1, 4, 50]))
def test_slabs_follow_each_other_and_cover_every_row_once(shape, patch, batch):
    array = np.ones((1, *shape), np.float32)
    rows = [slab.rows for slab in slabs(blur, array, 3, Tiling(patch, batch=batch))]
    assert [r for piece in rows for r in range(piece.start, piece.stop)] == list(range(shape[0]))


def test_a_slab_is_never_longer_than_a_window_however_long_the_scan():
    array = np.ones((1, 400, 8, 8), np.float32)
    heights = [slab.logits.shape[1] for slab in slabs(blur, array, 3, Tiling((8, 8, 8), batch=1))]
    assert max(heights) == 8


def test_windows_rest_before_rows_are_given_away():
    events = []

    def run(windows: torch.Tensor) -> torch.Tensor:
        events.append("window")
        return blur(windows)

    array = np.random.default_rng(0).normal(size=(1, 16, 8, 8)).astype(np.float32)
    for _ in slabs(run, array, 3, Tiling((8, 8, 8), batch=1), rest=lambda: events.append("rest")):
        events.append("rows")
    assert events == ["window", "rest", "rows"] * 3


def test_windows_are_batched_across_slices():
    seen = []

    def run(windows: torch.Tensor) -> torch.Tensor:
        seen.append(len(windows))
        return blur(windows)

    image = np.random.default_rng(0).normal(size=(1, 10, 8, 8))
    sliding_window(run, image, 3, Tiling((1, 8, 8), batch=4))
    assert seen == [4, 4, 2]


def test_interleaved_mirroring_uses_every_mirroring_and_costs_nothing():
    tiling = Tiling((4, 4, 4), mirror="interleaved", mirror_axes=(True, False, True))
    assert [tiling.flips(n) for n in range(5)] == [((),), ((0,),), ((2,),), ((0, 2),), ((),)]


def test_full_mirroring_is_every_combination_of_axes_that_have_an_extent():
    assert len(Tiling((4, 4, 4), mirror="full").flips(0)) == 8
    assert len(Tiling((1, 4, 4), mirror="full").flips(0)) == 4
    assert Tiling((4, 4, 4), mirror="off").flips(3) == ((),)


def test_logits_that_are_not_finite_never_become_a_mask():
    with pytest.raises(ModelError, match="not finite"):
        sliding_window(lambda w: blur(w) * math.nan, np.ones((1, 4, 4, 4), np.float32), 3, Tiling((4, 4, 4)))


@pytest.mark.parametrize("outputs", [2, 4])
def test_another_number_of_logits_is_an_error(outputs):
    with pytest.raises(ModelError, match="another shape"):
        sliding_window(blur, np.ones((1, 4, 4, 4), np.float32), outputs, Tiling((4, 4, 4)))


def test_a_network_that_returns_another_shape_is_an_error():
    with pytest.raises(ModelError, match="another shape"):
        sliding_window(lambda w: blur(w)[..., :2], np.ones((1, 4, 4, 4), np.float32), 3, Tiling((4, 4, 4)))


@settings(max_examples=40, deadline=None)
@given(
    shape=sizes,
    patch=patches,
    mirror=st.sampled_from(["off", "interleaved", "full"]),
    axis=st.integers(0, 2),
    batch=st.sampled_from([1, 3]),
)
def test_the_axis_of_streaming_changes_no_logit(shape, patch, mirror, axis, batch):
    array = np.random.default_rng(math.prod(shape)).normal(size=(2, *shape)).astype(np.float32)
    tiling = Tiling(patch, 0.5, mirror, batch=batch, axis=axis)
    turned = array.transpose(0, *(1 + a for a in tiling.axes))
    logits = sliding_window(blur, np.ascontiguousarray(turned), 3, tiling)
    back = logits.transpose(0, *(1 + tiling.axes.index(a) for a in range(3)))
    expected = sliding_window(blur, array, 3, Tiling(patch, 0.5, mirror, batch=batch))
    np.testing.assert_allclose(back, expected, rtol=1e-4, atol=1e-5)


def test_windows_of_nothing_are_computed_once_and_change_nothing():
    array = np.full((1, 60, 16, 16), -1.0, np.float32)
    array[:, 40:44, 4:8, 4:8] = np.random.default_rng(0).normal(size=(1, 4, 4, 4))
    seen = []

    def run(windows: torch.Tensor) -> torch.Tensor:
        seen.append(windows.clone())
        return blur(windows)

    tiling = Tiling((8, 8, 8), mirror="interleaved", batch=1)
    np.testing.assert_allclose(
        sliding_window(run, array, 3, tiling), reference(array, 3, tiling), rtol=1e-4, atol=1e-5
    )
    constant = [window for window in seen if bool((window == window[0, 0, 0, 0, 0]).all())]
    assert len(constant) == 1
    assert len(seen) > 1


@settings(max_examples=30, deadline=None)
@given(shape=sizes, patch=patches, mirror=st.sampled_from(["off", "full"]))
def test_means_of_bf16_are_held_in_two_bytes_and_nowhere_lost(shape, patch, mirror):
    """Corners that only the foot of a Gaussian reaches are where sums of products would be nothing."""
    array = np.random.default_rng(math.prod(shape)).normal(size=(2, *shape)).astype(np.float32)
    tiling = Tiling(patch, mirror=mirror)
    found = sliding_window(lambda x: blur(x).to(torch.bfloat16), array, 3, tiling)
    np.testing.assert_allclose(found, reference(array, 3, tiling), rtol=0.02, atol=0.02)


def test_half_precision_that_does_not_hold_a_value_is_an_error():
    def run(windows: torch.Tensor) -> torch.Tensor:
        return (blur(windows) + 1e5).to(torch.bfloat16)

    with pytest.raises(ModelError, match="too large"):
        sliding_window(run, np.ones((1, 8, 8, 8), np.float32), 3, Tiling((8, 8, 8)))
