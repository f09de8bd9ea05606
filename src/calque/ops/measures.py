"""Measures of whole classes: size, shape, and first-order statistics of intensities.

Shapes follow the definitions of the Image Biomarker Standardisation Initiative (Zwanenburg et al. 2020,
doi:10.1148/radiol.2020191145) on voxels; the surface is that of `calque.ops.distance.surface_area`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.ops.components import connected_components
from calque.ops.diameter import largest_diameter
from calque.ops.distance import bounding_box, surface_area
from calque.ops.nearest import Mask
from calque.value import Value


class FirstOrder(Value):
    """Of one channel over the voxels of a class; skewness and kurtosis are None where nothing varies.

    Args:
        channel: its name.
        mean: of the voxels.
        std: with n, as in IBSI.
        minimum: smallest.
        p10: 10th percentile; the others likewise, linearly interpolated.
        p25: lower quartile.
        median: 50th percentile.
        p75: upper quartile.
        p90: 90th percentile.
        maximum: largest.
        mean_absolute_deviation: from the mean.
        root_mean_square: of the values.
        skewness: third standardised moment.
        kurtosis: fourth, minus 3.
    """

    channel: str
    mean: float
    std: float
    minimum: float
    p10: float
    p25: float
    median: float
    p75: float
    p90: float
    maximum: float
    mean_absolute_deviation: float
    root_mean_square: float
    skewness: float | None
    kurtosis: float | None


class Measures(Value):
    """One class of a label map.

    Args:
        name: of the class.
        value: in the label map.
        voxels: how many; with none, the figures below are None.
        volume_ml: millilitres.
        components: objects that touch by faces, edges or corners.
        surface_mm2: area of the surface; length in mm in a picture.
        sphericity: surface of a ball of this volume by this surface; None in a picture.
        surface_to_volume: per mm.
        largest_diameter_mm: largest distance between centres of outer voxel faces.
        major_axis_mm: of the ellipsoid with the same second moments; also `minor_axis_mm`, `least_axis_mm`.
        minor_axis_mm: the second.
        least_axis_mm: the third.
        elongation: second by first axis.
        flatness: third by first axis.
        centroid_mm: LPS.
        intensities: by channel; empty where no image was given.
    """

    name: str
    value: int
    voxels: int
    volume_ml: float
    components: int
    surface_mm2: float | None = None
    sphericity: float | None = None
    surface_to_volume: float | None = None
    largest_diameter_mm: float | None = None
    major_axis_mm: float | None = None
    minor_axis_mm: float | None = None
    least_axis_mm: float | None = None
    elongation: float | None = None
    flatness: float | None = None
    centroid_mm: tuple[float, float, float] | None = None
    intensities: tuple[FirstOrder, ...] = ()


def measure_labels(label_map: LabelMap, image: Image | None = None) -> tuple[Measures, ...]:
    """Measure every class.

    Args:
        label_map: values that are no class (the ignore value) are left out.
        image: to measure intensities in; on the same grid.

    Raises:
        GeometryError: the image lies on another grid.
        InputError: the image holds voxels that are not numbers, within a class.
        LabelError: the label map holds values that are not declared.
    """
    if image is not None and not image.grid.isclose(label_map.grid):
        raise GeometryError(
            "Image and label map do not lie on the same grid",
            expected=label_map.grid.shape,
            got=image.grid.shape,
            fix="resample one onto the other's grid",
        )
    label_map.labels.require_declared(label_map.array)
    found = []
    for label in label_map.labels.classes:
        mask = label_map.array == label.value
        box = bounding_box(mask)
        if box is None:
            found.append(Measures(name=label.name, value=label.value, voxels=0, volume_ml=0.0, components=0))
            continue
        one = _shape(
            Measures(name=label.name, value=label.value, voxels=0, volume_ml=0.0, components=0),
            mask,
            label_map.grid,
        )
        if image is not None:
            part, inside = image.cropped(box), mask[box.slices]
            channels = zip(part.channels, part.array, strict=True)
            one = one.model_copy(
                update={"intensities": tuple(_first_order(c, a[inside]) for c, a in channels)}
            )
        found.append(one)
    return tuple(found)


def _shape(blank: Measures, mask: Mask, grid: Grid) -> Measures:
    """`blank` with the sizes and shapes of a mask that holds something."""
    indices = np.argwhere(mask)
    flat = min(mask.shape) == 1
    mm3 = len(indices) * grid.voxel_volume
    surface = surface_area(mask, grid.spacing)
    points = grid.to_world(indices)
    spread = np.linalg.eigvalsh(np.cov(points.T, bias=True)) if len(points) > 1 else np.zeros(3)
    least, minor, major = (float(4.0 * math.sqrt(max(0.0, v))) for v in spread)
    x, y, z = (float(v) for v in points.mean(axis=0))
    shape = {
        "voxels": len(indices),
        "volume_ml": mm3 / 1000.0,
        "components": connected_components(mask)[1],
        "surface_mm2": surface,
        "sphericity": None if flat else (36.0 * math.pi * mm3**2) ** (1 / 3) / surface,
        "surface_to_volume": None if flat else surface / mm3,
        "largest_diameter_mm": largest_diameter(mask, grid.affine),
        "major_axis_mm": major,
        "minor_axis_mm": minor,
        "least_axis_mm": least,
        "elongation": minor / major if major > 0 else None,
        "flatness": least / major if major > 0 else None,
        "centroid_mm": (x, y, z),
    }
    return blank.model_copy(update=shape)


def _first_order(channel: str, values: NDArray[np.generic]) -> FirstOrder:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError("The image holds voxels that are not numbers", where=f"channel {channel}")
    mean, std = float(numbers.mean()), float(numbers.std())
    scaled = (numbers - mean) / std if std > 0 else None
    low, p10, p25, median, p75, p90, high = (
        float(q) for q in np.percentile(numbers, (0, 10, 25, 50, 75, 90, 100))
    )
    return FirstOrder(
        channel=channel,
        mean=mean,
        std=std,
        minimum=low,
        p10=p10,
        p25=p25,
        median=median,
        p75=p75,
        p90=p90,
        maximum=high,
        mean_absolute_deviation=float(np.abs(numbers - mean).mean()),
        root_mean_square=math.sqrt(float((numbers**2).mean())),
        skewness=None if scaled is None else float((scaled**3).mean()),
        kurtosis=None if scaled is None else float((scaled**4).mean()) - 3.0,
    )


_PLAIN = tuple(name for name in Measures.model_fields if name not in ("centroid_mm", "intensities"))
_STATISTICS = tuple(name for name in FirstOrder.model_fields if name != "channel")


def measures_to_csv(rows: Iterable[tuple[str, Measures]], channels: Sequence[str] = ()) -> str:
    """One row per case and class, a column per measure, and per channel and statistic; no value, empty cell.

    Args:
        rows: (case, measures).
        channels: whose intensities were measured.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [f"{channel} {name}" for channel in channels for name in _STATISTICS]
    writer.writerow(("case", *_PLAIN, *(f"centroid_mm_{axis}" for axis in "xyz"), *heads))
    for case, one in rows:
        cells = [getattr(one, name) for name in _PLAIN] + list(one.centroid_mm or (None,) * 3)
        by_channel = {found.channel: found for found in one.intensities}
        for channel in channels:
            found = by_channel.get(channel)
            cells += [None if found is None else getattr(found, name) for name in _STATISTICS]
        writer.writerow((case, *("" if cell is None else cell for cell in cells)))
    return text.getvalue()
