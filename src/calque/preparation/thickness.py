"""Thick slices: along which axis voxels are so long that blending neighbours would invent anatomy."""

from __future__ import annotations

from typing import Literal

from calque.geometry import Spacing
from calque.ops.resample import Order, Orders

_ANISOTROPY = 3.0  # nnU-Net's threshold between thick slices and volumes
_ROUNDING = 1e-5  # of spacings, which affines hold as lengths of columns


def spline_orders(
    order: Order, separate_z: bool | Literal["auto"], source: Spacing, target: Spacing
) -> Orders:
    """Orders along (z, y, x) for resampling from one spacing to another: 0 across thick slices.

    Args:
        order: along the other axes.
        separate_z: see `Plan.separate_z`; "auto" is nnU-Net's rule (`resample_data_or_seg_to_shape`).
        source: mm (z, y, x).
        target: mm (z, y, x).
    """
    thick = 0 if separate_z is True else None
    if separate_z == "auto":
        anisotropic = [spacing for spacing in (source, target) if max(spacing) / min(spacing) > _ANISOTROPY]
        thick = _longest(anisotropic[0]) if anisotropic else None
    z, y, x = (0 if axis == thick else order for axis in range(3))
    return z, y, x


def _longest(spacing: Spacing) -> int | None:
    """The axis of the longest voxels; None where two are as long."""
    longest = [axis for axis in range(3) if spacing[axis] > max(spacing) * (1 - _ROUNDING)]
    return longest[0] if len(longest) == 1 else None
