"""A stained smear as a microscope would show it: a volume with one slice and three channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Grid, Shape, Spacing
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.phantoms.canvas import Blob, Canvas, smooth_field

LABELS = Labels.from_names({"cytoplasm": 1, "nucleus": 2})
CHANNELS = ("red", "green", "blue")

_GROUND, _RED_CELL, _CYTOPLASM, _NUCLEUS = (238, 226, 218), (226, 165, 158), (178, 150, 204), (104, 52, 140)


def picture_2d(
    generator: np.random.Generator, shape: Shape = (1, 128, 128), spacing: Spacing = (1.0, 1.0, 1.0)
) -> tuple[Image, LabelMap]:
    """Draw one smear: (3, 1, y, x) uint8 and the classes of `LABELS`.

    Args:
        generator: every smear that it draws is another one.
        shape: voxels (z, y, x); where z is above 1 every slice shows a cut through the same cells.
        spacing: along (z, y, x); microscopes have no millimetres of their own.
    """
    canvas = Canvas(shape, 0, generator, bend=0.03)
    stain = np.broadcast_to(np.asarray(_GROUND, np.float32), (*shape, 3)).copy()
    for _ in range(int(generator.integers(6, 10))):
        _blend(stain, canvas, _cell(generator, 0.16, 0.2), _RED_CELL)
    for _ in range(int(generator.integers(1, 4))):
        cell = _cell(generator, 0.24, 0.34)
        shift = generator.uniform(-0.2, 0.2, 2)
        y, x = (c + s * r for c, s, r in zip(cell.centre[1:], shift, cell.radii[1:], strict=True))
        nucleus = Blob((0.0, y, x), (cell.radii[0] * 0.6, cell.radii[1] * 0.55, cell.radii[2] * 0.6))
        for blob, colour, value in ((cell, _CYTOPLASM, 1), (nucleus, _NUCLEUS, 2)):
            _blend(stain, canvas, blob, colour, value)
    light = 1 + 0.06 * smooth_field(shape, generator, waves=2)
    grain = np.stack([canvas.noise(5, generator) for _ in CHANNELS])
    pixels = np.moveaxis(stain * light[..., None], -1, 0) + grain
    grid = Grid.from_parts(shape, spacing)
    image = Image(np.rint(pixels).clip(0, 255).astype(np.uint8), grid, CHANNELS)
    return image, LabelMap(canvas.values, grid, LABELS)


def _cell(generator: np.random.Generator, smallest: float, largest: float) -> Blob:
    y, x = generator.uniform(-0.75, 0.75, 2)
    b, c = generator.uniform(smallest, largest, 2)
    return Blob((0.0, y, x), (1.5, b, c))


def _blend(
    stain: NDArray[np.float32],
    canvas: Canvas,
    blob: Blob,
    colour: tuple[int, int, int],
    value: int | None = None,
) -> None:
    occupancy = canvas.occupancy(blob)
    stain += occupancy[..., None] * (np.asarray(colour, np.float32) - stain)
    canvas.paint(occupancy, 0, value)
