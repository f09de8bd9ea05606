"""Synthetic DICOM series of a phantom with known truth, to be spoiled as a test likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from calque.geometry import Grid

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
"""SOP class of plain slices by modality; everything else is a Secondary Capture."""

ENHANCED = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage}

INTERCEPT = -1024
"""Of every series that is written here: stored value = value + 1024."""

Edit = Callable[[Dataset, int], None]
"""Changes the data set of slice k before it is written."""


def phantom(shape: Sequence[int] = (6, 12, 10), seed: int = 0) -> NDArray[np.int16]:
    """(z, y, x): noise from 0 to 99 with an object of 1000 that no flip leaves the same."""
    array = np.random.default_rng(seed).integers(0, 100, tuple(shape), dtype=np.int16)
    z, y, x = shape
    array[: max(z // 2, 1), 1:3, 1 : x - 1] = 1000  # a bar along x
    array[z - 1, 1 : y - 2, x - 3] = 1000  # another along y, in the last slice
    return array


def oblique(shape: Sequence[int] = (6, 12, 10), spacing: Sequence[float] = (3.0, 0.8, 0.7)) -> Grid:
    """An oblique grid, not centred, right-handed: its slices are stacked along row x column."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", (12, -7, 21), degrees=True).as_matrix()
    return Grid.from_parts(tuple(shape), spacing, (-31.5, 12.25, 100.0), turn @ np.eye(3)[:, ::-1])


def uid(*parts: object) -> str:
    """The same UID for the same parts."""
    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def write_series(
    folder: Path,
    array: NDArray[np.generic] | None = None,
    grid: Grid | None = None,
    *,
    modality: str = "CT",
    series: str = "series",
    edit: Edit | None = None,
    keep: Sequence[int] | None = None,
    first_number: int = 1,
) -> list[Path]:
    """Write one file for each slice (k, :, :) of `array` on `grid`, and return their paths in this order.

    Args:
        folder: made if it is not there.
        array: (z, y, x) of int16 values, or (z, y, x, 3) of uint8 colours; by default `phantom()`.
        grid: by default `oblique` of the array's shape.
        modality: "CT", "MR" or "PT"; others are Secondary Captures.
        series: makes the UIDs, and the names of files, of this series its own. All share one study.
        edit: changes the data set of slice k.
        keep: the slices that are written; by default all.
        first_number: InstanceNumber of slice 0.
    """
    array = phantom() if array is None else array
    grid = oblique(array.shape[:3]) if grid is None else grid
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(len(array)) if keep is None else keep:
        data = slice_dataset(array, grid, k, modality=modality, series=series, number=first_number + k)
        if edit is not None:
            edit(data, k)
        path = folder / f"{series}-{first_number + k:04d}.dcm"
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_dataset(
    array: NDArray[np.generic],
    grid: Grid,
    k: int,
    *,
    modality: str = "CT",
    series: str = "series",
    number: int,
) -> FileDataset:
    """Slice k as an instance of its own."""
    data = base_dataset(CLASSES.get(modality, SecondaryCaptureImageStorage), modality, series, number)
    data.InstanceNumber = number
    data.AcquisitionNumber = 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient = _decimals(grid.to_world((k, 0, 0)))
    data.ImageOrientationPatient = _cosines(grid)
    data.PixelSpacing = _decimals(grid.spacing[1:])
    data.SliceThickness = _decimals(grid.spacing[:1])[0]
    _put_pixels(data, array[k])
    if array.ndim == 3:
        data.RescaleIntercept, data.RescaleSlope = INTERCEPT, 1
    return data


def write_enhanced(
    path: Path,
    array: NDArray[np.int16] | None = None,
    grid: Grid | None = None,
    *,
    modality: str = "CT",
    series: str = "enhanced",
    order: Sequence[int] | None = None,
    edit: Edit | None = None,
) -> Path:
    """Write one enhanced multi-frame instance; `order[f]` is the slice of frame f.

    Args:
        path: of the file.
        array: (z, y, x); by default `phantom()`.
        grid: by default `oblique` of the array's shape.
        modality: "CT" or "MR".
        series: makes the UIDs its own.
        order: of the slices; by default 0, 1, 2, ...
        edit: changes the per-frame functional groups of frame f.
    """
    array = phantom() if array is None else array
    grid = oblique(array.shape) if grid is None else grid
    order = range(len(array)) if order is None else order
    data = base_dataset(ENHANCED[modality], modality, series, 1)
    data.InstanceNumber = 1
    data.NumberOfFrames = len(order)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = _cosines(grid)
    measures.PixelSpacing = _decimals(grid.spacing[1:])
    measures.SliceThickness = _decimals(grid.spacing[:1])[0]
    shared.PlaneOrientationSequence = Items([orientation])
    shared.PixelMeasuresSequence = Items([measures])
    data.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for number, k in enumerate(order):
        place, values, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = _decimals(grid.to_world((k, 0, 0)))
        values.RescaleIntercept, values.RescaleSlope, values.RescaleType = INTERCEPT, 1, "HU"
        frame.PlanePositionSequence = Items([place])
        frame.PixelValueTransformationSequence = Items([values])
        if edit is not None:
            edit(frame, number)
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    _put_pixels(data, array[list(order)])
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def base_dataset(sop_class: str, modality: str, series: str, number: int) -> FileDataset:
    """What every instance has: identities, no pixels, no geometry."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(series, "instance", number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID = uid("study")
    data.SeriesInstanceUID = uid(series)
    data.FrameOfReferenceUID = uid("frame of reference")
    data.Modality = modality
    data.SeriesNumber = 1
    data.SeriesDescription = f"synthetic {series}"
    data.PatientID, data.PatientName = "PHANTOM-1", "Phantom^One"
    data.PatientBirthDate, data.PatientSex = "", "O"
    data.StudyDate, data.StudyTime, data.StudyID = "20260102", "101500", "1"
    data.SeriesDate, data.SeriesTime = "20260102", "102000"
    data.AcquisitionDate, data.AcquisitionTime = "20260102", "102000"
    data.AccessionNumber, data.ReferringPhysicianName = "", ""
    return data


def _put_pixels(data: Dataset, pixels: NDArray[np.generic]) -> None:
    """Grey (..., y, x): stored as 16 bits unsigned, `INTERCEPT` taken off. Colours (y, x, 3): 8 bits."""
    colour = pixels.dtype == np.uint8
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 if colour else 16
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = 0
    if colour:
        data.PlanarConfiguration = 0
    stored = pixels if colour else (pixels.astype(np.int32) - INTERCEPT).astype("<u2")
    content = stored.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB" if colour else "OW"


def _cosines(grid: Grid) -> list[str]:
    return _decimals((*grid.direction[:, 2], *grid.direction[:, 1]))


def _decimals(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """DS: at most 16 characters."""
    return [f"{float(v):.9f}"[:16] for v in values]
