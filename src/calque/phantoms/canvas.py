"""Soft shapes in a deformed space, painted with partial volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from calque.geometry import Shape

Field = NDArray[np.float32]
"""(z, y, x), one real number for every voxel."""

_WAVES = 4  # cosines along each axis of a smooth field


def smooth_field(shape: Shape, generator: np.random.Generator, waves: int = _WAVES) -> Field:
    """A random sum of slow cosines along (z, y, x), about -1 to 1."""
    decay = 1.0 / (1.0 + np.arange(waves))
    weights = generator.normal(size=(waves, waves, waves)) * np.einsum("i,j,k->ijk", decay, decay, decay)
    field = weights
    for n in shape:  # one axis at a time, from the front; the new axis goes to the back
        phase = generator.uniform(0, np.pi, waves)
        basis = np.cos(np.pi * np.arange(waves) * ((np.arange(n)[:, None] + 0.5) / n) + phase)
        field = np.tensordot(field, basis, axes=(0, 1))
    largest = float(np.abs(field).max())
    return np.asarray(field / max(largest, 1e-6), dtype=np.float32)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid in the unit frame, in which each axis of the field of view runs from -1 to 1.

    Args:
        centre: (z, y, x).
        radii: along (z, y, x).
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def jittered(self, generator: np.random.Generator, shift: float = 0.03, growth: float = 0.12) -> Self:
        """Moved a little and scaled a little, as patients differ."""
        z, y, x = (c + s for c, s in zip(self.centre, generator.uniform(-shift, shift, 3), strict=True))
        a, b, c = (
            r * g for r, g in zip(self.radii, generator.uniform(1 - growth, 1 + growth, 3), strict=True)
        )
        return type(self)((z, y, x), (a, b, c))


class Canvas:
    """Intensities and class values of a scan in the making.

    Args:
        shape: (z, y, x).
        background: the intensity of air.
        generator: bends the space in which blobs are drawn.
        bend: the largest displacement, as a share of half the field of view.
    """

    def __init__(self, shape: Shape, background: float, generator: np.random.Generator, bend: float) -> None:
        self.shape = shape
        self.intensity = np.full(shape, background, dtype=np.float32)
        self.values = np.zeros(shape, dtype=np.uint8)
        lines = [(2 * np.arange(n, dtype=np.float32) + 1) / n - 1 for n in shape]
        straight = np.meshgrid(*lines, indexing="ij", sparse=True)
        self._coordinates = [line + bend * smooth_field(shape, generator) for line in straight]

    def occupancy(self, blob: Blob) -> Field:
        """How much of each voxel the blob fills, 0 to 1; the edge is about one voxel wide."""
        squared = np.zeros(self.shape, dtype=np.float32)
        for axis, (centre, radius) in enumerate(zip(blob.centre, blob.radii, strict=True)):
            squared += ((self._coordinates[axis] - np.float32(centre)) / np.float32(radius)) ** 2
        across = min((r * n / 2 for r, n in zip(blob.radii, self.shape, strict=True) if n > 1), default=1.0)
        return np.asarray(np.clip(0.5 + (1 - np.sqrt(squared)) * np.float32(across), 0, 1), np.float32)

    def paint(self, occupancy: Field, intensity: float, value: int | None = None) -> None:
        """Blend `intensity` in; where more than half of a voxel is filled it takes the class `value`."""
        self.intensity += occupancy * (np.float32(intensity) - self.intensity)
        if value is not None:
            self.values[occupancy > 0.5] = value

    def noise(self, std: float, generator: np.random.Generator, sigma: float = 0.5) -> Field:
        """Grain of standard deviation `std`, a little correlated as reconstruction makes it."""
        white = generator.standard_normal(self.shape, dtype=np.float32)
        grain = np.asarray(gaussian_filter(white, [sigma if n > 1 else 0 for n in self.shape]), np.float32)
        return np.asarray(grain * np.float32(std / max(float(grain.std()), 1e-6)), np.float32)


def at_least(blob: Blob, shape: Sequence[int], voxels: float) -> Blob:
    """The blob, made large enough to have a radius of `voxels` along every axis."""
    a, b, c = (max(r, 2 * voxels / n) for r, n in zip(blob.radii, shape, strict=True))
    return Blob(blob.centre, (a, b, c))
