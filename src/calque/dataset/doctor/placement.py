"""Does a mask lie where its image shows what the other masks of the cohort lie on?

Each case keeps, for every class, the mean of a few simple features (intensity, its average over small and
larger surroundings, local contrast, place in the image) under its mask, just around it, and under the same
mask flipped and moved. From all cases together comes one linear discriminant (Fisher 1936,
doi:10.1111/j.1469-1809.1936.tb02137.x) of each class against the background and against its own surroundings.
A mask is suspect where it scores far below the cohort and where a flipped or moved copy would score better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Grid, Reorientation

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

ENOUGH = 20
"""Fewer cases than this cannot tell what is usual."""

SUSPECT = -6.0
"""Robust standard deviations below the cohort, with those below the best copy of the mask added."""

_VOXELS = 60_000
_POINTS = 256
_CHANNELS = 3
_CLASSES = 3
_SHIFT = 0.2
_PER_CHANNEL = 4
_FLIPS = tuple(product((False, True), repeat=3))
_SHIFTS = tuple((axis, by) for axis in range(3) for by in (-_SHIFT, _SHIFT))


@dataclass(frozen=True, eq=False)
class Placement:
    """What the image shows under one mask.

    Args:
        classes: value -> (copy, 2, feature): means under the mask and around it; copy 0 is the mask itself,
            then come its flips and shifts; NaN where a copy has left the image.
        background: (feature,), means outside the mask.
        scatter: (feature, feature), covariance within the classes and the background.
        void: the part of the mask that lies where the image has its lowest value.
    """

    classes: dict[int, NDArray[np.float32]]
    background: NDArray[np.float32]
    scatter: NDArray[np.float32]
    void: float


def place(image: NDArray[np.generic], mask: NDArray[np.integer], grid: Grid) -> Placement | None:
    """Measure (channel, z, y, x) under (z, y, x); None where mask or image is the same all over."""
    change = Reorientation.between(grid, "SPL")
    step = tuple(_steps(change.grid(grid).shape))
    small = _different(change.apply(image[:_CHANNELS])[(slice(None), *step)])
    marked = change.apply(mask)[step]
    values = np.unique(marked)
    outside = np.flatnonzero(marked == 0)
    if not outside.size or not values.any():
        return None
    features = _features(small)
    inside = marked != 0
    if all(channel.min() == channel.max() for channel in small):
        return None
    lowest = np.stack([channel == channel.min() for channel in small]).all(axis=0)
    sizes = Counter({int(v): int(np.count_nonzero(marked == v)) for v in values if v})
    backdrop = _sample(features, _thinned(outside, 4 * _POINTS), marked.shape)
    clouds, classes = [backdrop], {}
    for value, _ in sizes.most_common(_CLASSES):
        classes[value], cloud = _copies(features, marked == value)
        clouds.append(cloud)
    return Placement(
        classes=classes,
        background=backdrop.mean(axis=1).astype(np.float32),
        scatter=np.mean([_covariance(cloud) for cloud in clouds], axis=0).astype(np.float32),
        void=float(np.count_nonzero(lowest & inside) / np.count_nonzero(inside)),
    )


def suspicion(cases: Sequence[Placement]) -> Floats:
    """(case,): how far each mask lies below what is usual; see `SUSPECT`. All 0 below `ENOUGH` cases.

    It is a case's distance from the median score, in robust standard deviations, plus how much better the
    best of the copies scores, in the same unit. Medians keep a tenth of wrong masks from mattering.
    """
    width = Counter(len(case.background) for case in cases).most_common(1)
    usable = [k for k, case in enumerate(cases) if len(case.background) == width[0][0]] if width else []
    result = np.zeros(len(cases))
    have = Counter(value for k in usable for value in cases[k].classes)
    values = [value for value, count in have.most_common(_CLASSES) if count >= max(ENOUGH, len(usable) / 2)]
    if len(usable) < ENOUGH or not values:
        return result
    scores = _scores([cases[k] for k in usable], values)
    own = scores[:, 0]
    known = np.isfinite(own)
    below = np.where(known, own - np.median(own[known]), 0.0) / _deviation(own[known])
    behind = np.where(known, own - np.nanmax(np.where(known[:, None], scores, 0.0), axis=1), 0.0)
    result[usable] = below + np.minimum(behind / _deviation(own[known]), 0.0)
    return result


def _scores(cases: Sequence[Placement], values: Sequence[int]) -> Floats:
    """(case, copy): against the background plus against the surroundings, each in robust deviations."""
    nothing = np.full_like(next(iter(cases[0].classes.values())), np.nan)
    means = np.array([[case.classes.get(v, nothing) for v in values] for case in cases], dtype=np.float64)
    background = np.array([case.background for case in cases], dtype=np.float64)
    scatter: Floats = np.asarray(np.mean([case.scatter for case in cases], axis=0, dtype=np.float64))
    usual: Floats = np.asarray(np.nanmedian(means[:, :, 0], axis=0))
    rest: Floats = np.asarray(np.median(background, axis=0))
    for k in range(len(values)):
        own = means[:, k, 0, 0]
        scatter = scatter + np.cov(own[np.isfinite(own).all(axis=1)].T) / len(values)
    local = (means.shape[-1] - 6) // _PER_CHANNEL * _PER_CHANNEL
    far = _direction(scatter, usual[:, 0] - rest)
    near = _direction(scatter[:local, :local], (usual[:, 0] - usual[:, 1])[:, :local])
    middle = (usual[:, 0] + rest) / 2
    away = _over_classes(np.einsum("nkcf,kf->nkc", means[:, :, :, 0] - middle[None, :, None], far))
    contrast = means[:, :, :, 0, :local] - means[:, :, :, 1, :local]
    beside = _over_classes(np.einsum("nkcf,kf->nkc", contrast, near))
    return away + beside


def _direction(scatter: Floats, gap: Floats) -> Floats:
    """Fisher's discriminant (class, feature), lightly regularised."""
    return np.asarray(np.linalg.solve(scatter + 1e-3 * np.eye(len(scatter)), gap.T).T)


def _over_classes(scores: Floats) -> Floats:
    """Mean of (case, class, copy) over the classes that a case has; NaN where it has none.

    Each class is first put on its own scale: its median and robust deviation over the masks themselves.
    """
    own = scores[:, :, 0]
    scale = np.array([_deviation(column) for column in own.T])
    scores = (scores - np.nanmedian(own, axis=0)[:, None]) / scale[:, None]
    known = np.isfinite(scores)
    count = known.sum(axis=1)
    total = np.where(known, scores, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _deviation(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return max(1.4826 * float(np.median(np.abs(known - np.median(known)))), 1e-6)


def _steps(shape: Sequence[int]) -> list[slice]:
    """Every n-th voxel along each axis, such that few enough are left."""
    step = 1
    while np.prod([-(-n // step) for n in shape]) > _VOXELS:
        step += 1
    return [slice(None, None, step) for _ in shape]


def _different(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """The first channel alone where all are equal: a grey picture stored in colours."""
    return image[:1] if (image == image[:1]).all() else image


def _features(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """(feature, z, y, x): per channel the intensity, two local means and the local contrast."""
    from scipy import ndimage  # slow to import, and seldom needed

    found = []
    for channel in image:
        values = np.nan_to_num(channel.astype(np.float32), posinf=0.0, neginf=0.0)
        flat = values.reshape(-1)
        thin = flat[:: max(1, flat.size // 8192)]
        low, middle, high = np.percentile(thin, (10, 50, 90))
        values = np.clip((values - middle) / max(high - low, 1e-6), -2, 2)
        near, wide = (ndimage.uniform_filter(values, size) for size in (3, 7))
        found += [values, near, wide, np.abs(values - near)]
    return np.stack(found)


def _copies(
    features: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(copy, 2, feature) means of the mask and its ring, and (feature, point) of the mask."""
    from scipy import ndimage  # slow to import, and seldom needed

    ring = ndimage.maximum_filter(mask, size=[min(5, n) for n in mask.shape]) & ~mask
    points = [_indices(_thinned(np.flatnonzero(part), _POINTS), mask.shape) for part in (mask, ring)]
    found = np.stack([_means(features, at, mask.shape) for at in points], axis=1)
    return found, _at(features, points[0], mask.shape)


def _means(features: NDArray[np.float32], at: NDArray[np.intp], shape: tuple[int, ...]) -> Floats32:
    """(copy, feature): means at each flip and shift of (3, point); NaN where a copy has left the image."""
    size = np.array(shape)
    flipped = np.where(np.array(_FLIPS)[:, :, None], size[:, None] - 1 - at, at)  # (flip, 3, point)
    by = np.zeros((len(_SHIFTS), 3, 1), dtype=np.intp)
    for k, (axis, share) in enumerate(_SHIFTS):
        by[k, axis] = round(share * shape[axis])
    moved = np.concatenate([flipped, at + by])
    stays = ((moved >= 0) & (moved < size[:, None])).all(axis=1)  # (copy, point)
    copies, points = stays.shape
    inside = np.clip(moved, 0, size[:, None] - 1).transpose(1, 0, 2).reshape(3, -1)
    values = _at(features, inside, shape).reshape(-1, copies, points)
    number = stays.sum(axis=1)
    with np.errstate(invalid="ignore"):  # none: 0 / 0
        means = (values * stays).sum(axis=2) / number
    return np.asarray(means.T, dtype=np.float32)


def _sample(
    features: NDArray[np.float32], flat: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    return _at(features, _indices(flat, shape), shape)


def _at(features: NDArray[np.float32], at: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(feature, point): values at (3, point), and the place in the image from -1 to 1 with its square."""
    place = (at + 0.5) / (np.array(shape)[:, None] / 2) - 1
    values = features.reshape(len(features), -1).take(np.ravel_multi_index(tuple(at), shape), axis=1)
    return np.concatenate([values, place, place**2], dtype=np.float32, casting="same_kind")


def _indices(flat: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.stack(np.unravel_index(flat, shape))


def _thinned(flat: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """At most about `count` of them, evenly."""
    return flat[:: max(1, len(flat) // count)]


def _covariance(cloud: NDArray[np.float32]) -> Floats:
    return np.cov(cloud) if cloud.shape[1] > 1 else np.zeros((len(cloud), len(cloud)))
