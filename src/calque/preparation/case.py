"""One image and its mask: reorient, crop, normalise, resample (in nnU-Net's order)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, InputError
from calque.geometry import Box, Grid
from calque.image import Image, LabelMap
from calque.ops.crop import nonzero_box
from calque.ops.resample import Orders, resample, resample_labels
from calque.planning.model import Plan
from calque.preparation.model import Placement, Prepared
from calque.preparation.normalise import normalise
from calque.preparation.thickness import spline_orders

_GRID_TOLERANCE = 0.1  # of a voxel: below this, which voxel belongs to which is beyond doubt


def prepare_image(image: Image, plan: Plan) -> Prepared:
    """Bring an image to what the networks of `plan` see, all of it at once.

    Args:
        image: on its own grid, in any orientation; channels in the plan's order.
        plan: orientation, crop, normalisation, spacing, spline order.

    Returns:
        (channel, z, y, x), float32, and how to go back.

    Raises:
        InputError: wrong number of channels, voxels that are not finite, or nothing but zeros.
    """
    kept, placement, orders = place_image(image, plan)
    body = find_body(kept.array) if any(rule.nonzero for rule in plan.normalisation) else None
    array = np.empty((len(plan.channels), *placement.prepared.shape), dtype=np.float32)
    for number, rule in enumerate(plan.normalisation):  # one by one: four channels take no more than one
        channel = normalise(kept.array[number], rule, body)[None]
        array[number] = resample(channel, placement.prepared.shape, orders)[0]
    return Prepared(array, placement)


def place_image(image: Image, plan: Plan) -> tuple[Image, Placement, Orders]:
    """What is kept of an image (a view), where its prepared form will lie, and the splines on the way.

    Raises:
        InputError: as `prepare_image`.
    """
    if len(image.channels) != len(plan.channels):
        raise InputError(
            "The image has the wrong number of channels",
            expected=f"{len(plan.channels)}: {', '.join(plan.channels)}",
            got=f"{len(image.channels)}: {', '.join(image.channels)}",
            fix="give one file per channel, in the plan's order",
        )
    _require_finite(image)
    turned = image.reoriented(plan.reorientation(image.grid))
    box = nonzero_box(turned.array) if plan.crop == "nonzero" else Box((0, 0, 0), turned.grid.shape)
    kept = turned.cropped(box)
    placement = plan_placement(image.grid, plan, box)
    orders = spline_orders(plan.image_order, plan.separate_z, kept.grid.spacing, plan.spacing_for(kept.grid))
    return kept, placement, orders


def plan_placement(grid: Grid, plan: Plan, box: Box | None = None) -> Placement:
    """Where an image on `grid` will lie, before its voxels are read; `box`: None keeps all of it."""
    turned = plan.reorientation(grid).grid(grid)
    box = box or Box((0, 0, 0), turned.shape)
    cropped = turned.cropped(box)
    return Placement(grid, turned, box, cropped.resampled(plan.spacing_for(cropped)))


def prepare_labels(label_map: LabelMap, placement: Placement, plan: Plan) -> NDArray[np.integer]:
    """Bring a mask to the prepared grid of its image.

    Args:
        label_map: on the image's grid, or the same voxels with axes permuted or flipped.
        placement: of the image.
        plan: that prepared the image.

    Returns:
        (z, y, x) class numbers, uint8 where they fit; `Labels.outputs` stands for ignore.

    Raises:
        GeometryError: the mask lies on another grid.
        LabelError: a value that is not declared.
    """
    turned = turned_to(label_map, placement)
    index = plan.labels.to_index(turned.array[placement.box.slices])
    classes = plan.labels.outputs + (plan.labels.ignore is not None)
    source = placement.reoriented
    orders = spline_orders(1, plan.separate_z, source.spacing, plan.spacing_for(source))
    return resample_labels(index, placement.prepared.shape, classes, orders)


def turned_to(label_map: LabelMap, placement: Placement) -> LabelMap:
    """A view of the label map in the orientation of the prepared image.

    Raises:
        GeometryError: it lies on another grid than the image.
    """
    turned = label_map.reoriented(label_map.grid.reorientation(placement.reoriented.orientation))
    if not turned.grid.isclose(placement.reoriented, _GRID_TOLERANCE):
        raise GeometryError(
            "The mask does not lie on the grid of its image",
            expected=_describe(placement.original.shape, placement.original.affine),
            got=_describe(label_map.grid.shape, label_map.grid.affine),
            fix="run `calque check` on the dataset",
        )
    return turned


def find_body(array: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(z, y, x): where some channel of (channel, z, y, x) is not zero, and what that encloses."""
    from scipy.ndimage import binary_fill_holes  # slow to import, and seldom needed

    return np.asarray(binary_fill_holes((array != 0).any(axis=0)))


def _require_finite(image: Image) -> None:
    if not np.issubdtype(image.array.dtype, np.inexact):
        return
    for name, channel in zip(image.channels, image.array, strict=True):
        wrong = channel.size - sum(int(np.count_nonzero(np.isfinite(plane))) for plane in channel)
        if wrong:
            raise InputError(
                "The image holds voxels that are not numbers (NaN or infinite)",
                got=f"{wrong} of {channel.size} in channel {name}",
                fix="replace them by the value of air or background",
            )


def _describe(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    return f"shape {shape}, affine {np.round(affine[:3], 4).tolist()}"
