"""A Secondary Capture series of slices with their labels drawn in, for viewers that know nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.io.atomic import atomic_path
from calque.io.dicom.model import Stack
from calque.io.dicom.write_codes import source_image
from calque.io.dicom.write_object import (
    Identity,
    Source,
    Written,
    cosines,
    decimals,
    digest,
    new_object,
    read_source,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

NOTE = "Labels of a computer program, for orientation. Not for diagnosis."
"""Stands in the header (ImageComments, DerivationDescription) of each image."""


def write_overlay(
    pictures: Iterable[NDArray[np.uint8]], stack: Stack, folder: Path | str, identity: Identity
) -> Written:
    """Write one colour picture for each slice, at the slice's own place, as a series of Secondary Captures.

    Args:
        pictures: (row, column, 3) for each slice of `stack.grid` in its order, as `overlay_slices` draws
            them; they are drawn as they come, one is held at a time.
        stack: of `find_stacks`.
        folder: is made, whole or not at all; an earlier overlay there, and nothing else, is replaced.
        identity: what made the labels.

    Raises:
        GeometryError: another number of pictures, or pictures of another size, than the grid has.
        ReadError: the images cannot be read any more.
        InputError: the folder holds something.
        ResourceError: the disk is full.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    source = read_source(stack)
    first: Dataset | None = None
    count = 0
    with atomic_path(folder) as aside:
        aside.mkdir()
        for count, picture in enumerate(pictures, start=1):
            data = _capture(picture, count - 1, source, identity)
            data.save_as(aside / f"{count:05d}.dcm", enforce_file_format=True)
            first = first or data
        if count != stack.grid.shape[0] or first is None:
            raise GeometryError(
                "There is one picture for each slice", expected=stack.grid.shape[0], got=count, where=folder
            )
        _clear(Path(folder))
    return Written(Path(folder), SECONDARY_CAPTURE, first.SOPInstanceUID, first.SeriesInstanceUID)


def _clear(folder: Path) -> None:
    """Remove an earlier overlay; a folder with anything else is left for `atomic_path` to refuse."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if all(re.fullmatch(r"\d{5,}\.dcm", file.name) for file in files):
        for file in files:
            file.unlink()


def _capture(picture: NDArray[np.uint8], plane: int, source: Source, identity: Identity) -> Dataset:
    stack = source.stack
    rows, columns = stack.grid.shape[1:]
    if plane >= stack.grid.shape[0] or picture.shape != (rows, columns, 3) or picture.dtype != np.uint8:
        raise GeometryError(
            "A picture of a slice is (row, column, 3) of 8 bits, one for each slice",
            expected=(*stack.grid.shape, 3),
            got=f"picture {plane + 1} of {picture.shape}, {picture.dtype}",
        )
    pixels = np.ascontiguousarray(picture).tobytes()
    data = new_object(source, identity, "overlay", SECONDARY_CAPTURE, f"{plane} {digest(pixels)}")
    data.Modality, data.ConversionType = "OT", "WSD"
    data.ImageType = ["DERIVED", "SECONDARY", "OVERLAY"]
    data.InstanceNumber = plane + 1
    data.BurnedInAnnotation = "NO"
    data.ImageComments = data.DerivationDescription = NOTE
    data.PatientOrientation = ""
    data.Laterality = source.header.get("Laterality", "")
    _put_place(data, plane, source)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.Rows, data.Columns = rows, columns
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.LossyImageCompression = source.header.get("LossyImageCompression", "00") or "00"
    data.PixelData = pixels + b"\0" * (len(pixels) % 2)
    data["PixelData"].VR = "OB"
    return data


def _put_place(data: Dataset, plane: int, source: Source) -> None:
    """Position and spacing as of the slice, and which image it shows."""
    stack, grid = source.stack, source.stack.grid
    upright = stack.tilt != 0
    if stack.placed:
        position = grid.to_world((plane, 0, 0)) if upright else stack.slices[plane].position
        direction = grid.direction
        data.ImagePositionPatient = decimals(position)
        data.ImageOrientationPatient = cosines((*direction[:, 2], *direction[:, 1]))
        data.SliceThickness = data.SpacingBetweenSlices = decimals(grid.spacing[:1])[0]
    if stack.spacing_known:
        data.PixelSpacing = decimals(grid.spacing[1:])
    if upright:
        return  # no source image is this plane
    data.SourceImageSequence = [source_image(stack.slices[plane], source)]
