"""An abdomen as CT would show it, with lesions in the liver."""

from __future__ import annotations

import numpy as np

from calque.geometry import Grid, Shape, Spacing
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.phantoms.canvas import Blob, Canvas, Field, at_least

LABELS = Labels.from_names({"liver": 1, "lesion": 2, "kidneys": 3, "spleen": 4, "spine": 5})
CHANNELS = ("CT",)

# In the unit frame (z to Superior, y to Posterior, x to Left), so the liver lies on the patient's right.
_BODY = Blob((0.0, 0.0, 0.0), (3.0, 0.72, 0.9))
_LIVER = Blob((0.25, -0.08, -0.4), (0.55, 0.42, 0.36))
_KIDNEYS = (Blob((-0.35, 0.3, -0.38), (0.3, 0.14, 0.13)), Blob((-0.22, 0.32, 0.36), (0.32, 0.14, 0.12)))
_SPLEEN = Blob((0.35, 0.2, 0.6), (0.32, 0.26, 0.14))
_SPINE = Blob((0.0, 0.45, 0.0), (4.0, 0.15, 0.13))
_CANAL = Blob((0.0, 0.53, 0.0), (4.0, 0.045, 0.05))
_AORTA = Blob((0.0, 0.24, 0.07), (4.0, 0.055, 0.05))
_STOMACH = Blob((0.3, -0.32, 0.3), (0.3, 0.17, 0.24))
_GAS = Blob((0.34, -0.4, 0.28), (0.16, 0.07, 0.12))


def ct_abdomen(
    generator: np.random.Generator, shape: Shape = (64, 96, 96), spacing: Spacing = (5.0, 3.5, 3.5)
) -> tuple[Image, LabelMap]:
    """Draw one patient: (1, z, y, x) int16 Hounsfield units and the classes of `LABELS`.

    Args:
        generator: every patient that it draws is another one.
        shape: voxels (z, y, x).
        spacing: mm along (z, y, x); the patient fills the field of view whatever it is.
    """
    canvas = Canvas(shape, -1000, generator, bend=0.06)
    body = _BODY.jittered(generator, growth=0.05)
    thinner = Blob(body.centre, (body.radii[0], body.radii[1] - 0.09, body.radii[2] - 0.08))
    canvas.paint(canvas.occupancy(body), -95)
    canvas.paint(canvas.occupancy(thinner), 45)
    _bowel(canvas, generator)
    canvas.paint(canvas.occupancy(_STOMACH.jittered(generator)), 15)
    canvas.paint(canvas.occupancy(_GAS.jittered(generator)), -850)
    _liver(canvas, generator)
    canvas.paint(canvas.occupancy(_SPLEEN.jittered(generator)), 125, value=4)
    for kidney in _KIDNEYS:
        shell = kidney.jittered(generator)
        a, b, c = shell.radii
        canvas.paint(canvas.occupancy(shell), 185, value=3)
        canvas.paint(canvas.occupancy(Blob(shell.centre, (0.5 * a, 0.45 * b, 0.45 * c))), 150)
    canvas.paint(canvas.occupancy(_AORTA.jittered(generator)), 210)
    canvas.paint(canvas.occupancy(_SPINE.jittered(generator)), 330, value=5)
    canvas.paint(canvas.occupancy(_CANAL), 25)
    hounsfield = canvas.intensity + canvas.noise(14, generator)
    grid = Grid.from_parts(shape, spacing)
    image = Image(np.rint(hounsfield).clip(-1024, 3071).astype(np.int16)[None], grid, CHANNELS)
    return image, LabelMap(canvas.values, grid, LABELS)


def _bowel(canvas: Canvas, generator: np.random.Generator) -> None:
    for _ in range(12):
        z, y, x = generator.uniform((-0.95, -0.45, -0.5), (-0.05, 0.15, 0.5))
        a, b, c = generator.uniform((0.08, 0.06, 0.06), (0.2, 0.12, 0.12))
        canvas.paint(canvas.occupancy(Blob((z, y, x), (a, b, c))), generator.choice([-90.0, 10.0, 30.0]))


def _liver(canvas: Canvas, generator: np.random.Generator) -> None:
    """The liver, and one to four lesions that lie wholly inside."""
    blob = _LIVER.jittered(generator)
    liver: Field = canvas.occupancy(blob)
    canvas.paint(liver, 110, value=1)
    for _ in range(int(generator.integers(1, 5))):
        direction = generator.normal(size=3)
        offset = direction / np.linalg.norm(direction) * generator.uniform(0, 0.6)
        z, y, x = (c + o * r for c, o, r in zip(blob.centre, offset, blob.radii, strict=True))
        a, b, c = generator.uniform(0.06, 0.12, 3)
        lesion = at_least(Blob((z, y, x), (a, b, c)), canvas.shape, voxels=1.8)
        canvas.paint(np.minimum(canvas.occupancy(lesion), liver), 45, value=2)
