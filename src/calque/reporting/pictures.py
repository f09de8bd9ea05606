"""A slice as pictures: the scan, prediction and truth on it, and where they differ."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from calque.labels import Colour, Labels
from calque.ops.distance import border
from calque.ops.render import resize, resize_labels
from calque.reporting.slices import Flat, Slice

ERROR_COLOURS: dict[str, Colour] = {
    "over": (255, 94, 58),
    "missed": (64, 186, 255),
    "confused": (222, 120, 255),
}
"""Predicted where the truth has nothing; missed; another class."""

_SIDE = 360  # pixels of the longer side
_FILL, _ERROR = 0.45, 0.8
_OUTLINE = 2
_WHITE: Colour = (255, 255, 255)

Rgb = NDArray[np.float32]
Size = tuple[int, int]


@dataclass(frozen=True)
class Drawn:
    """Pictures of one slice as `data:` URIs, all of one size.

    Args:
        slice: what is shown.
        width: pixels.
        height: pixels.
        scan: None without a scan.
        masks: prediction filled, truth outlined, in the colours of the classes.
        errors: pixels that differ, by kind, with the outline of the truth.
        counts: of these pixels on the image's own grid, by kind.
    """

    slice: Slice
    width: int
    height: int
    scan: str | None
    masks: str
    errors: str
    counts: dict[str, int]


def draw(cut: Slice, labels: Labels) -> Drawn:
    """Enlarge a slice to the same millimetres per pixel both ways, and colour it."""
    size = _size(cut)
    under = np.zeros((*size, 3), np.float32) if cut.scan is None else _rgb(resize(cut.scan, size))
    predicted, truth = resize_labels(cut.predicted, size), resize_labels(cut.truth, size)
    masks, errors = under.copy(), under.copy()
    for label in labels.classes:
        _blend(masks, predicted == label.value, label.colour, _FILL)
    for kind, mask in _differences(predicted, truth).items():
        _blend(errors, mask, ERROR_COLOURS[kind], _ERROR)
    for label in labels.classes:
        line = _outline(truth == label.value)
        _blend(masks, _outline(truth == label.value, _OUTLINE + 1), (0, 0, 0), 0.6)
        _blend(masks, line, _lighter(label.colour), 1.0)
        _blend(errors, line, _WHITE, 0.75)
    counts = {kind: int(mask.sum()) for kind, mask in _differences(cut.predicted, cut.truth).items()}
    scan = None if cut.scan is None else _uri(under)
    return Drawn(cut, size[1], size[0], scan, _uri(masks), _uri(errors), counts)


def _differences(predicted: Flat, truth: Flat) -> dict[str, NDArray[np.bool_]]:
    return {
        "over": (predicted > 0) & (truth == 0),
        "missed": (predicted == 0) & (truth > 0),
        "confused": (predicted > 0) & (truth > 0) & (predicted != truth),
    }


def _size(cut: Slice) -> Size:
    rows, columns = (n * s for n, s in zip(cut.truth.shape, cut.spacing, strict=True))
    scale = _SIDE / max(rows, columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _rgb(picture: NDArray[np.uint8]) -> Rgb:
    coloured = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return coloured.astype(np.float32)


def _outline(mask: NDArray[np.bool_], width: int = _OUTLINE) -> NDArray[np.bool_]:
    inside = mask[None]
    for _ in range(width):
        inside = inside & ~border(inside, (1, 2))
    return np.asarray(mask & ~inside[0])


def _blend(picture: Rgb, mask: NDArray[np.bool_], colour: Colour, share: float) -> None:
    picture[mask] = (1.0 - share) * picture[mask] + share * np.array(colour, np.float32)


def _lighter(colour: Colour) -> Colour:
    """Halfway to white: an outline that stands out from a fill of the same class."""
    red, green, blue = ((255 + c) // 2 for c in colour)
    return red, green, blue


def _uri(picture: Rgb) -> str:
    stream = io.BytesIO()
    Picture.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8)).save(
        stream, format="JPEG", quality=90, subsampling=0, optimize=True
    )
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
