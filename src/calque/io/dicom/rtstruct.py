"""RT Structure Set: contours to masks on the grid of the series they were drawn on (PS3.3 C.8.8.5, C.8.8.6).

Contours of one structure on one slice are combined by the even-odd rule. Slices without a contour stay empty:
nothing is interpolated.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, ReadError
from calque.geometry import Box
from calque.io.dicom.objects import read_object, rgb_colour, understood
from calque.io.dicom.placing import Places, Source, outside, slice_of
from calque.io.dicom.scanline import fill
from calque.io.dicom.structures import (
    Note,
    Plane,
    Reference,
    Structure,
    Structures,
    cropped_plane,
    from_planes,
    unique_names,
)

if TYPE_CHECKING:
    from pydicom import Dataset

_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_CONTOUR_DATA = 0x30060050
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class _Contour:
    """Corners (n, 3) in LPS mm, and the images that it was drawn on."""

    points: NDArray[np.float64]
    sources: tuple[Source, ...]


def read_rtstruct(path: Path, reference: Reference | None) -> Structures:
    """Every structure of a structure set as a mask.

    A voxel belongs where its centre is inside. Points and open lines enclose nothing and are left out, which
    a note says.

    Args:
        path: the file.
        reference: the series that it was drawn on; contours have no voxels of their own.

    Raises:
        ReadError: damaged, or no RTSTRUCT.
        GeometryError: no reference; contours that do not lie on its slices, or lie outside it.
    """
    if reference is None:
        raise GeometryError(
            "An RTSTRUCT holds contours, which become voxels only on the grid of their series",
            where=path,
            fix="give the series on which it was drawn (--reference)",
        )
    dataset = read_object(path)
    with understood(path, "RTSTRUCT"):
        if dataset.get("StructureSetROISequence") is None:
            raise ReadError("This is no RTSTRUCT", where=path)
        return _read(dataset, path, reference)


def _read(dataset: Dataset, path: Path, reference: Reference) -> Structures:
    rois = list(dataset.StructureSetROISequence)
    drawn = {int(c.ReferencedROINumber): c for c in dataset.get("ROIContourSequence") or ()}
    named = [str(roi.get("ROIName", "")) for roi in rois]
    names = unique_names(named, [int(roi.ROINumber) for roi in rois])
    ledger = Places(reference, path)
    items, notes = [], []
    for number, (name, roi) in enumerate(zip(names, rois, strict=True), start=1):
        holder = drawn.get(int(roi.ROINumber))
        contours, skipped = ([], 0) if holder is None else _contours(holder, f"{path}: {name}")
        planes, found = _planes(contours, name, ledger, path)
        notes += found
        if skipped:
            notes.append(Note("structure-empty", f"{name}: {skipped} points or lines enclose nothing"))
        if not planes:
            notes.append(Note("structure-empty", f"no voxel: {name}"))
        colour = None if holder is None else rgb_colour(holder.get("ROIDisplayColor"))
        items.append(Structure(name, number, colour, *from_planes(planes)))
    notes += ledger.conclude(_frame_of_reference(dataset, rois))
    return Structures(reference.grid, tuple(items), tuple(notes))


def _frame_of_reference(dataset: Dataset, rois: list[Dataset]) -> str | None:
    """The one in which the contours are; where structures name several, or none, it is not known."""
    named = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in rois} - {""}
    listed = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    named = named or {str(item.get("FrameOfReferenceUID", "")) for item in listed} - {""}
    return named.pop() if len(named) == 1 else None


def _contours(holder: Dataset, where: str) -> tuple[list[_Contour], int]:
    """Those that enclose an area, and how many do not."""
    found, skipped = [], 0
    for item in holder.get("ContourSequence") or ():
        points = _points(item, where)
        if item.get("ContourGeometricType") not in _AREAS or len(points) < _FEWEST:
            skipped += 1
            continue
        images = item.get("ContourImageSequence") or ()
        sources = tuple(
            (str(i.ReferencedSOPInstanceUID), int(i.get("ReferencedFrameNumber") or 0) or None)
            for i in images
        )
        found.append(_Contour(points, sources))
    return found, skipped


def _points(item: Dataset, where: str) -> NDArray[np.float64]:
    """(n, 3); parsed here, since pydicom makes an object of every number."""
    element = item.get_item(_CONTOUR_DATA)
    raw = None if element is None else element.value
    texts = raw.rstrip(b"\0 ").split(b"\\") if isinstance(raw, bytes) else raw
    try:
        values = np.array(texts or [], dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.size % 3 or not np.isfinite(values).all():
        raise ReadError("A contour's points are three numbers each", where=where, got=f"{values.size} values")
    return values.reshape(-1, 3)


def _planes(
    contours: list[_Contour], name: str, ledger: Places, path: Path
) -> tuple[list[Plane], list[Note]]:
    """The masks of a structure slice by slice."""
    grid = ledger.reference.grid
    slices: dict[int, dict[bytes, NDArray[np.float64]]] = defaultdict(dict)
    doubled = 0
    for contour in contours:
        index = grid.to_index(contour.points)
        where = f"{path}: {name}"
        place = slice_of(index[:, 0], where)
        low, high = index.min(axis=0), index.max(axis=0)
        if not 0 <= place < grid.shape[0] or (high < -0.5).any() or (low > np.array(grid.shape) - 0.5).any():
            raise outside(where, _around(low, high, place), grid)
        ledger.confirm(place, contour.sources, name)
        key = contour.points.tobytes()
        doubled += key in slices[place]
        slices[place][key] = index[:, 1:]
    planes, crossing = [], 0
    for place, polygons in sorted(slices.items()):
        mask, crosses = _combined(list(polygons.values()), (grid.shape[1], grid.shape[2]))
        crossing += crosses
        plane = cropped_plane(place, mask)
        if plane is not None:
            planes.append(plane)
    return planes, _notes(name, sorted(slices), doubled, crossing)


def _around(low: NDArray[np.float64], high: NDArray[np.float64], place: int) -> Box:
    rows, columns = ((int(np.floor(low[k])), int(np.ceil(high[k])) + 1) for k in (1, 2))
    return Box((place, rows[0], columns[0]), (place + 1, rows[1], columns[1]))


def _combined(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> tuple[NDArray[np.bool_], bool]:
    """Even-odd over all, and whether two of them cross, where that is one reading of several."""
    masks = [fill([polygon], shape) for polygon in polygons]
    mask = np.logical_xor.reduce(masks)
    crosses = False
    for k, one in enumerate(masks):
        for other in masks[k + 1 :]:
            shared = int(np.count_nonzero(one & other))
            crosses |= 0 < shared < min(int(one.sum()), int(other.sum()))
    return mask, crosses


def _notes(name: str, places: list[int], doubled: int, crossing: int) -> list[Note]:
    notes = []
    missed = places[-1] - places[0] + 1 - len(places) if places else 0
    if missed:
        notes.append(Note("structure-gaps", f"{name}: {missed} slices without a contour between others"))
    if doubled:
        notes.append(Note("contours-ambiguous", f"{name}: {doubled} contours are there twice; one counts"))
    if crossing:
        notes.append(
            Note(
                "contours-ambiguous",
                f"{name}: contours cross on {crossing} slices; shared parts are left out",
            )
        )
    return notes
