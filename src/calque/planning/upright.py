"""Whether pictures have an up and a left: if they do, mirrored ones teach a network what it will never see.

A short-axis view of the heart or an X-ray of the chest stands always the same way, a cell under a microscope
does not, and a PNG does not say which it is. The data do: a picture that stands the same way as the others
resembles them more as it is than mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EDGE = 32
"""Pixels along each side of a thumbnail: enough for what stands where."""

UPRIGHT = 0.75
"""From this share of patients on, the pictures have a direction along an axis."""

FEWEST = 4
"""With fewer patients nothing can be said."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One case, small.

    Args:
        patient: cases of one patient resemble each other whatever they show, and are not compared.
        image: (32, 32), mean 0, length 1 (or all 0 where the picture is constant).
        classes: (class, 32, 32), the share of each class, treated in the same way.
    """

    patient: str
    image: NDArray[np.float32]
    classes: NDArray[np.float32]


def thumbnail(
    patient: str, image: NDArray[np.generic], index: NDArray[np.integer], classes: int
) -> Thumbnail:
    """A case as its thumbnail.

    Args:
        patient: whose it is.
        image: (channel, z, y, x).
        index: (z, y, x) class numbers, 0 for background; numbers above `classes` are passed over.
        classes: how many there are.
    """
    small = np.stack([_shrunk((index == k).mean(0)) for k in range(1, classes + 1)])
    return Thumbnail(patient, _centred(_shrunk(image.mean((0, 1)))), _centred(small))


def upright(thumbnails: Sequence[Thumbnail]) -> tuple[float, float] | None:
    """Share of patients whose pictures resemble the others' more as they are than mirrored, along y and x.

    The larger of what the images and what the masks show, so that classes that are called left and right keep
    their sides. About 0.5 where there is no direction, near 1 where there is.

    Returns:
        None with fewer than `FEWEST` patients.
    """
    patients = sorted({item.patient for item in thumbnails})
    if len(patients) < FEWEST:
        return None
    images = _by_patient(thumbnails, patients, [item.image for item in thumbnails])
    masks = _by_patient(thumbnails, patients, [item.classes for item in thumbnails])
    along_y, along_x = (max(_share(images, axis), _share(masks, axis)) for axis in (-2, -1))
    return along_y, along_x


def _share(means: NDArray[np.float32], axis: int) -> float:
    """The share of `means` (patient, ..., y, x) that are more like the others than their mirror image is."""
    others = means.sum(0) - means
    axes = tuple(range(1, means.ndim))
    gain = ((means - np.flip(means, axis)) * others).sum(axes)
    return float(np.mean(gain > 0))


def _by_patient(
    thumbnails: Sequence[Thumbnail], patients: Sequence[str], arrays: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    position = {patient: k for k, patient in enumerate(patients)}
    total = np.zeros((len(patients), *arrays[0].shape), np.float32)
    for item, array in zip(thumbnails, arrays, strict=True):
        total[position[item.patient]] += array
    return _centred(total)


def _shrunk(picture: NDArray[np.floating]) -> NDArray[np.float32]:
    """(y, x) -> (32, 32): means over blocks; smaller pictures repeat their pixels."""
    for axis in (0, 1):
        edges = np.linspace(0, picture.shape[axis], EDGE + 1)
        starts = np.minimum(edges[:-1].astype(int), picture.shape[axis] - 1)
        widths = np.diff(np.append(starts, picture.shape[axis])).clip(1)
        sums = np.add.reduceat(picture, starts, axis)
        picture = sums / (widths[:, None] if axis == 0 else widths)
    return picture.astype(np.float32)


def _centred(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and length 1 of each (..., y, x); a constant one becomes 0."""
    pictures = pictures - pictures.mean((-2, -1), keepdims=True)
    length = np.sqrt((pictures**2).sum((-2, -1), keepdims=True))
    flat = length <= 1e-6
    centred: NDArray[np.float32] = np.where(flat, 0, pictures / np.where(flat, 1, length))
    return centred
