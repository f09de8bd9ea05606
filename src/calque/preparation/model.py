"""Prepared cases, and the way back to the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Box, Grid


@dataclass(frozen=True)
class Placement:
    """How a prepared array lies in its image: enough to go back, exactly.

    The image is brought to the plan's orientation, cropped to `box` there, and resized to `prepared`.

    Args:
        original: the image's own grid.
        reoriented: `original` with its axes permuted and flipped.
        box: what was kept of `reoriented`.
        prepared: the grid of the prepared array.
    """

    original: Grid
    reoriented: Grid
    box: Box
    prepared: Grid


@dataclass(frozen=True, eq=False)
class Prepared:
    """What networks see.

    Args:
        array: (channel, z, y, x), float32, normalised.
        placement: the way back.
    """

    array: NDArray[np.float32]
    placement: Placement


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case of the store; arrays are memory-mapped, read-only.

    Args:
        id: the case.
        image: (channel, z, y, x), float32 or float16, normalised.
        labels: (z, y, x), class numbers (0 background, 1.., `Labels.outputs` for ignore).
        foreground: class number -> (n, 3) int32 indices (z, y, x) of some of its voxels, to aim patches at.
        placement: the way back.
        previous: (z, y, x), class numbers that a stage before gave; None: there is none.
    """

    id: str
    image: NDArray[np.floating]
    labels: NDArray[np.integer]
    foreground: dict[int, NDArray[np.int32]]
    placement: Placement
    previous: NDArray[np.integer] | None = None

    @property
    def seen(self) -> NDArray[np.floating]:
        """(channel, z, y, x): what the network is given, class numbers of a stage before last."""
        if self.previous is None:
            return self.image
        return np.concatenate([self.image, self.previous[None].astype(self.image.dtype)])
