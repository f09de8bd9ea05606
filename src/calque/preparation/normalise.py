"""Bringing intensities to a common scale: one function per scheme."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calque.errors import PlanError
from calque.planning.model import Normalisation

_FLOOR = 1e-8  # of a standard deviation: a constant channel becomes zeros, as in nnU-Net


def _zscore(channel: NDArray[np.float32], rule: Normalisation) -> NDArray[np.float32]:  # noqa: ARG001
    mean = channel.mean(dtype=np.float64)
    std = max(float(channel.std(dtype=np.float64)), _FLOOR)
    return np.asarray((channel - np.float32(mean)) / np.float32(std))


def _ct(channel: NDArray[np.float32], rule: Normalisation) -> NDArray[np.float32]:
    clipped = np.clip(channel, np.float32(rule.low), np.float32(rule.high))
    return np.asarray((clipped - np.float32(rule.mean)) / np.float32(max(rule.std, _FLOOR)))


def _none(channel: NDArray[np.float32], rule: Normalisation) -> NDArray[np.float32]:  # noqa: ARG001
    return channel


SCHEMES: dict[str, Callable[[NDArray[np.float32], Normalisation], NDArray[np.float32]]] = {
    "zscore": _zscore,
    "ct": _ct,
    "none": _none,
}


def normalise(channel: NDArray[np.generic], rule: Normalisation) -> NDArray[np.float32]:
    """Normalise one channel.

    Args:
        channel: (z, y, x), finite, already cropped: "zscore" takes its moments over all of it.
        rule: scheme and constants; see `Normalisation`.

    Returns:
        float32, of the same shape.

    Raises:
        PlanError: the scheme is unknown.
    """
    if rule.scheme not in SCHEMES:
        raise PlanError("There is no such normalisation", got=rule.scheme, expected=sorted(SCHEMES))
    return SCHEMES[rule.scheme](np.asarray(channel, dtype=np.float32), rule)
