"""Augmentation: laws that hold for every transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.synthetic import STILL

from calque.planning import Augmentation
from calque.training.augment import INTENSITY, augment


def batch(shape: tuple[int, ...] = (3, 2, 6, 8, 10)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator)
    labels = torch.randint(0, 3, (shape[0], *shape[2:]), generator=generator)
    return images, labels


def only(name: str) -> Augmentation:
    return STILL.model_copy(update={name: 1.0})


@pytest.mark.parametrize("name", list(INTENSITY))
@pytest.mark.parametrize("depth", [1, 6])
def test_every_intensity_transform(name: str, depth: int) -> None:
    """It changes the images, keeps shape, finiteness and labels, and repeats with the generator's seed."""
    images, labels = batch((3, 2, depth, 24, 30))
    results = [
        augment(images.clone(), labels.clone(), only(name), np.random.default_rng(seed)) for seed in (5, 5, 6)
    ]
    first, again, other = (image for image, _ in results)
    assert first.shape == images.shape
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)
    assert torch.equal(results[0][1], labels)


@pytest.mark.parametrize("name", list(INTENSITY))
def test_a_constant_image_stays_finite(name: str) -> None:
    images, labels = torch.full((1, 1, 4, 4, 4), 2.0), torch.zeros((1, 4, 4, 4), dtype=torch.long)
    changed, _ = augment(images, labels, only(name), np.random.default_rng(0))
    assert torch.isfinite(changed).all()


def test_switched_off_nothing_changes() -> None:
    images, labels = batch()
    changed, same = augment(images.clone(), labels.clone(), STILL, np.random.default_rng(0))
    assert torch.equal(changed, images)
    assert torch.equal(same, labels)


def test_gamma_keeps_mean_and_deviation() -> None:
    images, labels = batch()
    bent, _ = augment(images.clone(), labels, only("gamma"), np.random.default_rng(1))
    torch.testing.assert_close(bent.mean((2, 3, 4)), images.mean((2, 3, 4)), atol=1e-4, rtol=0)
    torch.testing.assert_close(bent.std((2, 3, 4)), images.std((2, 3, 4)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("axes", [(True, False, False), (False, True, True), (True, True, True)])
def test_mirroring_moves_image_and_labels_together_along_the_allowed_axes(
    axes: tuple[bool, bool, bool],
) -> None:
    labels = torch.arange(6 * 8 * 10).view(1, 6, 8, 10).repeat(8, 1, 1, 1)
    images = labels[:, None].float()
    choice = STILL.model_copy(update={"mirror": axes})
    moved, moved_labels = augment(images.clone(), labels.clone(), choice, np.random.default_rng(0))
    assert torch.equal(moved[:, 0].long(), moved_labels)
    flipped_axes = set()
    for one in moved_labels:
        flips = [a for a in range(3) if torch.equal(one, labels[0].flip(a))]
        flipped_axes |= set(flips)
        assert torch.equal(one.flatten().sort().values, labels[0].flatten())
    assert flipped_axes <= {a for a in range(3) if axes[a]}
    assert not torch.equal(moved_labels, labels)


def test_colours_mix_and_keep_each_channels_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    before = torch.from_numpy(rng.normal((3, -2, 0), (1, 2, 0.5), (4, 1, 9, 8, 3)).astype(np.float32))
    before = before.movedim(-1, 1).contiguous()
    labels = torch.zeros((4, 1, 9, 8), dtype=torch.long)
    after, _ = augment(before.clone(), labels, only("colour"), rng)
    assert not torch.allclose(after, before, atol=0.1)
    axes = (2, 3, 4)
    torch.testing.assert_close(after.mean(axes), before.mean(axes), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.std(axes), before.std(axes), rtol=1e-4, atol=1e-4)
