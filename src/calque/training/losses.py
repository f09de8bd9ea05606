"""Losses, at every resolution that the network answers at; a name in `LOSSES` each.

Cross-entropy minus soft Dice (Isensee et al., Nature Methods 2021), on softmax classes or on sigmoid regions.
Where only some classes of a case were annotated, the others count as background that may be either: marginal
loss, and exclusion loss (Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ
segmentation", Medical Image Analysis 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from calque.errors import PlanError
from calque.heads import Decoder
from calque.planning import Objective, Plan

_SMOOTH = 1e-5


@dataclass(frozen=True, eq=False)
class Target:
    """What the truth says.

    Args:
        labels: (b, z, y, x) class numbers, 0 to n - 1; n, the number of classes, for what counts nowhere.
        known: (b, n), whether a class was annotated in a sample, background always; None: all of them.
    """

    labels: Tensor
    known: Tensor | None = None

    def chunk(self, parts: int) -> list[Target]:
        """The batch in as many parts as `Tensor.chunk` makes."""
        labels = self.labels.chunk(parts)
        known = [None] * len(labels) if self.known is None else self.known.chunk(parts)
        return [Target(*pair) for pair in zip(labels, known, strict=True)]


Loss = Callable[[Tensor, Target], Tensor]
"""From logits (b, k, z, y, x) float32 and the truth to a scalar."""


def make_loss(plan: Plan) -> Loss:
    """The loss that the plan names.

    Raises:
        PlanError: there is none of this name, or it is for the other kind of outputs.
    """
    objective, decoder = plan.objective, plan.decoder
    choices = [name for name, entry in LOSSES.items() if entry.regions == bool(decoder.heads)]
    if objective.loss not in choices:
        kind = "regions" if decoder.heads else "classes"
        raise PlanError(
            f"There is no such loss for {kind}", where="objective.loss", expected=choices, got=objective.loss
        )
    return LOSSES[objective.loss].build(objective, decoder)


def supervision_weights(levels: int) -> list[float]:
    """1, 1/2, 1/4, ..., the coarsest silent when there are several; they add up to 1 (nnU-Net's rule)."""
    weights = [0.5**k for k in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [w / sum(weights) for w in weights]


def deep_loss(loss: Loss, logits: Sequence[Tensor], target: Target) -> Tensor:
    """Weighted sum over resolutions.

    Args:
        loss: at one resolution.
        logits: each (b, k, z, y, x), finest first.
        target: at the finest resolution; labels are taken nearest for the coarser ones.
    """
    total = logits[0].new_zeros((), dtype=torch.float32)
    for weight, level in zip(supervision_weights(len(logits)), logits, strict=True):
        if weight > 0:
            total = total + weight * loss(level.float(), replace(target, labels=_coarser(target, level)))
    return total


def _coarser(target: Target, like: Tensor) -> Tensor:
    labels = target.labels
    if labels.shape[1:] == like.shape[2:]:
        return labels
    return F.interpolate(labels[:, None].float(), size=like.shape[2:], mode="nearest-exact")[:, 0].long()


def output_weights(objective: Objective, decoder: Decoder) -> Tensor:
    """(k,): one weight per output, 1 where the plan gives none."""
    return torch.tensor([objective.class_weights.get(name, 1.0) for name in decoder.names])


@dataclass(frozen=True)
class ClassLoss:
    """Cross-entropy, and minus soft Dice of the foreground classes, on softmax outputs.

    Args:
        objective: weights, over what Dice is pooled, what unknown classes count as.
        decoder: the classes.
        dice: whether Dice is part of it.
    """

    objective: Objective
    decoder: Decoder
    dice: bool = True

    def __call__(self, logits: Tensor, target: Target) -> Tensor:
        """See `Loss`."""
        known = target.known
        if known is not None and self.objective.partial == "ignore":
            target, known = _without_unknown(target), None
        log_p = F.log_softmax(logits, 1)
        merged = log_p if known is None else _merged(log_p, known)
        valid = target.labels < logits.shape[1]
        labels = torch.where(valid, target.labels, 0)
        weights = output_weights(self.objective, self.decoder).to(logits.device)
        total = _entropy(merged, labels, valid, weights if self.objective.class_weights else None)
        if self.dice:
            total = total - self._dice(merged.exp(), labels, valid, weights[1:], known)
        if known is not None and self.objective.exclusion > 0:
            total = total + self.objective.exclusion * exclusion_loss(log_p.exp(), labels, valid, known)
        return total

    def _dice(
        self, p: Tensor, labels: Tensor, valid: Tensor, weights: Tensor, known: Tensor | None
    ) -> Tensor:
        truth = F.one_hot(labels, p.shape[1]).movedim(-1, 1)[:, 1:].to(p.dtype)
        counts = torch.ones_like(p[:, 1:, 0, 0, 0]) if known is None else known[:, 1:].to(p.dtype)
        seen = valid[:, None].to(p.dtype)
        if known is not None:
            seen = seen * counts[:, :, None, None, None]
        return mean_dice(p[:, 1:] * seen, truth * seen, counts * weights, batch=self.objective.batch_dice)


@dataclass(frozen=True)
class RegionLoss:
    """Binary cross-entropy, and minus soft Dice, on sigmoid outputs, each a union of classes.

    At a voxel whose class is known every region is known. Elsewhere a region is known where all its classes
    were annotated.

    Args:
        objective: weights, over what Dice is pooled.
        decoder: the regions.
        dice: whether Dice is part of it.
    """

    objective: Objective
    decoder: Decoder
    dice: bool = True

    def __call__(self, logits: Tensor, target: Target) -> Tensor:
        """See `Loss`."""
        members = torch.from_numpy(self.decoder.members).to(logits.device)
        here = target.labels < members.shape[1]
        labels = torch.where(here, target.labels, 0)
        truth = members[:, labels].movedim(0, 1).to(logits.dtype)
        seen = here[:, None].expand_as(truth)
        if target.known is not None:
            whole = ~(members[None] & ~target.known[:, None]).any(2)  # (b, k): every class of it annotated
            if self.objective.partial == "ignore":
                whole = target.known.all(1, keepdim=True)
            seen = seen & ((labels > 0)[:, None] | whole[:, :, None, None, None])
        weights = output_weights(self.objective, self.decoder).to(logits.device)
        mask = seen.to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * mask
        by_output = each.sum((0, 2, 3, 4)) / mask.sum((0, 2, 3, 4)).clamp_min(1)
        total = (by_output * weights).sum() / weights.sum()
        if self.dice:
            counts = seen.flatten(2).any(2).to(logits.dtype) * weights
            p = torch.sigmoid(logits) * mask
            total = total - mean_dice(p, truth * mask, counts, batch=self.objective.batch_dice)
        return total


def _without_unknown(target: Target) -> Target:
    """Background of samples with unknown classes counts nowhere."""
    if target.known is None:
        return target
    doubtful = (target.labels == 0) & ~target.known.all(1)[:, None, None, None]
    return Target(torch.where(doubtful, target.known.shape[1], target.labels))


def _merged(log_p: Tensor, known: Tensor) -> Tensor:
    """Log-probabilities in which background is "background or a class that was not annotated"."""
    joined = ~known
    joined[:, 0] = True
    mask = joined[:, :, None, None, None]
    background = torch.logsumexp(log_p.masked_fill(~mask, float("-inf")), 1, keepdim=True)
    return torch.cat([background, log_p[:, 1:]], 1)


def _entropy(log_p: Tensor, labels: Tensor, valid: Tensor, weights: Tensor | None) -> Tensor:
    """Mean cross-entropy of valid voxels, weighted by class as torch does it."""
    voxel = -log_p.gather(1, labels[:, None])[:, 0]
    share = valid if weights is None else valid * weights[labels]
    return (voxel * share).sum() / (share.sum().clamp_min(1) if weights is None else share.sum() + 1e-8)


def exclusion_loss(p: Tensor, labels: Tensor, valid: Tensor, known: Tensor) -> Tensor:
    """Classes that were not annotated do not lie where annotated ones do: Dice and cross-entropy of overlap.

    Args:
        p: (b, k, z, y, x).
        labels: (b, z, y, x) class numbers.
        valid: (b, z, y, x), what counts.
        known: (b, k).
    """
    unknown = (~known).to(p.dtype)
    unknown[:, 0] = 0
    mask = unknown[:, :, None, None, None]
    taken = ((labels > 0) & valid)[:, None].to(p.dtype)
    guess = p * mask * valid[:, None].to(p.dtype)
    axes = (2, 3, 4)
    overlap = (guess * taken).sum(axes)
    dice = 2 * overlap / (guess.sum(axes) + taken.sum(axes) + _SMOOTH)
    entropy = (taken * torch.log1p(guess)).mean(axes)
    return ((dice + entropy) * unknown).sum() / unknown.sum().clamp_min(1)


def mean_dice(guess: Tensor, truth: Tensor, weights: Tensor, *, batch: bool) -> Tensor:
    """Weighted mean of soft Dice, smoothed so that an output that is absent and not guessed counts as right.

    Args:
        guess: (b, k, z, y, x), zero where it does not count.
        truth: likewise, 0 or 1.
        weights: (b, k).
        batch: pool overlap over the batch first: an output that few samples hold is then judged where it is.
    """
    axes = (2, 3, 4)
    overlap, size = (truth * guess).sum(axes), truth.sum(axes) + guess.sum(axes)
    if batch:
        overlap, size, weights = overlap.sum(0), size.sum(0), weights.amax(0)
    dice = (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    return (dice * weights).sum() / weights.sum().clamp_min(1e-8)


@dataclass(frozen=True)
class Entry:
    """A loss: how it is made, and whether it is for sigmoid regions."""

    build: Callable[[Objective, Decoder], Loss]
    regions: bool = False


LOSSES: dict[str, Entry] = {
    "dice_ce": Entry(ClassLoss),
    "ce": Entry(lambda objective, decoder: ClassLoss(objective, decoder, dice=False)),
    "dice_bce": Entry(RegionLoss, regions=True),
    "bce": Entry(lambda objective, decoder: RegionLoss(objective, decoder, dice=False), regions=True),
}
