"""Centrelines of masks, by thinning."""

from __future__ import annotations

import numpy as np

from calque.errors import GeometryError, MissingExtraError
from calque.ops.nearest import Mask


def skeleton(mask: Mask) -> Mask:
    """The centreline of a (z, y, x) mask, one voxel wide.

    Thinning after Lee et al. 1994 (doi:10.1006/cgip.1994.1042) in 3-D and after Zhang and Suen 1984 in 2-D,
    that is where one axis has a single voxel; a line of voxels is its own centreline.

    Raises:
        GeometryError: not three axes.
        MissingExtraError: scikit-image is not installed.
    """
    if mask.ndim != 3:
        raise GeometryError("A centreline is found in (z, y, x)", got=mask.shape)
    try:
        from skimage.morphology import skeletonize
    except ImportError:
        raise MissingExtraError("scikit-image", "shape") from None
    flat = tuple(axis for axis, n in enumerate(mask.shape) if n == 1)
    if len(flat) > 1:
        return mask.copy()
    return np.asarray(skeletonize(mask.squeeze(flat)) > 0).reshape(mask.shape)
