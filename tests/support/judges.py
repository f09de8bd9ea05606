"""Readers of DICOM that are not ours: they say whether what was written is right."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from calque.geometry import Grid
from calque.image import LabelMap


def dciodvfy_errors(path: Path) -> list[str]:
    """What dicom3tools finds wrong; the test is skipped where it is not installed."""
    found = subprocess.run(
        [_program("dciodvfy", "dicom3tools"), "-new", path], capture_output=True, text=True, check=False
    )
    lines = (found.stdout + found.stderr).splitlines()
    assert any("IOD" in line or line in IODS for line in lines), lines[:3]  # it knew what it looked at
    return [line for line in lines if line.startswith("Error")]


IODS = ("Segmentation", "RTStructureSet", "Comprehensive3DSR", "SCImage")


def dcmqi_labels(path: Path, folder: Path) -> tuple[NDArray[np.integer], Grid]:
    """Label map of a SEG, (z, y, x) and where it lies; segment numbers are its values."""
    folder.mkdir()
    arguments = ["--inputDICOM", path, "--outputDirectory", folder, "--prefix", "p", "--mergeSegments"]
    program = _program("segimage2itkimage", "dcmqi")
    found = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-500:]
    (file,) = folder.glob("*.nrrd")
    return _read_itk(file)


def highdicom_labels(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """Label map of a SEG; highdicom may reverse or crop axes, the grid says so."""
    from highdicom.seg import segread

    volume = segread(path).get_volume(combine_segments=True)
    array = np.asarray(volume.array)
    return array, Grid((array.shape[0], array.shape[1], array.shape[2]), volume.affine)


def plastimatch_masks(rtstruct: Path, images: Path, folder: Path) -> dict[str, NDArray[np.bool_]]:
    """Name of each structure -> mask (z, y, x) on the images' grid, z upwards."""
    arguments = ["--input", rtstruct, "--referenced-ct", images, "--output-prefix", folder]
    program = _program("plastimatch", "plastimatch")
    command = [program, "convert", *arguments, "--prefix-format", "nrrd"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-500:]
    return {file.stem: _read_itk(file)[0] > 0 for file in folder.glob("*.nrrd")}


def same_place(array: NDArray[np.integer], grid: Grid, truth: LabelMap) -> bool:
    """Whether the same voxels, by position, hold the same values; background may be cropped."""
    there = np.argwhere(array)
    index = truth.grid.to_index(grid.to_world(there))
    if len(there) != np.count_nonzero(truth.array) or np.abs(index - index.round()).max(initial=0) > 0.01:
        return False
    z, y, x = index.round().astype(int).T
    return bool((truth.array[z, y, x] == array[tuple(there.T)]).all())


def _read_itk(file: Path) -> tuple[NDArray[np.integer], Grid]:
    image = SimpleITK.ReadImage(str(file))
    array = SimpleITK.GetArrayFromImage(image)
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    return array, Grid.from_parts(array.shape, image.GetSpacing()[::-1], image.GetOrigin(), direction)


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found
