"""Bringing intensities to a common scale: one function per scheme."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calque.errors import PlanError
from calque.planning.model import Normalisation

_FLOOR = 1e-8  # of a standard deviation: a constant channel becomes zeros, as in nnU-Net


Mask = NDArray[np.bool_]
"""(z, y, x): voxels that count, for rules that leave the others alone."""


def _zscore(channel: NDArray[np.float32], rule: Normalisation, mask: Mask | None) -> NDArray[np.float32]:
    inside = channel[mask] if rule.nonzero and mask is not None else channel
    mean = inside.mean(dtype=np.float64)
    std = max(float(inside.std(dtype=np.float64)), _FLOOR)
    result = np.asarray((channel - np.float32(mean)) / np.float32(std))
    return np.where(mask, result, channel) if rule.nonzero and mask is not None else result


def _ct(channel: NDArray[np.float32], rule: Normalisation, mask: Mask | None) -> NDArray[np.float32]:  # noqa: ARG001
    clipped = np.clip(channel, np.float32(rule.low), np.float32(rule.high))
    return np.asarray((clipped - np.float32(rule.mean)) / np.float32(max(rule.std, _FLOOR)))


def _none(channel: NDArray[np.float32], rule: Normalisation, mask: Mask | None) -> NDArray[np.float32]:  # noqa: ARG001
    return channel


SCHEMES: dict[str, Callable[[NDArray[np.float32], Normalisation, Mask | None], NDArray[np.float32]]] = {
    "zscore": _zscore,
    "ct": _ct,
    "none": _none,
}


def normalise(
    channel: NDArray[np.generic], rule: Normalisation, mask: Mask | None = None
) -> NDArray[np.float32]:
    """Normalise one channel.

    Args:
        channel: (z, y, x), finite, already cropped: "zscore" takes its moments over all of it.
        rule: scheme and constants; see `Normalisation`.
        mask: (z, y, x), the body, for rules with `nonzero`; None: all of it.

    Returns:
        float32, of the same shape.

    Raises:
        PlanError: the scheme is unknown.
    """
    if rule.scheme not in SCHEMES:
        raise PlanError("There is no such normalisation", got=rule.scheme, expected=sorted(SCHEMES))
    return SCHEMES[rule.scheme](np.asarray(channel, dtype=np.float32), rule, mask)


def settled(rule: Normalisation, mean: float, std: float) -> Normalisation:
    """A "zscore" whose moments over the image are known, as a rule that needs no look at the whole image."""
    return rule.model_copy(update={"mean": mean, "std": max(std, _FLOOR)})


def normalise_part(
    channel: NDArray[np.generic], rule: Normalisation, mask: Mask | None
) -> NDArray[np.float32]:
    """As `normalise`, of a part of an image, with a rule that `settled` made where it is "zscore".

    Args:
        channel: (z, y, x), a part.
        rule: with the moments of the whole image.
        mask: (z, y, x), the same part of the body, for rules with `nonzero`.
    """
    values = np.asarray(channel, dtype=np.float32)
    if rule.scheme != "zscore":
        return normalise(values, rule)
    result = np.asarray((values - np.float32(rule.mean)) / np.float32(rule.std))
    return np.where(mask, result, values) if rule.nonzero and mask is not None else result
