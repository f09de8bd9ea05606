"""Pictures of a few validation cases, renewed at each quick validation: what the network sees by now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import atomic_path
from calque.ops.render import window
from calque.ops.sheet import render_case
from calque.planning import Plan
from calque.preparation import PreparedCase

MOST_SHOWN = 4
SIDE = 300
"""Pixels of the longest edge in a plane."""


class Looks:
    """The first few cases that it is shown are drawn: prediction filled, truth outlined, as prepared.

    They have a folder of their own: a picture beside the label maps of pictures would be taken for one.

    Args:
        folder: gets CASE.png.
        plan: channels and labels.
        attempt: writes to a path what training can go on without (`Keeper.attempt`).
    """

    def __init__(self, folder: Path, plan: Plan, attempt: Callable[[Path, Callable[[], None]], None]) -> None:
        self._folder, self._plan, self._attempt = folder, plan, attempt
        self._shown: set[str] = set()

    def __call__(self, case: PreparedCase, guess: NDArray[np.integer]) -> None:
        """Draw `guess`, class numbers (z, y, x), where the case is one of those that are shown."""
        if case.id not in self._shown and len(self._shown) == MOST_SHOWN:
            return
        self._shown.add(case.id)
        path = self._folder / f"{case.id}.png"
        self._attempt(path, partial(self._draw, case, guess, path))

    def _draw(self, case: PreparedCase, guess: NDArray[np.integer], path: Path) -> None:
        grid, labels = case.placement.prepared, self._plan.labels
        truth = np.where(case.labels < labels.outputs, case.labels, 0)
        predicted, drawn = (LabelMap(labels.to_values(a), grid, labels) for a in (guess, truth))
        picture = render_case(self._image(case, grid), predicted, size=SIDE, truth=drawn)
        with atomic_path(path) as aside:
            Pillow.fromarray(picture).save(aside, format="png")

    def _image(self, case: PreparedCase, grid: Grid) -> Image:
        """Normalised intensities; those of a picture as colours again."""
        if case.image.shape[0] == 3 and grid.shape[0] == 1:
            return Image(window(case.image), grid, self._plan.channels, placed=False)
        return Image(case.image, grid, self._plan.channels)
