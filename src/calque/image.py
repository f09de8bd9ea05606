"""Voxels with their grid: `Image` and `LabelMap`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, LabelError
from calque.geometry import Box, Grid, Reorientation
from calque.labels import Labels


@dataclass(frozen=True, eq=False)
class Image:
    """A scan.

    Args:
        array: (channel, z, y, x), any real type.
        grid: where its voxels are.
        channels: a name per channel, such as ("T1", "FLAIR").
        placed: whether the grid is the patient's; a picture's is its own plane (docs/decisions/pictures.md).
    """

    array: NDArray[np.generic]
    grid: Grid
    channels: tuple[str, ...]
    placed: bool = True

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.grid.shape:
            raise GeometryError(
                "An image is (channel, z, y, x) on its grid",
                expected=("channels", *self.grid.shape),
                got=self.array.shape,
            )
        if len(self.channels) != self.array.shape[0]:
            raise GeometryError(
                "Each channel has one name", expected=f"{self.array.shape[0]} names", got=self.channels
            )

    def cropped(self, box: Box) -> Image:
        """The part inside `box`, which must lie within; a view."""
        array = self.array[(slice(None), *box.slices)]
        return Image(array, self.grid.cropped(box), self.channels, self.placed)

    def reoriented(self, change: Reorientation) -> Image:
        """The same voxels at the same positions, array axes permuted and flipped; a view."""
        return Image(change.apply(self.array), change.grid(self.grid), self.channels, self.placed)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A class for every voxel.

    Args:
        array: (z, y, x), integers: values of `labels`, 0 for background.
        grid: where its voxels are.
        labels: what the values mean.
    """

    array: NDArray[np.integer]
    grid: Grid
    labels: Labels

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise GeometryError(
                "A label map is (z, y, x) on its grid", expected=self.grid.shape, got=self.array.shape
            )
        if not np.issubdtype(self.array.dtype, np.integer):
            raise LabelError("A label map holds integers", got=self.array.dtype)

    def cropped(self, box: Box) -> LabelMap:
        """The part inside `box`, which must lie within; a view."""
        return LabelMap(self.array[box.slices], self.grid.cropped(box), self.labels)

    def reoriented(self, change: Reorientation) -> LabelMap:
        """The same voxels at the same positions, array axes permuted and flipped; a view."""
        return LabelMap(change.apply(self.array), change.grid(self.grid), self.labels)

    def volume_ml(self, value: int) -> float:
        """Millilitres of the class with this value."""
        return float(np.count_nonzero(self.array == value) * self.grid.voxel_volume / 1000.0)
