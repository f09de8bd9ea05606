"""Pictures of slices with their labels: pure functions from arrays to RGB, uint8, (row, column, 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calque.errors import GeometryError
from calque.geometry import Voxels
from calque.image import Image, LabelMap
from calque.labels import BACKGROUND, Label, Labels

Picture = NDArray[np.uint8]
"""(row, column, 3): red, green, blue."""

_SAMPLE = 2**20  # voxels that are enough for percentiles
_GAP = 6
_FONT = 13
_WHITE = (255, 255, 255)


class View(NamedTuple):
    """A plane of an array in orientation SPL (axes to Superior, Posterior, Left), as radiologists hang it.

    Args:
        axis: of the array, across the plane.
        flip: whether rows run against the array, so that Superior is on top.
        letters: patient directions at the top, bottom, left and right.
    """

    axis: int
    flip: bool
    letters: str


AXIAL = View(0, False, "APRL")
CORONAL = View(1, True, "SIRL")
SAGITTAL = View(2, True, "SIAP")


def window(array: NDArray[np.generic], low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    """Spread the values between two percentiles over 0 to 255; any shape. A constant array becomes 0."""
    bottom, top = _range(array, low, high)
    return _spread(array, bottom, top)


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
    _require_one_grid(image, label_map)
    coloured = len(image.array) == 3 and image.array.dtype == np.uint8
    bounds = _range(_around(image.array[0], label_map.array), 0.5, 99.5)
    for k, labels in enumerate(label_map.array):
        shown = np.moveaxis(image.array[:, k], 0, -1) if coloured else _spread(image.array[0, k], *bounds)
        yield _with_note(overlay(np.ascontiguousarray(shown), labels, label_map.labels), note)


def _require_one_grid(image: Image, label_map: LabelMap) -> None:
    if not image.grid.isclose(label_map.grid):
        raise GeometryError(
            "Image and label map do not lie on the same grid",
            expected=label_map.grid.shape,
            got=image.grid.shape,
        )


def _with_note(picture: Picture, note: str) -> Picture:
    font = ImageFont.load_default(_FONT)
    if not note or font.getlength(note) > 0.5 * picture.shape[1]:
        return picture
    canvas = Pillow.fromarray(picture)
    place = (2, picture.shape[0] - 2)
    draw = ImageDraw.Draw(canvas)
    draw.text(place, note, fill=_WHITE, font=font, anchor="lb", stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(canvas)


def resize(array: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey (row, column) or colours (row, column, 3) to another shape, smoothly."""
    rows, columns = shape
    return np.asarray(Pillow.fromarray(array).resize((columns, rows), Pillow.Resampling.BILINEAR))


def resize_labels(array: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.integer]:
    """Labels (row, column) to another shape, by nearest neighbour."""
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(shape, array.shape, strict=True))
    return array[np.ix_(rows, columns)]


def montage(tiles: Sequence[Picture], gap: int = _GAP) -> Picture:
    """Pictures beside each other on black, aligned at the top."""
    height = max(tile.shape[0] for tile in tiles)
    width = sum(tile.shape[1] for tile in tiles) + gap * (len(tiles) - 1)
    canvas = np.zeros((height, width, 3), np.uint8)
    left = 0
    for tile in tiles:
        canvas[: tile.shape[0], left : left + tile.shape[1]] = tile
        left += tile.shape[1] + gap
    return canvas


def legend(classes: Sequence[Label], width: int) -> Picture:
    """Colour and name of each class, in as many lines as `width` pixels need."""
    font = ImageFont.load_default(_FONT)
    places, left, top, line = [], _GAP, _GAP, _FONT + _GAP
    for label in classes:
        needed = round(font.getlength(label.name)) + _FONT + 3 * _GAP
        if left > _GAP and left + needed > width:
            left, top = _GAP, top + line
        places.append((label, left, top))
        left += needed
    canvas = Pillow.new("RGB", (width, top + line))
    draw = ImageDraw.Draw(canvas)
    for label, left, top in places:
        draw.rectangle((left, top, left + _FONT, top + _FONT), fill=label.colour)
        draw.text((left + _FONT + _GAP, top), label.name, fill=_WHITE, font=font)
    return np.asarray(canvas)


def render_case(
    image: Image, label_map: LabelMap, channel: int = 0, size: int = 420, truth: LabelMap | None = None
) -> Picture:
    """Axial, coronal and sagittal slices through the labels, with patient directions and a legend.

    The slices go through the labels' centre of mass, or the nearest slice with a label. Millimetres keep
    their proportions. The patient's Right is on the left, as in radiology. Planes that are a single line of
    voxels are left out. A picture of one slice is shown as it is, in its colours, without directions.

    Args:
        image: on the grid of the labels.
        label_map: what is drawn.
        channel: of the image.
        size: pixels of the longest edge in any plane.
        truth: its outline is drawn over the filled labels, and the slices go through its centre.

    Raises:
        GeometryError: the two lie on different grids.
    """
    truth = label_map if truth is None else truth
    for drawn_map in (label_map, truth):
        _require_one_grid(image, drawn_map)
    if not image.placed and image.grid.shape[0] == 1:
        return _render_picture(image, label_map, truth, channel, size)
    change = image.grid.reorientation("SPL")
    image, label_map, truth = image.reoriented(change), label_map.reoriented(change), truth.reoriented(change)
    grey, shape, spacing = image.array[channel], image.grid.shape, image.grid.spacing
    scale = size / max(n * s for n, s in zip(shape, spacing, strict=True))  # pixels per mm
    bounds, centre = _range(_around(grey, truth.array), 0.5, 99.5), _centre(truth.array)
    views = [v for v in (AXIAL, CORONAL, SAGITTAL) if all(shape[a] > 1 for a in range(3) if a != v.axis)]
    tiles = []
    for view in views or [AXIAL]:
        pixels = [max(1, round(shape[a] * spacing[a] * scale)) for a in range(3) if a != view.axis]
        picture = resize(_spread(_plane(grey, view, centre), *bounds), (pixels[0], pixels[1]))
        filled, outlined = (
            resize_labels(_plane(drawn.array, view, centre), (pixels[0], pixels[1]))
            for drawn in (label_map, truth)
        )
        tile = overlay(picture, filled, label_map.labels, outlined=outlined)
        tiles.append(_with_letters(tile, view.letters))
    return _with_legend(montage(tiles), label_map, truth)


def _render_picture(image: Image, label_map: LabelMap, truth: LabelMap, channel: int, size: int) -> Picture:
    _, rows, columns = image.grid.shape
    scale = size / max(rows, columns)
    shape = max(1, round(rows * scale)), max(1, round(columns * scale))
    coloured = len(image.array) == 3 and image.array.dtype == np.uint8
    shown = np.moveaxis(image.array[:, 0], 0, -1) if coloured else window(image.array[channel, 0])
    under = resize(np.ascontiguousarray(shown, dtype=np.uint8), shape)
    filled, outlined = (resize_labels(drawn.array[0], shape) for drawn in (label_map, truth))
    picture = overlay(under, filled, label_map.labels, outlined=outlined)
    return _with_legend(picture, label_map, truth)


def _with_legend(picture: Picture, label_map: LabelMap, truth: LabelMap) -> Picture:
    present = set(np.unique(label_map.array).tolist()) | set(np.unique(truth.array).tolist())
    shown = [label for label in label_map.labels.classes if label.value in present]
    return np.concatenate([picture, legend(shown, picture.shape[1])])


def _plane(array: NDArray[Voxels], view: View, centre: tuple[int, ...]) -> NDArray[Voxels]:
    place = [slice(None)] * 3
    place[view.axis] = slice(centre[view.axis], centre[view.axis] + 1)
    plane = array[tuple(place)].squeeze(axis=view.axis)
    return plane[::-1] if view.flip else plane


def _centre(array: NDArray[np.integer]) -> tuple[int, ...]:
    """Index of the slices through the centre of mass of the labels, moved to where there is one."""
    places = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        counts = np.count_nonzero(array, axis=others)
        used = np.flatnonzero(counts)
        if len(used) == 0:
            places.append(array.shape[axis] // 2)
            continue
        middle = (counts * np.arange(len(counts))).sum() / counts.sum()
        places.append(int(used[np.abs(used - middle).argmin()]))
    return tuple(places)


def _around(grey: NDArray[Voxels], labels: NDArray[np.integer]) -> NDArray[Voxels]:
    """The box of the labels: grey values are spread over what is there, not over air, table and metal."""
    places = [np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if len(places[0]) == 0:
        return grey
    return grey[tuple(slice(place[0], place[-1] + 1) for place in places)]


def _with_letters(picture: Picture, letters: str) -> Picture:
    """Patient directions at the middle of the top, bottom, left and right edges."""
    canvas = Pillow.fromarray(picture)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT)
    rows, columns = picture.shape[:2]
    edges = (
        (columns / 2, 1, "mt"),
        (columns / 2, rows - 2, "mb"),
        (1, rows / 2, "lm"),
        (columns - 2, rows / 2, "rm"),
    )
    for letter, (x, y, anchor) in zip(letters, edges, strict=True):
        place = (x, y)
        draw.text(place, letter, fill=_WHITE, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(canvas)


def _range(array: NDArray[np.generic], low: float, high: float) -> tuple[float, float]:
    flat = array.ravel()[:: max(1, array.size // _SAMPLE)].astype(np.float64)
    finite = flat[np.isfinite(flat)]
    if finite.size == 0:
        return 0.0, 0.0
    bottom, top = np.percentile(finite, (low, high))
    return float(bottom), float(top)


def _spread(array: NDArray[np.generic], bottom: float, top: float) -> NDArray[np.uint8]:
    if top <= bottom:
        return np.zeros(array.shape, np.uint8)
    share = (np.nan_to_num(array.astype(np.float64), nan=bottom) - bottom) / (top - bottom)
    return np.asarray((255 * share.clip(0, 1)).round().astype(np.uint8))
