"""What nnU-Net v2 does around its network, said again in the plainest numpy and scipy: an oracle.

After `DefaultPreprocessor.run_case_npy`, `resample_data_or_seg` and
`convert_predicted_logits_to_segmentation_with_correct_shape`; skimage's resize(mode="edge",
anti_aliasing=False) is scipy's zoom(mode="nearest", grid_mode=True), clipped to the range of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Sizes = Sequence[float]


def preprocess(array: Array, spacing: Sizes, part: dict[str, Any], transpose: Sequence[int]) -> Array:
    """(c, z, y, x) as read -> as the network sees it; "ct" is not among the schemes here."""
    array = array.transpose(0, *(1 + axis for axis in transpose))
    spacing = [spacing[axis] for axis in transpose]
    mask = ndimage.binary_fill_holes((array != 0).any(axis=0))
    box = ndimage.find_objects(mask.astype(int))[0]
    array, mask = array[(slice(None), *box)].astype(np.float32), mask[box]
    for channel, masked in zip(array, part["use_mask_for_norm"], strict=True):
        where = mask if masked else np.ones_like(mask)
        channel[where] = (channel[where] - channel[where].mean()) / max(channel[where].std(), 1e-8)
    target = _target(part["spacing"], spacing)
    shape = [max(1, round(a / b * n)) for a, b, n in zip(spacing, target, array.shape[1:], strict=True)]
    return resample(array.astype(np.float64), shape, (spacing, target), 3)


def postprocess(
    logits: Array, shape: Sequence[int], spacing: Sizes, part: dict[str, Any], transpose: Sequence[int]
) -> NDArray[np.int64]:
    """Logits of an image without zeros -> its label map (z, y, x), as stored."""
    spacing = [spacing[axis] for axis in transpose]
    shape = [shape[axis] for axis in transpose]
    labels = resample(logits, shape, (_target(part["spacing"], spacing), spacing), 1).argmax(axis=0)
    return labels.transpose(np.argsort(transpose))


def resample(array: Array, shape: Sequence[int], spacings: tuple[Sizes, Sizes], order: int) -> Array:
    """Each channel; slices on their own, and the nearest of them, where voxels are thick."""
    if list(array.shape[1:]) == list(shape):
        return array
    axis = _thick(spacings)
    if axis is None:
        return np.stack([_resize(channel, shape, order) for channel in array])
    result = []
    for channel in array:
        flat = [n for k, n in enumerate(shape) if k != axis]
        slices = [_resize(part, flat, order) for part in np.moveaxis(channel, axis, 0)]
        n, m = shape[axis], channel.shape[axis]
        nearest = np.floor((np.arange(n) + 0.5) * m / n - 0.5 + 0.5 + 1e-9).astype(int).clip(0, m - 1)
        result.append(np.moveaxis(np.stack(slices)[nearest], 0, axis))
    return np.stack(result)


def _resize(array: Array, shape: Sequence[int], order: int) -> Array:
    zoom = [n / m for n, m in zip(shape, array.shape, strict=True)]
    made = ndimage.zoom(array, zoom, order=order, mode="nearest", grid_mode=True)
    return np.clip(made, array.min(), array.max())


def _thick(spacings: tuple[Sizes, Sizes]) -> int | None:
    for spacing in spacings:
        if max(spacing) / min(spacing) > 3:
            longest = [k for k in range(3) if spacing[k] == max(spacing)]
            return longest[0] if len(longest) == 1 else None
    return None


def _target(target: Sizes, spacing: Sizes) -> Sizes:
    return [spacing[0], *target] if len(target) == 2 else target
