"""A head as MR would show it: tissues, a bias field, and an intensity scale of its own."""

from __future__ import annotations

import numpy as np

from calque.geometry import Grid, Shape, Spacing
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.phantoms.canvas import Blob, Canvas, smooth_field

LABELS = Labels.from_names({"grey matter": 1, "white matter": 2, "ventricles": 3, "basal ganglia": 4})
CHANNELS = ("T1",)

_HEAD = Blob((-0.05, 0.0, 0.0), (0.95, 0.88, 0.78))
_SKULL = Blob((0.0, 0.0, 0.0), (0.84, 0.78, 0.68))
_BRAIN = Blob((0.02, 0.0, 0.0), (0.74, 0.7, 0.6))
_WHITE = (Blob((0.05, 0.02, -0.25), (0.52, 0.55, 0.26)), Blob((0.05, 0.02, 0.25), (0.52, 0.5, 0.24)))
_VENTRICLES = (Blob((0.1, 0.05, -0.1), (0.14, 0.26, 0.06)), Blob((0.1, 0.0, 0.11), (0.17, 0.3, 0.075)))
_GANGLIA = (Blob((-0.05, -0.12, -0.26), (0.13, 0.16, 0.08)), Blob((-0.05, -0.12, 0.27), (0.12, 0.18, 0.08)))


def mr_brain(
    generator: np.random.Generator, shape: Shape = (64, 96, 96), spacing: Spacing = (2.5, 2.0, 2.0)
) -> tuple[Image, LabelMap]:
    """Draw one head: (1, z, y, x) float32 of an arbitrary scale and the classes of `LABELS`.

    Args:
        generator: every head that it draws is another one.
        shape: voxels (z, y, x).
        spacing: mm along (z, y, x); the head fills the field of view whatever it is.
    """
    canvas = Canvas(shape, 0, generator, bend=0.07)
    canvas.paint(canvas.occupancy(_HEAD.jittered(generator)), 0.75)
    canvas.paint(canvas.occupancy(_SKULL.jittered(generator, growth=0.02)), 0.12)
    canvas.paint(canvas.occupancy(_BRAIN.jittered(generator, growth=0.03)), 0.45, value=1)
    for blobs, intensity, value in ((_WHITE, 0.8, 2), (_GANGLIA, 0.6, 4), (_VENTRICLES, 0.2, 3)):
        for blob in blobs:
            canvas.paint(canvas.occupancy(blob.jittered(generator)), intensity, value=value)
    bias = np.exp(0.25 * smooth_field(shape, generator, waves=2))
    magnitude = np.hypot(  # noise of two quadrature channels: Rician, as in magnitude images
        canvas.intensity * bias + canvas.noise(0.03, generator, sigma=0.3),
        canvas.noise(0.03, generator, sigma=0.3),
    )
    scale = 10 ** generator.uniform(2, 5)
    grid = Grid.from_parts(shape, spacing)
    image = Image((scale * magnitude).astype(np.float32)[None], grid, CHANNELS)
    return image, LabelMap(canvas.values, grid, LABELS)
