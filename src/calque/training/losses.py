"""Dice and cross-entropy, at every resolution that the network answers at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def supervision_weights(levels: int) -> list[float]:
    """1, 1/2, 1/4, ..., the coarsest silent when there are several; they add up to 1 (nnU-Net's rule)."""
    weights = [0.5**k for k in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [w / sum(weights) for w in weights]


def deep_loss(logits: Sequence[Tensor], labels: Tensor, ignore: int | None = None) -> Tensor:
    """Weighted sum of `dice_and_entropy` over resolutions.

    Args:
        logits: each (b, k, z, y, x), finest first.
        labels: (b, z, y, x) class numbers at the finest resolution; taken nearest for the coarser ones.
        ignore: class number that is not scored.
    """
    total = logits[0].new_zeros((), dtype=torch.float32)
    for weight, level in zip(supervision_weights(len(logits)), logits, strict=True):
        if weight > 0:
            total = total + weight * dice_and_entropy(level.float(), _coarser(labels, level), ignore)
    return total


def _coarser(labels: Tensor, like: Tensor) -> Tensor:
    if labels.shape[1:] == like.shape[2:]:
        return labels
    return F.interpolate(labels[:, None].float(), size=like.shape[2:], mode="nearest-exact")[:, 0].long()


def dice_and_entropy(logits: Tensor, labels: Tensor, ignore: int | None = None) -> Tensor:
    """Cross-entropy minus the mean soft Dice of the foreground classes, per sample (Isensee et al., 2021).

    Args:
        logits: (b, k, z, y, x) float32.
        labels: (b, z, y, x), 0 to k - 1, or `ignore`.
        ignore: class number that counts nowhere.
    """
    valid = torch.ones_like(labels, dtype=torch.bool) if ignore is None else labels != ignore
    target = torch.where(valid, labels, 0)
    log_p = F.log_softmax(logits, 1)
    voxel_entropy = -log_p.gather(1, target[:, None])[:, 0]
    entropy = (voxel_entropy * valid).sum() / valid.sum().clamp_min(1)
    return entropy - soft_dice(log_p.exp(), target, valid).mean()


def soft_dice(probabilities: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """(b, k - 1): soft Dice of each foreground class, smoothed so that an absent class is harmless.

    Args:
        probabilities: (b, k, z, y, x).
        labels: (b, z, y, x) class numbers.
        valid: (b, z, y, x), what counts.
    """
    axes = (2, 3, 4)
    truth = F.one_hot(labels, probabilities.shape[1]).movedim(-1, 1)[:, 1:].to(probabilities.dtype)
    seen = valid[:, None].to(probabilities.dtype)
    truth, guess = truth * seen, probabilities[:, 1:] * seen
    overlap = (truth * guess).sum(axes)
    return (2 * overlap + 1e-5) / (truth.sum(axes) + guess.sum(axes) + 1e-5).clamp_min(1e-8)
