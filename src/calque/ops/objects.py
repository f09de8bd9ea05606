"""Objects of a label map: each connected component, with its place and its measures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

import cc3d
import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError
from calque.geometry import Box, Grid
from calque.image import Image, LabelMap
from calque.labels import Label
from calque.ops.components import Connectivity, connected_components
from calque.ops.diameter import axial_diameters, largest_diameter
from calque.value import Value

Point = tuple[float, float, float]
"""Millimetres in LPS: x to the Left, y to Posterior, z to Superior."""

Index = tuple[int, int, int]


class Intensities(Value):
    """Of one channel, over the voxels of an object."""

    channel: str
    mean: float
    std: float
    min: float
    max: float


class Object(Value):
    """One connected component.

    Args:
        number: from 1, by class, then from large to small.
        name: of its class.
        value: of its class in the label map.
        voxels: how many.
        volume_ml: millilitres.
        start: first index (z, y, x) of its box.
        stop: one past the last index (z, y, x).
        low_mm: smallest LPS coordinates of the box's outer corners.
        high_mm: largest LPS coordinates of the box's outer corners.
        centroid_mm: mean LPS position of its voxels' centres.
        largest_diameter_mm: largest distance between centres of its outer voxel faces.
        axial_long_mm: the same within one axial slice, of all slices the largest.
        axial_short_mm: width of that slice at right angles to it.
        intensities: one per channel; empty where no image was given.
    """

    number: int
    name: str
    value: int
    voxels: int
    volume_ml: float
    start: Index
    stop: Index
    low_mm: Point
    high_mm: Point
    centroid_mm: Point
    largest_diameter_mm: float
    axial_long_mm: float
    axial_short_mm: float
    intensities: tuple[Intensities, ...] = ()


def find_objects(
    label_map: LabelMap,
    image: Image | None = None,
    *,
    connectivity: Connectivity = 26,
    min_ml: float = 0.0,
) -> tuple[Object, ...]:
    """Every connected component of every class, by class and from large to small.

    Args:
        label_map: values that are no class (the ignore value) are left out.
        image: to measure intensities in; on the same grid.
        connectivity: which voxels touch: by faces (6), edges (18) or corners (26).
        min_ml: smaller components are left out.

    Raises:
        GeometryError: the image lies on another grid.
        InputError: the image holds voxels that are not numbers, within an object.
        LabelError: the label map holds values that are not declared.
    """
    if image is not None and not image.grid.isclose(label_map.grid):
        raise GeometryError(
            "Image and label map do not lie on the same grid",
            expected=(label_map.grid.shape, label_map.grid.affine.round(3).tolist()),
            got=(image.grid.shape, image.grid.affine.round(3).tolist()),
            fix="resample one onto the other's grid",
        )
    label_map.labels.require_declared(label_map.array)
    numbers, _ = connected_components(label_map.array, connectivity)
    order = {label.value: position for position, label in enumerate(label_map.labels.classes)}
    found = [
        (order[value], -voxels, component, box)
        for component, value, voxels, box in _components(label_map.array, numbers)
        if value in order and voxels * label_map.grid.voxel_volume / 1000.0 >= min_ml
    ]
    objects = []
    for number, (position, _, component, box) in enumerate(sorted(found, key=lambda f: f[:3]), start=1):
        mask = numbers[box.slices] == component
        label = label_map.labels.classes[position]
        objects.append(_measure(mask, box, label_map.grid, label, number, image))
    return tuple(objects)


def _components(
    array: NDArray[np.integer], numbers: NDArray[np.integer]
) -> Iterator[tuple[int, int, int, Box]]:
    """Number, value, voxels and box of each component."""
    statistics = cc3d.statistics(numbers)
    boxes, counts = statistics["bounding_boxes"], statistics["voxel_counts"]
    for component in range(1, len(counts)):
        place = boxes[component]
        box = Box(
            (place[0].start, place[1].start, place[2].start), (place[0].stop, place[1].stop, place[2].stop)
        )
        inside = numbers[box.slices] == component
        value = int(array[box.slices][inside][0])
        yield component, value, int(counts[component]), box


def _measure(
    mask: NDArray[np.bool_], box: Box, grid: Grid, label: Label, number: int, image: Image | None
) -> Object:
    """Measures of the voxels of `mask`, which lies in `box` of `grid`."""
    indices = np.argwhere(mask)
    local = grid.cropped(box)
    faces = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in local.shape])).reshape(3, -1).T
    corners = local.to_world(faces)
    long, short = axial_diameters(mask, local)
    return Object(
        number=number,
        name=label.name,
        value=label.value,
        voxels=len(indices),
        volume_ml=len(indices) * grid.voxel_volume / 1000.0,
        start=box.start,
        stop=box.stop,
        low_mm=_point(corners.min(axis=0)),
        high_mm=_point(corners.max(axis=0)),
        centroid_mm=_point(local.to_world(indices.mean(axis=0))),
        largest_diameter_mm=largest_diameter(mask, local.affine),
        axial_long_mm=long,
        axial_short_mm=short,
        intensities=() if image is None else _intensities(mask, image.cropped(box)),
    )


def _intensities(mask: NDArray[np.bool_], part: Image) -> tuple[Intensities, ...]:
    result = []
    for name, channel in zip(part.channels, part.array, strict=True):
        values = channel[mask].astype(np.float64)
        if not np.isfinite(values).all():
            raise InputError("The image holds voxels that are not numbers", where=f"channel {name}")
        result.append(
            Intensities(
                channel=name,
                mean=float(values.mean()),
                std=float(values.std()),
                min=float(values.min()),
                max=float(values.max()),
            )
        )
    return tuple(result)


def objects_to_json(objects: Sequence[Object]) -> str:
    """A JSON list, one object an entry."""
    return json.dumps([found.model_dump() for found in objects], indent=2) + "\n"


def objects_to_csv(objects: Sequence[Object], channels: Sequence[str] = ()) -> str:
    """One row per object; vectors get a column per axis, intensities one per channel and measure.

    Args:
        objects: rows.
        channels: whose intensities were measured; the header is the same whether or not there are objects.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(channels), lineterminator="\n")
    writer.writeheader()
    for found in objects:
        writer.writerow(_row(found))
    return text.getvalue()


_PLAIN = ("number", "name", "value", "voxels", "volume_ml")
_VECTORS = {"start": "zyx", "stop": "zyx", "low_mm": "xyz", "high_mm": "xyz", "centroid_mm": "xyz"}
_DIAMETERS = ("largest_diameter_mm", "axial_long_mm", "axial_short_mm")
_MEASURES = ("mean", "std", "min", "max")


def _columns(channels: Sequence[str]) -> list[str]:
    vectors = [f"{name}_{axis}" for name, axes in _VECTORS.items() for axis in axes]
    intensities = [f"{channel} {measure}" for channel in channels for measure in _MEASURES]
    return [*_PLAIN, *vectors, *_DIAMETERS, *intensities]


def _row(found: Object) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(found, name) for name in (*_PLAIN, *_DIAMETERS)}
    for name, axes in _VECTORS.items():
        row |= {f"{name}_{axis}": v for axis, v in zip(axes, getattr(found, name), strict=True)}
    for one in found.intensities:
        row |= {f"{one.channel} {measure}": getattr(one, measure) for measure in _MEASURES}
    return row


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z
