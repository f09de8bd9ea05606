"""DICOM Segmentation: BINARY, FRACTIONAL and LABELMAP (PS3.3 A.51, C.8.20)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calque.errors import InputError, LabelError, ReadError
from calque.io.dicom.objects import lab_colour, read_object, understood
from calque.io.dicom.placing import Places, to_grid
from calque.io.dicom.read_codes import segment_code
from calque.io.dicom.seg_frames import Pixels, frames_of, lattice
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
from calque.labels import BACKGROUND, present_values

if TYPE_CHECKING:
    from pydicom import Dataset

THRESHOLD = 0.5
"""Of MaximumFractionalValue: from here on a fractional voxel belongs to its segment."""

_MOST = 65535
_TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")


def read_seg(path: Path, reference: Reference | None = None, threshold: float = THRESHOLD) -> Structures:
    """Every segment of a SEG, on its own grid or on that of a reference.

    Frames that are not stored are empty. Segments without frames have no voxels.

    Args:
        path: the file.
        reference: the series that it belongs to; None: the grid on which the SEG's own frames lie.
        threshold: of FRACTIONAL: the part of the highest value from which on a voxel belongs.

    Raises:
        ReadError: damaged, truncated (TruncatedError), or not a SEG.
        GeometryError: without a position in the patient, irregular, or not on the reference's voxels.
        LabelError: pixels of a LABELMAP that no segment declares.
        InputError: a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError("A threshold is above 0 and at most 1", got=threshold)
    seg = read_object(path)
    with understood(path, "SEG"):
        if seg.get("SegmentationType") not in _TYPES or not seg.get("SegmentSequence"):
            raise ReadError("This is no DICOM SEG", where=path, expected=", ".join(_TYPES))
        return _read(seg, path, reference, threshold)


def _read(seg: Dataset, path: Path, reference: Reference | None, threshold: float) -> Structures:
    frames = frames_of(seg, path)
    grid, places = lattice(seg, frames, reference, path)
    pixels = Pixels(seg, path)
    segments = _segments(seg, path)
    labelmap = seg.SegmentationType == "LABELMAP"
    segments.pop(BACKGROUND, None)
    planes: dict[int, list[Plane]] = defaultdict(list)
    for frame, place in zip(frames, places, strict=True):
        raw = pixels[frame.index]
        if labelmap:
            found = _labelled(raw, seg.get("PixelPaddingValue"), set(segments), path)
        else:
            number = _declared(frame.segment, segments, path)
            found = {number: _marked(raw, seg, threshold)}
        for number, mask in found.items():
            plane = cropped_plane(place, mask)
            if plane is not None:
                planes[number].append(plane)
    names = unique_names([str(s.get("SegmentLabel", "")) for s in segments.values()], list(segments))
    items = []
    for name, (number, segment) in zip(names, segments.items(), strict=True):
        colour = lab_colour(segment.get("RecommendedDisplayCIELabValue"))
        box, voxels = from_planes(planes[number])
        items.append(Structure(name, number, colour, box, voxels, segment_code(segment)))
    own = Structures(grid, tuple(items), tuple(_notes(seg, items, threshold)))
    if reference is None:
        return own
    moved = to_grid(own, reference.grid, path)
    ledger = Places(reference, path)
    for frame in frames:
        height = float(reference.grid.to_index(frame.position)[0])
        ledger.confirm(round(height), frame.sources, f"frame {frame.index + 1}")
    notes = ledger.conclude(str(seg.get("FrameOfReferenceUID", "")) or None)
    return Structures(moved.grid, moved.items, (*moved.notes, *notes))


def _segments(seg: Dataset, path: Path) -> dict[int, Dataset]:
    numbers = [int(segment.SegmentNumber) for segment in seg.SegmentSequence]
    if len(set(numbers)) != len(numbers) or not all(0 <= n <= _MOST for n in numbers):
        raise ReadError(
            "Segments have unique numbers", where=path, expected=f"1 to {_MOST}", got=numbers[:20]
        )
    return dict(zip(numbers, seg.SegmentSequence, strict=True))


def _declared(number: int | None, segments: dict[int, Dataset], path: Path) -> int:
    if number is None or number not in segments:
        raise LabelError(
            "A frame belongs to a segment that is not declared",
            where=path,
            expected=f"segments {list(segments)[:20]}",
            got=number,
        )
    return number


def _marked(raw: NDArray[np.unsignedinteger], seg: Dataset, threshold: float) -> NDArray[np.bool_]:
    if seg.SegmentationType == "BINARY":
        return np.asarray(raw != 0)
    return np.asarray(raw >= threshold * float(seg.MaximumFractionalValue))


def _labelled(
    raw: NDArray[np.unsignedinteger], padding: object, declared: set[int], path: Path
) -> dict[int, NDArray[np.bool_]]:
    """Number -> mask; the padding value is outside of what was segmented."""
    outside = {BACKGROUND} if padding is None else {BACKGROUND, int(str(padding))}
    found = [v for v in present_values(raw) if v not in outside]
    wrong = set(found) - declared
    if wrong:
        raise LabelError(
            "The SEG holds values that no segment declares",
            where=path,
            expected=f"segments {sorted(declared)[:20]}",
            got=sorted(wrong)[:20],
        )
    return {value: raw == value for value in found}


def _notes(seg: Dataset, items: Sequence[Structure], threshold: float) -> list[Note]:
    notes = []
    empty = [item.name for item in items if item.box is None]
    if empty:
        notes.append(Note("structure-empty", f"no voxel: {', '.join(empty[:20])}"))
    if seg.SegmentationType == "FRACTIONAL":
        kind = str(seg.get("SegmentationFractionalType", "")).lower() or "fraction"
        notes.append(Note("mask-fractional", f"{kind}: voxels from {threshold:g} on belong to a segment"))
    return notes
