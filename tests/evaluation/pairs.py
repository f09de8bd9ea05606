"""Two hundred pairs of masks: blobs, noise, single voxels, full images, borders touched, thick slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from calque.evaluation.pair import Pair
from calque.ops.nearest import Mask

SPACINGS = ((1.0, 1.0, 1.0), (5.0, 0.78125, 0.78125), (2.5, 0.7, 0.9), (1.2, 0.74219, 0.74219))


@dataclass(frozen=True)
class Drawn:
    """A pair that holds something on both sides."""

    name: str
    predicted: Mask
    truth: Mask
    spacing: tuple[float, float, float]

    def pair(self, tolerance: float = 1.0) -> Pair:
        ml = float(np.prod(self.spacing)) / 1000
        return Pair(self.predicted, self.truth, self.spacing, ml, self.truth.size, tolerance)


def drawn(count: int = 200) -> Iterator[Drawn]:
    """The same pairs every time."""
    for k in range(count):
        generator = np.random.default_rng(k)
        shape = (1, *generator.integers(8, 40, 2)) if k % 8 == 7 else tuple(generator.integers(4, 26, 3))
        kind = list(KINDS)[k % len(KINDS)]
        predicted, truth = KINDS[kind](generator, shape)
        yield Drawn(f"{k} {kind}", predicted, truth, SPACINGS[(k // len(KINDS)) % len(SPACINGS)])


def _blobs(generator, shape):
    base = ndimage.gaussian_filter(generator.normal(size=shape), 2)
    other = base + 0.3 * ndimage.gaussian_filter(generator.normal(size=shape), 1)
    return other > np.quantile(other, 0.7), base > np.quantile(base, 0.7)


def _noise(generator, shape):
    return tuple(_filled(generator, generator.random(shape) < density) for density in (0.1, 0.6))


def _voxels(generator, shape):
    none = np.zeros(shape, bool)
    return _filled(generator, none), _filled(generator, none)


def _voxel_and_all(generator, shape):
    return _filled(generator, np.zeros(shape, bool)), np.ones(shape, bool)


def _all_but_one(generator, shape):
    return ~_filled(generator, np.zeros(shape, bool)), np.ones(shape, bool)


def _corners(generator, shape):
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    first[tuple(slice(0, max(1, n // 3)) for n in shape)] = True
    second[tuple(slice(-max(1, n // 4), None) for n in shape)] = True
    return first, second


def _planes(generator, shape):
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    first[..., 0], second[..., -1] = True, True
    return first, second


def _shell_and_core(generator, shape):
    second = np.zeros(shape, bool)
    second[tuple(n // 2 for n in shape)] = True
    far = ndimage.distance_transform_edt(~second)
    return far >= 0.8 * far.max(), second


def _filled(generator, mask):
    mask = mask.copy()
    mask[tuple(generator.integers(0, n) for n in mask.shape)] = True
    return mask


KINDS = {
    "blobs": _blobs,
    "noise": _noise,
    "two voxels": _voxels,
    "one voxel in all": _voxel_and_all,
    "a hole": _all_but_one,
    "opposite corners": _corners,
    "opposite sides": _planes,
    "shell and core": _shell_and_core,
    "more blobs": _blobs,
}
