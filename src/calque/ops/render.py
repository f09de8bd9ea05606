"""A slice with its labels: pure functions from arrays to RGB, uint8, (row, column, 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calque.errors import GeometryError
from calque.geometry import Voxels
from calque.image import Image, LabelMap
from calque.labels import BACKGROUND, Labels

Picture = NDArray[np.uint8]
"""(row, column, 3): red, green, blue."""

_SAMPLE = 2**20  # voxels that are enough for percentiles
FONT = 13
"""Pixels of a line of text."""

WHITE = (255, 255, 255)


def window(array: NDArray[np.generic], low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    """Spread the values between two percentiles over 0 to 255; any shape. A constant array becomes 0."""
    bottom, top = value_range(array, low, high)
    return spread(array, bottom, top)


def outline(label_slice: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels (row, column) of a class with a neighbour, by an edge, of another value; the border counts."""
    padded = np.pad(label_slice, 1, constant_values=BACKGROUND)
    middle = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.logical_or.reduce([middle != other for other in neighbours])
    return np.asarray(differs & (middle != BACKGROUND))


def overlay(
    image_slice: NDArray[np.generic],
    label_slice: NDArray[np.integer],
    labels: Labels,
    alpha: float = 0.35,
    outlined: NDArray[np.integer] | None = None,
) -> Picture:
    """A slice with each class in its colour: filled, translucent, with an opaque outline.

    Args:
        image_slice: (row, column); uint8 is taken as grey values, anything else is windowed. Or
            (row, column, 3) of uint8: colours, as in a picture.
        label_slice: (row, column), values of `labels`; values that are no class are not drawn.
        labels: colours.
        alpha: opacity of the filling, 0 to 1.
        outlined: labels whose outline is drawn in place of the filling's own, such as the truth.

    Raises:
        GeometryError: the two slices differ in shape.
    """
    outlined = label_slice if outlined is None else outlined
    coloured = image_slice.ndim == 3 and image_slice.dtype == np.uint8
    if image_slice.ndim != 2 + coloured or image_slice.shape[:2] != label_slice.shape:
        raise GeometryError(
            "A slice and its labels are (row, column) of one shape",
            expected=image_slice.shape,
            got=label_slice.shape,
        )
    shown = image_slice if image_slice.dtype == np.uint8 else window(image_slice)
    picture = (shown if coloured else np.repeat(shown[..., None], 3, axis=2)).astype(np.float32)
    edge = outline(outlined)
    for label in labels.classes:
        inside = label_slice == label.value
        colour = np.asarray(label.colour, np.float32)
        picture[inside] = (1 - alpha) * picture[inside] + alpha * colour
    for label in labels.classes:
        picture[(outlined == label.value) & edge] = label.colour
    return np.asarray(picture.round().astype(np.uint8))


def overlay_slices(image: Image, label_map: LabelMap, note: str = "") -> Iterator[Picture]:
    """Each slice (k, :, :) with its classes, on the same scale of grey, with a line of text at the bottom.

    Args:
        image: on the grid of the labels; the first channel is shown, or the colours of a picture.
        label_map: what is drawn.
        note: the line; left out where it would take more than half of the width.

    Raises:
        GeometryError: the two lie on different grids.
    """
    require_one_grid(image, label_map)
    coloured = len(image.array) == 3 and image.array.dtype == np.uint8
    bounds = value_range(around_labels(image.array[0], label_map.array))
    for k, labels in enumerate(label_map.array):
        shown = np.moveaxis(image.array[:, k], 0, -1) if coloured else spread(image.array[0, k], *bounds)
        yield _with_note(overlay(np.ascontiguousarray(shown), labels, label_map.labels), note)


def require_one_grid(image: Image, label_map: LabelMap) -> None:
    """Refuse to draw labels where they are not.

    Raises:
        GeometryError: the two lie on different grids.
    """
    if not image.grid.isclose(label_map.grid):
        raise GeometryError(
            "Image and label map do not lie on the same grid",
            expected=label_map.grid.shape,
            got=image.grid.shape,
        )


def _with_note(picture: Picture, note: str) -> Picture:
    if not note or ImageFont.load_default(FONT).getlength(note) > 0.5 * picture.shape[1]:
        return picture
    return with_text(picture, {(2, picture.shape[0] - 2, "lb"): note})


def with_text(picture: Picture, texts: Mapping[tuple[float, float, str], str]) -> Picture:
    """White text with a black rim, at (x, y, anchor as Pillow names them)."""
    canvas = Pillow.fromarray(picture)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT)
    for (x, y, anchor), text in texts.items():
        draw.text((x, y), text, fill=WHITE, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(canvas)


def resize(array: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey (row, column) or colours (row, column, 3) to another shape, smoothly."""
    rows, columns = shape
    return np.asarray(Pillow.fromarray(array).resize((columns, rows), Pillow.Resampling.BILINEAR))


def resize_labels(array: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.integer]:
    """Labels (row, column) to another shape, by nearest neighbour."""
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(shape, array.shape, strict=True))
    return array[np.ix_(rows, columns)]


def around_labels(grey: NDArray[Voxels], labels: NDArray[np.integer]) -> NDArray[Voxels]:
    """The box of the labels: grey values are spread over what is there, not over air, table and metal."""
    places = [np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if len(places[0]) == 0:
        return grey
    return grey[tuple(slice(place[0], place[-1] + 1) for place in places)]


def value_range(array: NDArray[np.generic], low: float = 0.5, high: float = 99.5) -> tuple[float, float]:
    """The values between two percentiles; (0, 0) where none is finite."""
    flat = array.ravel()[:: max(1, array.size // _SAMPLE)].astype(np.float64)
    finite = flat[np.isfinite(flat)]
    if finite.size == 0:
        return 0.0, 0.0
    bottom, top = np.percentile(finite, (low, high))
    return float(bottom), float(top)


def spread(array: NDArray[np.generic], bottom: float, top: float) -> NDArray[np.uint8]:
    """From `bottom` to `top` over 0 to 255; any shape."""
    if top <= bottom:
        return np.zeros(array.shape, np.uint8)
    share = (np.nan_to_num(array.astype(np.float64), nan=bottom) - bottom) / (top - bottom)
    return np.asarray((255 * share.clip(0, 1)).round().astype(np.uint8))
