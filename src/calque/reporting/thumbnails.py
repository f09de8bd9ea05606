"""A small picture of a case as it is, sound or not, for the page on a check."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from calque.dataset.model import Case, Dataset
from calque.dataset.reading import read_mask, read_scan
from calque.errors import CalqueError
from calque.image import Image, LabelMap
from calque.io import read_mask_volume
from calque.io.reading import derive_labels, to_label_values
from calque.labels import present_values
from calque.ops.render import overlay, resize, resize_labels, window
from calque.ops.sheet import render_case

_PIXELS = 170
_QUALITY = 72
_CLASSES = 12  # of a mask with more undeclared values only the extent is shown
OTHER_SHAPE = "other_shape"
WITHOUT_MASK = "without_mask"


@dataclass(frozen=True)
class Thumbnail:
    """What can be shown of a case.

    Args:
        uri: a `data:` URI of a JPEG; None where the scan cannot be shown.
        width: pixels.
        height: pixels.
        lacking: why there is no picture or no mask on it: `OTHER_SHAPE`, `WITHOUT_MASK` or an error's words.
    """

    uri: str | None
    width: int = 0
    height: int = 0
    lacking: str | None = None


def thumbnail(case: Case, dataset: Dataset) -> Thumbnail:
    """Slices of the scan with its mask, as far as they can be read: damage is shown and not hidden."""
    try:
        scan = read_scan(case.images)
    except CalqueError as problem:
        return Thumbnail(None, lacking=problem.what)
    scan = Image(np.nan_to_num(scan.array[:1], posinf=0, neginf=0), scan.grid, scan.channels[:1])
    drawn, lacking = _mask(case, dataset, scan)
    flat = scan.grid.shape[0] == 1
    picture = Picture.fromarray(_flat(scan, drawn) if flat else render_case(scan, drawn, size=_PIXELS))
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=_QUALITY, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Thumbnail(uri, picture.width, picture.height, lacking)


def _flat(scan: Image, drawn: LabelMap) -> NDArray[np.uint8]:
    """A picture with its mask; it has no patient's sides to be named."""
    rows, columns = scan.grid.shape[1:]
    scale = 1.5 * _PIXELS / max(rows, columns)
    size = max(1, round(rows * scale)), max(1, round(columns * scale))
    grey = resize(window(scan.array[0, 0]), size)
    return overlay(grey, resize_labels(drawn.array[0], size), drawn.labels)


def _mask(case: Case, dataset: Dataset, scan: Image) -> tuple[LabelMap, str | None]:
    """The mask on the scan's voxels, by what it declares or by what it holds; empty where neither can be."""
    empty = LabelMap(np.zeros(scan.grid.shape, np.uint8), scan.grid, dataset.labels)
    if not case.masks:
        return empty, WITHOUT_MASK
    try:
        found = read_mask(case, dataset.labels, dataset.rule)
    except CalqueError:
        try:
            found = _as_it_is(case)
        except CalqueError as problem:
            return empty, problem.what
    if found.grid.shape != scan.grid.shape:
        return empty, OTHER_SHAPE
    return LabelMap(found.array, scan.grid, found.labels), None


def _as_it_is(case: Case) -> LabelMap:
    volume = read_mask_volume(case.masks[0])
    values = to_label_values(volume.array[0], case.masks[0])
    if len(present_values(values)) > _CLASSES:
        values = (values > 0).astype(np.uint8)
    return LabelMap(values, volume.header.grid, derive_labels(present_values(values), case.masks[0]))
