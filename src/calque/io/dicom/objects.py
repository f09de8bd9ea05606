"""Opening DICOM objects that hold labels; what is damaged is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, MissingExtraError, ReadError
from calque.labels import Colour

if TYPE_CHECKING:
    from pydicom import Dataset

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SEG_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
STRUCTURES = {SEG: "SEG", SEG_LABELMAP: "SEG", RTSTRUCT: "RTSTRUCT"}
"""SOP class -> what it is called."""

_MAGIC = b"DICM"
_PREAMBLE = 128
# CIE Lab to sRGB by illuminant D65, as dcmqi and highdicom have it (IEC 61966-2-1). The standard's profile
# connection space is D50, but what writers put there was made with D65.
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def structures_kind(path: Path) -> str | None:
    """ "SEG" or "RTSTRUCT", where this file is one; None for any other file, and where there is none.

    Raises:
        ReadError: DICOM that is damaged, or says in one place that it is one and in another that it is not.
        MissingExtraError: pydicom is not installed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_PREAMBLE + len(_MAGIC))
    except OSError:
        return None
    if head[_PREAMBLE:] != _MAGIC:
        return None
    with _pydicom_errors(path):
        from pydicom import dcmread

        found = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "Modality"])
        stored = str(found.file_meta.get("MediaStorageSOPClassUID", "") or "")
        own, modality = str(found.get("SOPClassUID", "") or ""), str(found.get("Modality", "") or "")
    return _said_kind({own or stored, stored or own}, modality, path)


def _said_kind(classes: set[str], modality: str, path: Path) -> str | None:
    if classes == {""}:
        raise ReadError(
            "This DICOM file does not say what it holds",
            where=path,
            expected="SOPClassUID",
            fix="copy or export it again, or remove it",
        )
    kinds = {STRUCTURES.get(one) for one in classes}
    hidden = modality in STRUCTURES.values() and modality not in kinds
    if len(kinds) > 1 or hidden:
        raise ReadError(
            "This DICOM file contradicts itself on whether it is a SEG or RTSTRUCT",
            where=path,
            got=f"modality {modality or 'not given'}, classes {' and '.join(sorted(classes))}",
            fix="it is damaged: copy or export it again, or remove it",
        )
    return kinds.pop()


def read_object(path: Path, *, pixels: bool = True) -> Dataset:
    """The data set of a file, perhaps without its pixels.

    Raises:
        ReadError: it is missing, or no DICOM file.
        MissingExtraError: pydicom is not installed.
    """
    if not path.is_file():
        raise ReadError("There is no such file", where=path)
    with _pydicom_errors(path):
        from pydicom import dcmread

        return dcmread(path, stop_before_pixels=not pixels)


@contextmanager
def understood(path: Path, what: str) -> Iterator[None]:
    """Turn what pydicom and numpy raise on damaged content into a ReadError; texts of theirs may hold values
    of the file, so only their kind is told."""
    try:
        yield
    except (CalqueError, MemoryError):
        raise
    except Exception as problem:
        raise ReadError(
            f"This {what} is damaged, or not as the standard says",
            where=path,
            got=f"{type(problem).__name__} while reading it",
            fix="export it again; `dciodvfy` says what is wrong with it",
        ) from problem


@contextmanager
def _pydicom_errors(path: Path) -> Iterator[None]:
    try:
        with understood(path, "DICOM file"):
            yield
    except ReadError as problem:
        cause = problem.__cause__
        if isinstance(cause, ModuleNotFoundError):
            raise MissingExtraError("pydicom", "dicom") from None
        raise


def numbers(values: object, count: int, where: str) -> NDArray[np.float64]:
    """`count` finite numbers of a multi-valued element.

    Raises:
        ReadError: there are others.
    """
    try:
        found = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.size != count or not np.isfinite(found).all():
        raise ReadError("Numbers are missing in this DICOM file", where=where, expected=f"{count} numbers")
    return found


def lab_colour(encoded: object) -> Colour | None:
    """RecommendedDisplayCIELabValue (PS3.3 C.10.7.1.1) -> sRGB; None where it is not given."""
    if encoded is None:
        return None
    whole = np.asarray(encoded, dtype=np.float64).reshape(-1)
    if whole.size != 3:
        return None
    light, a, b = whole[0] * 100 / 65535, *(whole[1:] * 255 / 65535 - 128)
    root = (light + 16) / 116 + np.array([a / 500, 0.0, -b / 200])
    xyz = _WHITE * np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = np.clip(_TO_RGB @ xyz, 0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(v) for v in np.rint(gamma * 255))
    return red, green, blue


def rgb_colour(values: object) -> Colour | None:
    """ROIDisplayColor; None where it is not given or no colour."""
    try:
        found = [int(v) for v in np.asarray(values, dtype=np.float64).reshape(-1)]
    except (TypeError, ValueError):
        return None
    if len(found) != 3 or not all(0 <= v <= 255 for v in found):
        return None
    return found[0], found[1], found[2]
