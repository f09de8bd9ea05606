"""Losses against formulas written out by hand."""

from __future__ import annotations

import pytest
import torch

from calque.training.losses import deep_loss, dice_and_entropy, soft_dice, supervision_weights


def test_weights_halve_and_the_coarsest_is_silent() -> None:
    assert supervision_weights(1) == [1.0]
    assert supervision_weights(4) == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0.0])


def test_against_a_formula_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 3, 4, generator=generator)
    labels = torch.randint(0, 3, (2, 2, 3, 4), generator=generator)
    p = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    entropy = sum(
        -torch.log(p[b, labels[b, z, y, x], z, y, x])
        for b in range(2) for z in range(2) for y in range(3) for x in range(4)
    ) / labels.numel()  # fmt: skip
    dice = [
        (2 * (p[b, k] * (labels[b] == k)).sum() + 1e-5) / (p[b, k].sum() + (labels[b] == k).sum() + 1e-5)
        for b in range(2)
        for k in (1, 2)
    ]
    torch.testing.assert_close(dice_and_entropy(logits, labels), entropy - sum(dice) / 4)


def test_a_perfect_answer_is_the_minimum() -> None:
    labels = torch.randint(0, 3, (1, 4, 4, 4), generator=torch.Generator().manual_seed(1))
    sure = 50.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    assert float(dice_and_entropy(sure, labels)) == pytest.approx(-1.0, abs=1e-5)


def test_ignored_voxels_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 3, 4, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (1, 4, 4, 4), generator=generator)
    labels[0, :2] = 3
    other = logits.clone()
    other[:, :, :2] += 10 * torch.randn(1, 3, 2, 4, 4, generator=generator)
    torch.testing.assert_close(dice_and_entropy(logits, labels, 3), dice_and_entropy(other, labels, 3))
    torch.testing.assert_close(
        dice_and_entropy(logits, labels, 3), dice_and_entropy(logits[:, :, 2:], labels[:, 2:])
    )


def test_a_class_that_is_absent_and_not_guessed_counts_as_right() -> None:
    p = torch.zeros(1, 3, 2, 2, 2)
    p[:, 0] = 1
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    torch.testing.assert_close(soft_dice(p, labels, labels == 0), torch.ones(1, 2))


def test_deep_supervision_scores_each_resolution_with_its_weight() -> None:
    generator = torch.Generator().manual_seed(3)
    fine, middle, coarse = (torch.randn(1, 2, n, n, n, generator=generator) for n in (8, 4, 2))
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    labels[:, :4] = 1  # even halves: nearest resampling has one answer
    want = 2 / 3 * dice_and_entropy(fine, labels) + 1 / 3 * dice_and_entropy(middle, labels[:, ::2, ::2, ::2])
    torch.testing.assert_close(deep_loss([fine, middle, coarse], labels), want)
