"""Networks whose answer is known, and images on any grid."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from calque.geometry import Grid
from calque.image import Image
from calque.planning import Normalisation, Plan

from ..preparation.synthetic import make_plan


class Threshold(nn.Module):
    """Intensity of the first channel: below 0.5 background, below 1.5 class 1, else class 2."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = x[:, :1] + self.shift
        return [torch.cat([torch.zeros_like(first), first - 0.5, 2 * first - 2.0], dim=1)]


def threshold_plan(channels: tuple[str, ...] = ("MR",), **changes) -> Plan:
    fields = {
        "normalisation": (Normalisation(scheme="none"),) * len(channels),
        "crop": "none",
        "image_order": 1,
    }
    plan = make_plan(channels, **{**fields, **changes})
    if "network" in changes:
        return plan
    # wider than twice its outputs: nobody asks a fake for its last layer
    return plan.model_copy(update={"network": plan.network.model_copy(update={"features": (8, 8)})})


def random_grid(rng: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Grid:
    """Any rotation, axes in any order, left- or right-handed."""
    direction = Rotation.random(random_state=rng).as_matrix() * rng.choice([-1, 1], size=3)
    return Grid.from_parts(shape, spacing, rng.uniform(-200, 200, 3), direction)


def ball(grid: Grid, centre_mm: np.ndarray, radius: float) -> np.ndarray:
    """(z, y, x) float32, 1 inside a ball, falling to 0 over one millimetre."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid.to_world(index) - centre_mm, axis=-1)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def image_on(grid: Grid, array: np.ndarray) -> Image:
    array = array if array.ndim == 4 else array[None]
    return Image(array, grid, tuple(f"c{k}" for k in range(len(array))))
