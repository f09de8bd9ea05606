"""Several planes of a case in one picture, with directions and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calque.geometry import Voxels
from calque.image import Image, LabelMap
from calque.labels import Label
from calque.ops.render import (
    FONT,
    WHITE,
    Picture,
    around_labels,
    overlay,
    require_one_grid,
    resize,
    resize_labels,
    spread,
    value_range,
    window,
    with_text,
)

_GAP = 6


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
    font = ImageFont.load_default(FONT)
    places, left, top, line = [], _GAP, _GAP, FONT + _GAP
    for label in classes:
        needed = round(font.getlength(label.name)) + FONT + 3 * _GAP
        if left > _GAP and left + needed > width:
            left, top = _GAP, top + line
        places.append((label, left, top))
        left += needed
    canvas = Pillow.new("RGB", (width, top + line))
    draw = ImageDraw.Draw(canvas)
    for label, left, top in places:
        draw.rectangle((left, top, left + FONT, top + FONT), fill=label.colour)
        draw.text((left + FONT + _GAP, top), label.name, fill=WHITE, font=font)
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
        require_one_grid(image, drawn_map)
    if not image.placed and image.grid.shape[0] == 1:
        return _render_picture(image, label_map, truth, channel, size)
    change = image.grid.reorientation("SPL")
    image, label_map, truth = image.reoriented(change), label_map.reoriented(change), truth.reoriented(change)
    grey, shape, spacing = image.array[channel], image.grid.shape, image.grid.spacing
    scale = size / max(n * s for n, s in zip(shape, spacing, strict=True))  # pixels per mm
    bounds, centre = value_range(around_labels(grey, truth.array)), _centre(truth.array)
    views = [v for v in (AXIAL, CORONAL, SAGITTAL) if all(shape[a] > 1 for a in range(3) if a != v.axis)]
    tiles = []
    for view in views or [AXIAL]:
        pixels = [max(1, round(shape[a] * spacing[a] * scale)) for a in range(3) if a != view.axis]
        picture = resize(spread(_plane(grey, view, centre), *bounds), (pixels[0], pixels[1]))
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


def _with_letters(picture: Picture, letters: str) -> Picture:
    """Patient directions at the middle of the top, bottom, left and right edges."""
    rows, columns = picture.shape[:2]
    edges = (
        (columns / 2, 1, "mt"),
        (columns / 2, rows - 2, "mb"),
        (1, rows / 2, "lm"),
        (columns - 2, rows / 2, "rm"),
    )
    return with_text(picture, dict(zip(edges, letters, strict=True)))
