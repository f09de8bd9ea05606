"""The frames of a DICOM SEG: where each lies, and its pixels one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.io.dicom.objects import numbers
from calque.io.dicom.placing import Source
from calque.io.dicom.structures import Reference

if TYPE_CHECKING:
    from pydicom import Dataset

_PARALLEL = 1e-3  # of the cosines
_UNEVEN = 0.05  # of the distance between planes, or 0.01 mm: rounded positions
_ROUNDING = 0.01
_MOST_PLANES = 100_000


@dataclass(frozen=True)
class Frame:
    """One plane of pixels.

    Args:
        index: in the pixel data, from 0.
        segment: SegmentNumber; None in a LABELMAP, whose pixels tell.
        position: LPS mm of the centre of its first pixel.
        sources: images that it was drawn on.
    """

    index: int
    segment: int | None
    position: NDArray[np.float64]
    sources: tuple[Source, ...]


def frames_of(seg: Dataset, where: Path) -> tuple[Frame, ...]:
    """Every frame, with its segment, position and sources.

    Raises:
        GeometryError: frames have no position in the patient: tiles of a slide, or a radiograph.
        ReadError: a frame says too little of itself.
    """
    if str(seg.get("DimensionOrganizationType", "")).startswith("TILED"):
        raise _unplaced(where, "tiles of a slide")
    shared = _first(seg, "SharedFunctionalGroupsSequence")
    each = list(seg.get("PerFrameFunctionalGroupsSequence") or ())
    count = int(seg.get("NumberOfFrames") or 1)
    if len(each) != count:
        raise ReadError(
            "A SEG describes each of its frames", where=where, expected=f"{count} frames", got=len(each)
        )
    labelmap = seg.SegmentationType == "LABELMAP"
    return tuple(_frame(k, own, shared, labelmap, where) for k, own in enumerate(each))


def _frame(index: int, own: Dataset, shared: Dataset | None, labelmap: bool, where: Path) -> Frame:
    plane = _group(own, shared, "PlanePositionSequence")
    if plane is None:
        tiles = _group(own, shared, "PlanePositionSlideSequence") is not None
        raise _unplaced(where, "tiles of a slide" if tiles else "no plane position")
    position = numbers(plane.get("ImagePositionPatient"), 3, f"{where}, frame {index + 1}: its position")
    segment = None
    if not labelmap:
        identity = _group(own, shared, "SegmentIdentificationSequence")
        if identity is None or identity.get("ReferencedSegmentNumber") is None:
            raise ReadError("A frame belongs to no segment", where=f"{where}, frame {index + 1}")
        segment = int(identity.ReferencedSegmentNumber)
    return Frame(index, segment, position, tuple(_sources(own, shared)))


def _sources(own: Dataset, shared: Dataset | None) -> Iterator[Source]:
    for group in (own, shared):
        for derivation in () if group is None else group.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                listed: Any = source.get("ReferencedFrameNumber")
                frames = [None] if listed is None else np.asarray(listed).reshape(-1).tolist()
                for frame in frames:
                    yield str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame)


def lattice(
    seg: Dataset, frames: Sequence[Frame], reference: Reference | None, where: Path
) -> tuple[Grid, tuple[int, ...]]:
    """The grid that the frames lie on, empty slices between them among it, and the slice of each frame.

    The distance between slices is that of the reference where frames lie on its slices, else
    SpacingBetweenSlices, else the smallest distance that occurs; of a single plane SliceThickness.

    Raises:
        GeometryError: frames are not parallel, lie unevenly, or nothing tells how far slices are apart.
    """
    rows, columns, spacing, stated = _measures(seg, where)
    normal = np.cross(columns, rows)  # from the first to the last slice: right-handed with x and y
    heights = np.array([frame.position for frame in frames]) @ normal
    low = float(heights.min())
    step = _step(np.unique(np.round(heights - low, 4)), _toward(reference, normal), stated, where)
    places = np.rint((heights - low) / step).astype(np.int64)
    count = int(places.max()) + 1
    first, last = frames[int(heights.argmin())].position, frames[int(heights.argmax())].position
    between = normal * step if count == 1 else (last - first) / (count - 1)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([between, rows * spacing[0], columns * spacing[1]], axis=1)
    affine[:3, 3] = first
    ideal = first + places[:, None] * between
    gap = float(np.abs(ideal - [frame.position for frame in frames]).max())
    if gap > max(_ROUNDING, _UNEVEN * min(step, *spacing)) or count > _MOST_PLANES:
        raise GeometryError(
            "The planes of this SEG do not form a regular stack", where=where, got=f"{gap:.3g} mm off it"
        )
    return Grid((count, int(seg.Rows), int(seg.Columns)), affine), tuple(int(k) for k in places)


def _toward(reference: Reference | None, normal: NDArray[np.float64]) -> float | None:
    """The distance between the reference's slices, where they are parallel to these."""
    if reference is None:
        return None
    cosines = np.abs(normal @ reference.grid.direction)
    axis = int(cosines.argmax())
    return reference.grid.spacing[axis] if cosines[axis] > 1 - _PARALLEL else None


def _step(
    heights: NDArray[np.float64], wanted: float | None, stated: tuple[float, float], where: Path
) -> float:
    """The distance between slices; `heights` ascend from 0, `stated` is between slices and thickness."""
    between, thickness = stated
    if len(heights) == 1:
        found = wanted or between or thickness
        if not found:
            raise GeometryError(
                "Nothing tells how thick the only slice of this SEG is", where=where, fix="give its series"
            )
        return found
    for step in (wanted, between, float(np.diff(heights).min())):
        if not step:
            continue
        whole = np.rint(heights / step)
        if (np.diff(whole) > 0).all() and _even(heights, step, whole):
            return step
    raise GeometryError(
        "The planes of this SEG lie unevenly",
        where=where,
        expected="distances that are multiples of one",
        got=", ".join(f"{d:.4g}" for d in np.unique(np.round(np.diff(heights), 3))[:8]) + " mm",
        fix="give the series on which it was drawn (--reference)",
    )


def _even(heights: NDArray[np.float64], step: float, whole: NDArray[np.float64]) -> bool:
    """On multiples of the step; as a whole the lattice may differ from it by what rounding adds up to."""
    fitted = heights[-1] / whole[-1]
    drift = abs(fitted - step) * whole[-1]
    off = np.abs(heights - whole * fitted).max()
    return bool(off <= max(_ROUNDING, _UNEVEN * step) and drift <= max(_ROUNDING, 0.5 * step))


def _measures(
    seg: Dataset, where: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Unit vectors down the rows and along the columns, mm between rows and columns, and of slices.

    Raises:
        GeometryError: they are not given, impossible, or not those of every frame.
    """
    shared = _first(seg, "SharedFunctionalGroupsSequence")
    cosines, spacings = [], []
    slices = (0.0, 0.0)
    for own in seg.PerFrameFunctionalGroupsSequence:
        orientation, measures = (
            _group(own, shared, name) for name in ("PlaneOrientationSequence", "PixelMeasuresSequence")
        )
        if orientation is None or measures is None:
            raise _unplaced(where, "no plane orientation or pixel spacing")
        cosines.append(numbers(orientation.get("ImageOrientationPatient"), 6, f"{where}: its orientation"))
        spacings.append(numbers(measures.get("PixelSpacing"), 2, f"{where}: its pixel spacing"))
        slices = (
            abs(float(measures.get("SpacingBetweenSlices") or 0)),
            abs(float(measures.get("SliceThickness") or 0)),
        )
        if shared is not None and "PlaneOrientationSequence" in shared and "PixelMeasuresSequence" in shared:
            break
    if np.ptp(cosines, axis=0).max() > _PARALLEL or np.ptp(spacings, axis=0).max() > _PARALLEL:
        raise GeometryError("The planes of this SEG are not parallel, or not of one spacing", where=where)
    along, down = cosines[0][:3], cosines[0][3:]
    lengths = np.linalg.norm([along, down], axis=1)
    if np.abs(lengths - 1).max() > _ROUNDING or abs(along @ down) > _PARALLEL or spacings[0].min() <= 0:
        raise GeometryError("The orientation or pixel spacing of this SEG is impossible", where=where)
    return down / lengths[1], along / lengths[0], spacings[0], slices


class Pixels:
    """Frame by frame, so that no more than one is held.

    Args:
        seg: with its pixel data.
        where: for errors.

    Raises:
        TruncatedError: there are fewer pixels than announced.
    """

    def __init__(self, seg: Dataset, where: Path) -> None:
        self.seg = seg
        self.shape = (int(seg.Rows), int(seg.Columns))
        self.bits = int(seg.BitsAllocated)
        self.native = not seg.file_meta.TransferSyntaxUID.is_encapsulated
        needed = int(seg.get("NumberOfFrames") or 1) * self.shape[0] * self.shape[1] * self.bits
        held = 8 * len(seg.PixelData)
        if self.native and held < needed:
            raise TruncatedError(
                "This SEG ends before its pixels do",
                where=where,
                expected=f"{-(-needed // 8)} bytes",
                got=held // 8,
            )

    def __getitem__(self, index: int) -> NDArray[np.unsignedinteger]:
        """(rows, columns) of frame `index`, as stored."""
        size = self.shape[0] * self.shape[1]
        if self.native and self.bits == 1:  # frames follow each other without padding to whole bytes
            start = index * size
            part = np.frombuffer(self.seg.PixelData[start // 8 : (start + size + 7) // 8], np.uint8)
            bits = np.unpackbits(part, bitorder="little")[start % 8 : start % 8 + size]
            return np.asarray(bits.reshape(self.shape))
        from pydicom.pixels.utils import pixel_array

        frame = pixel_array(self.seg, index=index, raw=True)
        return np.asarray(frame).reshape(self.shape)


def _first(holder: Dataset, name: str) -> Dataset | None:
    sequence = holder.get(name)
    return sequence[0] if sequence else None


def _group(own: Dataset, shared: Dataset | None, name: str) -> Dataset | None:
    """A functional group of a frame, else of all."""
    found = _first(own, name)
    return found if found is not None or shared is None else _first(shared, name)


def _unplaced(where: Path, got: str) -> GeometryError:
    return GeometryError(
        "This SEG has no position in a patient, so its voxels cannot be placed",
        where=where,
        expected="planes with a position, an orientation and a spacing",
        got=got,
        fix="SEG of slides and radiographs are not read; export the mask as a picture",
    )
