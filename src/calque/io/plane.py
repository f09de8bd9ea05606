"""The geometry of pictures: their own plane, rows down and columns right.

A picture does not say where it is in a patient, so its grid is a convention: array axes (z, y, x) run along
S, P and L from the origin, which shows rows downwards and columns rightwards as every viewer does. See
docs/decisions/pictures.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, ReadError
from calque.geometry import Grid, Shape, Spacing

PIXELS: Spacing = (1.0, 1.0, 1.0)
"""The spacing of pictures that do not tell theirs."""

SCREENS = (72, 75, 90, 96, 100, 120, 144, 150, 180, 192, 200, 220, 240, 250, 300, 350, 360, 400, 600, 720,
           800, 1200, 2400, 4800)  # fmt: skip
"""Dots per inch that programs write without having measured anything: of screens and printers."""

_INCH = 25.4
_SMALLEST, _LARGEST = 2e-6, 100.0  # mm a pixel: nanometres to a decimetre
_MOST_PIXELS = 2**27

RGB = ("red", "green", "blue")


def own_grid(shape: Shape, spacing: Spacing = PIXELS) -> Grid:
    """The grid of a picture (or a stack) of this shape (z, y, x)."""
    return Grid.from_parts(shape, spacing)


def is_own_grid(grid: Grid) -> bool:
    """Whether nothing is lost when `grid` is written as shape and spacing alone."""
    return grid.isclose(own_grid(grid.shape, grid.spacing))


def require_own_grid(grid: Grid, format_name: str) -> None:
    """Refuse a grid whose position or direction a picture would lose.

    Raises:
        GeometryError: it has a position or a direction in a patient.
    """
    if not is_own_grid(grid):
        raise GeometryError(
            f"{format_name} cannot say where voxels are in a patient",
            expected="a picture: rows down, columns right, the first pixel at the origin",
            got=f"axes {grid.orientation}, from {grid.origin.round(2).tolist()} mm",
            fix="write .nii.gz",
        )


def physical(spacing: float | None) -> float | None:
    """Millimetres of a pixel where that can be meant; None for what only looks like a measurement."""
    if spacing is None or not np.isfinite(spacing) or not _SMALLEST <= spacing <= _LARGEST:
        return None
    dots = _INCH / spacing
    if any(abs(dots - screen) < 0.01 * screen for screen in SCREENS):
        return None
    return spacing


def plane_spacing(y: float | None, x: float | None) -> tuple[Spacing, bool]:
    """Spacing (z, y, x) in mm from that of a pixel, and whether it is known.

    The slice has no thickness; it counts as thick as a pixel is wide: no plan takes it for anisotropic.
    """
    y, x = physical(y), physical(x)
    if y is None or x is None:
        return PIXELS, False
    return (x, y, x), True


def require_sane_size(pixels: int, where: object) -> None:
    """Refuse what would unfold into more than can be meant: a decompression bomb.

    Raises:
        ReadError: too many pixels.
    """
    if pixels > _MOST_PIXELS:
        raise ReadError(
            "This picture is too large",
            where=where,
            expected=f"at most {_MOST_PIXELS} pixels",
            got=pixels,
            fix="cut it into parts",
        )


def without_alpha(pixels: NDArray[np.generic], opaque: float, where: object) -> NDArray[np.generic]:
    """(..., 2 or 4) -> (..., 1 or 3): grey or colours without their opacity.

    Raises:
        ReadError: some pixels are not opaque; what they show depends on the background.
    """
    if (pixels[..., -1] != opaque).any():
        raise ReadError(
            "This picture is partly transparent, so what it shows depends on the background",
            where=where,
            fix="flatten it onto a background and save it without alpha",
        )
    return pixels[..., :-1]
