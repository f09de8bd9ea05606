"""Patches: the right voxels of the right case, the same for the same seed and step."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training.synthetic import STILL, FakeStore, make_plan

from calque.planning import Augmentation
from calque.preparation import Store
from calque.training.augment import collate, known_classes
from calque.training.sampler import Contents, Sampler, draw_linear

CPU = torch.device("cpu")


def sampler(seed: int = 0, store: FakeStore | None = None, **changes: Any) -> Sampler:
    store = store or FakeStore()
    return Sampler(cast(Store, store), store.cases, make_plan(**changes), seed)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    one, two = sampler(), sampler()
    two.batch(3)  # having been asked before changes nothing
    for a, b in zip(one.batch(7), two.batch(7), strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.labels, b.labels)
    different = zip(one.batch(7), sampler(seed=1).batch(7), strict=True)
    assert any(not np.array_equal(a.image, b.image) for a, b in different)


def test_every_case_comes_once_before_any_comes_again() -> None:
    probe = sampler()
    names = [probe._case_name(k) for k in range(15)]
    for epoch in range(3):
        assert sorted(names[5 * epoch : 5 * epoch + 5]) == sorted(FakeStore().cases)


@settings(deadline=None, max_examples=40)
@given(
    patch=st.tuples(*(st.sampled_from([4, 8, 12, 16]) for _ in range(3))),
    shape=st.tuples(*(st.integers(9, 20) for _ in range(3))),
    step=st.integers(0, 50),
)
def test_patches_hold_the_voxels_of_the_case_or_padding(
    patch: tuple[int, int, int], shape: tuple[int, int, int], step: int
) -> None:
    """Coordinates grow by one along their axis, whatever the place; padding is zero and unlabelled."""
    store = FakeStore(shape=shape)
    for sample in sampler(store=store, patch=patch).batch(step):
        assert sample.warp is None
        assert sample.image.shape == (4, *patch)
        inside = sample.image[3] > 0
        kept = tuple(min(p, n) for p, n in zip(patch, shape, strict=True))
        assert inside.sum() == np.prod(kept)  # never more padding than the patch's size demands
        assert not sample.labels[~inside].any()
        full = store.load("x")
        z, y, x = (sample.image[k][inside].astype(int) for k in range(3))
        np.testing.assert_array_equal(sample.labels[inside], full.labels[z, y, x])
        for axis in range(3):
            steps = np.diff(sample.image[axis], axis=axis)
            both = np.take(inside, range(1, patch[axis]), axis) & np.take(
                inside, range(patch[axis] - 1), axis
            )
            assert (steps[both] == 1).all()


def test_the_foreground_is_aimed_at_whatever_its_size() -> None:
    aimed = sampler(patch=(4, 4, 4), foreground=1.0)
    samples = [s for step in range(25) for s in aimed.batch(step)]
    share = [np.mean([np.any(s.labels == k) for s in samples]) for k in (1, 2)]
    assert share[0] > 0.35  # 8 voxels against 140: drawn by class, not by volume
    assert share[1] > 0.35


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), spacing=st.tuples(*(st.floats(0.5, 3) for _ in range(3))))
def test_rotations_keep_millimetres(seed: int, spacing: tuple[float, float, float]) -> None:
    only_rotation = Augmentation(rotation=1, scaling=0)
    linear = draw_linear(np.random.default_rng(seed), only_rotation, spacing, flat=False)
    assert linear is not None
    size = np.diag(spacing)
    physical = size @ linear @ np.linalg.inv(size)
    np.testing.assert_allclose(physical @ physical.T, np.eye(3), atol=1e-9)


def test_flat_rotations_stay_in_the_slice() -> None:
    both = Augmentation(rotation=1, scaling=1)
    linear = draw_linear(np.random.default_rng(0), both, (5, 1, 1), flat=True)
    assert linear is not None
    np.testing.assert_allclose(linear[0], (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(linear[:, 0], (1, 0, 0), atol=1e-12)


@pytest.mark.parametrize("flat", [True, False])
def test_a_warped_patch_shows_the_case_at_the_warped_places(flat: bool) -> None:
    """The image holds its own coordinates: after warping they must be an affine function of the index."""
    warp = STILL.model_copy(update={"rotation": 1.0, "scaling": 1.0})
    spacing = (5.0, 1.0, 1.0) if flat else (1.0, 1.0, 1.0)
    store = FakeStore(shape=(24, 30, 28))
    drawn = sampler(store=store, augmentation=warp, spacing=spacing).batch(2)
    images, labels = collate(drawn, (8, 12, 12), CPU)
    assert images.shape == (4, 4, 8, 12, 12)
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        deep = image[3] > 0.9999  # nothing of the padding was mixed in
        points = np.argwhere(deep)
        if len(points) < 20:
            continue
        places = image[:3, deep].T
        design = np.c_[points, np.ones(len(points))]
        fit = np.linalg.lstsq(design, places, rcond=None)[0]
        np.testing.assert_allclose(design @ fit, places, atol=1e-3)
        nearest = np.rint(places).astype(int)
        sure = np.abs(places - nearest).max(1) < 0.2
        truth = store.load("x").labels[tuple(nearest.T)]
        assert (truth[sure] == label[deep][sure]).mean() > 0.97


def test_by_class_a_class_that_one_case_has_comes_as_often_as_one_that_all_have() -> None:
    store = FakeStore()
    plan = make_plan(foreground_by="class", foreground=1.0)
    contents = Contents(classes={name: (1, 2) if name == "case3" else (2,) for name in store.cases})
    sampler = Sampler(store, store.cases, plan, 0, contents)
    names = [name for step in range(100) for name in sampler.names(step)]
    assert names.count("case3") / len(names) == pytest.approx(0.5 + 0.5 / 5, abs=0.06)


def test_samples_say_which_classes_were_annotated() -> None:
    store = FakeStore()
    known = np.array([True, True, False])
    sampler = Sampler(store, store.cases, make_plan(), 0, Contents(known={"case1": known}))
    samples = [s for step in range(3) for s in sampler.batch(step)]
    names = [n for step in range(3) for n in sampler.names(step)]
    assert [s.known is None for s in samples] == [n != "case1" for n in names]
    found = known_classes(samples, CPU)
    assert found is not None
    assert found.tolist() == [[True, True, n != "case1"] for n in names]
