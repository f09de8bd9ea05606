"""A label map on another grid."""

from __future__ import annotations

from calque.geometry import Grid
from calque.image import LabelMap


def regrid_labels(label_map: LabelMap, grid: Grid) -> LabelMap:
    """The label map on `grid`: the value of the nearest voxel; what lies outside is background.

    Args:
        label_map: (z, y, x) on its own grid, oblique or not.
        grid: the new one.
    """
    to_source = label_map.grid.index_from(grid)
    from scipy import ndimage  # slow to import, and seldom needed

    array = ndimage.affine_transform(
        label_map.array,
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=grid.shape,
        order=0,
        mode="grid-constant",  # a border voxel reaches half its width beyond its centre
    )
    return LabelMap(array.astype(label_map.array.dtype, copy=False), grid, label_map.labels)
