"""DICOM SEG: label maps as segmentations, BINARY or LABELMAP (DICOM PS3.3, A.51 and A.93)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calque.errors import LabelError
from calque.image import LabelMap
from calque.io.dicom.model import Stack
from calque.io.dicom.write_codes import (
    cielab,
    code_of,
    name_private_scheme,
    put_property,
    source_image,
    triplet,
    uncoded_note,
)
from calque.io.dicom.write_object import (
    Identity,
    Kind,
    Source,
    Written,
    cosines,
    decimals,
    derived_uid,
    digest,
    name_contents,
    new_item,
    new_object,
    read_source,
    referenced_series,
    save,
    short,
)
from calque.io.dicom.write_place import Placed, place
from calque.labels import Label, Labels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"

SegKind = Literal["binary", "labelmap"]

_SEGMENT, _SEGMENT_GROUP = 0x0062000B, 0x0062000A
_POSITION, _POSITION_GROUP = 0x00200032, 0x00209113
_IN_STACK, _CONTENT_GROUP = 0x00209057, 0x00209111


class Frame(NamedTuple):
    """One frame: a plane, and the segment in it (0: all of them)."""

    segment: int
    plane: int


def write_seg(
    label_map: LabelMap, stack: Stack, file: Path | str, identity: Identity, kind: SegKind = "binary"
) -> Written:
    """Write a label map as DICOM SEG of the images in `stack`.

    BINARY is uncompressed, has a frame for each class and plane where there is some of it, and the first and
    last plane of class 1 always, so that every reader rebuilds the whole grid; segments are numbered from 1
    in the order of the classes. LABELMAP is RLE, has every plane, and holds the label values themselves. A
    label map without any label is a valid, empty SEG. Voxels of the ignore value are background.

    Args:
        label_map: on the stack's grid (turned, flipped or cropped too), or on another grid within the
            images; then frames do not refer to single images, only the object does to all of them.
        stack: of `find_stacks`.
        file: is replaced.
        identity: what made the labels.
        kind: of SEG.

    Raises:
        GeometryError: labels outside the images, or a grid whose axes are not at right angles.
        LabelError: values that are not declared.
        ReadError: the images cannot be read any more.
        ResourceError: the disk is full.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    label_map.labels.require_declared(label_map.array)
    source, placed = read_source(stack), place(label_map, stack)
    labels, array = label_map.labels, placed.label_map.array
    if kind == "binary" and len(labels.classes) > 65535:
        raise LabelError("A SEG holds at most 65535 segments", got=len(labels.classes))
    content = digest(array.astype("<u2").tobytes(), labels.to_json().encode(), placed.positions.tobytes())
    name: Kind = "seg" if kind == "binary" else "labelmap"
    sop_class = SEGMENTATION if kind == "binary" else LABEL_MAP_SEGMENTATION
    data = new_object(source, identity, name, sop_class, content)
    name_contents(data, identity, "Segmentation")
    _put_image(data, placed, kind)
    if not stack.placed:
        data.PatientOrientation = source.header.get("PatientOrientation", "")
    numbers = segment_numbers(labels, kind)
    data.SegmentSequence = [
        _segment(label, number, source, identity)
        for label, number in zip(labels.classes, numbers, strict=True)
    ]
    data.ReferencedSeriesSequence = [referenced_series(source)]
    if not placed.aligned:
        data.SourceImageSequence = [source_image(one) for one in source.files]
    name_private_scheme(data, labels)
    frames = binary_frames(array, labels) if kind == "binary" else [Frame(0, z) for z in range(len(array))]
    _put_groups(data, source, placed, frames)
    if kind == "binary":
        _put_bits(data, array, labels, frames)
    else:
        _put_values(data, array, labels)
    save(data, file)
    notes = (*uncoded_note(labels), *_geometry_notes(stack, placed))
    return Written(Path(file), sop_class, data.SOPInstanceUID, data.SeriesInstanceUID, notes)


def segment_numbers(labels: Labels, kind: SegKind) -> tuple[int, ...]:
    """Of each class: 1, 2, ... in BINARY, as DICOM asks; the label values in LABELMAP."""
    return labels.values if kind == "labelmap" else tuple(range(1, len(labels.classes) + 1))


def binary_frames(array: NDArray[np.integer], labels: Labels) -> list[Frame]:
    """Segment by segment the planes that hold it; the first and last plane of segment 1 in any case."""
    found = np.zeros((len(labels.classes), len(array)), bool)
    table = {value: k for k, value in enumerate(labels.values)}
    for z, plane in enumerate(array):
        for value in np.unique(plane):
            if int(value) in table:
                found[table[int(value)], z] = True
    found[0, [0, -1]] = True
    return [Frame(int(k) + 1, int(z)) for k, z in np.argwhere(found)]


def _segment(label: Label, number: int, source: Source, identity: Identity) -> Dataset:
    item = new_item()
    item.SegmentNumber = number
    item.SegmentLabel = short(label.name, 64)
    item.SegmentAlgorithmType = "AUTOMATIC" if identity.automatic else "MANUAL"
    if identity.automatic:
        item.SegmentAlgorithmName = short(identity.name, 64)
        item.SegmentationAlgorithmIdentificationSequence = [algorithm(identity)]
    item.TrackingID = short(label.name, 64)
    item.TrackingUID = derived_uid("tracking", source.stack.series.uid, identity.key, label.name)
    item.RecommendedDisplayCIELabValue = cielab(label.colour)
    put_property(item, code_of(label))
    return item


def algorithm(identity: Identity) -> Dataset:
    """An item of an algorithm identification sequence: the model, by name and by hash."""
    item = new_item()
    item.AlgorithmFamilyCodeSequence = [triplet("123110", "DCM", "Artificial Intelligence")]
    item.AlgorithmName = short(identity.name, 64)
    item.AlgorithmVersion = short(identity.version, 64)
    item.AlgorithmSource = "Calque"
    if identity.key:
        item.AlgorithmParameters = f"model sha256={identity.key}"
    return item


def _put_image(data: Dataset, placed: Placed, kind: SegKind) -> None:
    _, rows, columns = placed.label_map.grid.shape
    bits = 1 if kind == "binary" else 8 * placed.label_map.labels.dtype.itemsize
    data.ImageType = ["DERIVED", "PRIMARY"]
    data.SegmentationType = kind.upper()
    data.SegmentsOverlap = "NO"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PresentationLUTShape = "IDENTITY"
    data.PixelRepresentation = 0
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit = bits - 1
    data.Rows, data.Columns = rows, columns
    data.LossyImageCompression = "00"
    data.BurnedInAnnotation = "NO"
    data.Modality = "SEG"
    if kind == "labelmap":
        data.PixelPaddingValue = 0


def _put_groups(data: Dataset, source: Source, placed: Placed, frames: list[Frame]) -> None:
    """Dimensions, shared and per-frame functional groups."""
    by_segment = frames[0].segment > 0
    where = (_POSITION, _POSITION_GROUP) if source.stack.placed else (_IN_STACK, _CONTENT_GROUP)
    organisation = derived_uid("dimensions", data.SOPInstanceUID)
    held = new_item()
    held.DimensionOrganizationUID = organisation
    data.DimensionOrganizationSequence = [held]
    pointers = ([(_SEGMENT, _SEGMENT_GROUP)] if by_segment else []) + [where]
    data.DimensionIndexSequence = [_dimension(organisation, *pair) for pair in pointers]
    data.SharedFunctionalGroupsSequence = [_shared(source, placed)]
    images = _derivations(source) if placed.aligned else None
    positions = _plane_positions(source, placed)
    groups = []
    for frame in frames:
        group, content = new_item(), new_item()
        place_in_order = frame.plane + 1
        content.DimensionIndexValues = [frame.segment, place_in_order] if by_segment else [place_in_order]
        group.FrameContentSequence = [content]
        if positions is None:
            content.StackID, content.InStackPositionNumber = "1", place_in_order
        else:
            group.PlanePositionSequence = [positions[frame.plane]]
        if by_segment:
            segment = new_item()
            segment.ReferencedSegmentNumber = frame.segment
            group.SegmentIdentificationSequence = [segment]
        if images is not None:
            group.DerivationImageSequence = [images[frame.plane]]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.NumberOfFrames = len(frames)


def _dimension(organisation: str, pointer: int, group: int) -> Dataset:
    item = new_item()
    item.DimensionOrganizationUID = organisation
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
    return item


def _shared(source: Source, placed: Placed) -> Dataset:
    grid, group = placed.label_map.grid, new_item()
    if source.stack.placed or source.stack.spacing_known:
        measures = new_item()
        measures.PixelSpacing = decimals(grid.spacing[1:])
        measures.SliceThickness = decimals(grid.spacing[:1])[0]
        measures.SpacingBetweenSlices = measures.SliceThickness
        group.PixelMeasuresSequence = [measures]
    if source.stack.placed:
        orientation = new_item()
        orientation.ImageOrientationPatient = cosines(placed.orientation)
        group.PlaneOrientationSequence = [orientation]
    return group


def _plane_positions(source: Source, placed: Placed) -> list[Dataset] | None:
    """Of each plane: as its image says it, where there is one."""
    if not source.stack.placed:
        return None
    exact = [one.position for one in source.stack.slices] if placed.aligned else placed.positions
    items = []
    for position in exact:
        item = new_item()
        item.ImagePositionPatient = decimals(position)
        items.append(item)
    return items


def _derivations(source: Source) -> list[Dataset]:
    """Of each plane: the image, and the frame of it, that was segmented."""
    items = []
    for one in source.stack.slices:
        image, item = source_image(one, source), new_item()
        image.SpatialLocationsPreserved = "YES"
        item.DerivationCodeSequence = [triplet("113076", "DCM", "Segmentation")]
        item.SourceImageSequence = [image]
        items.append(item)
    return items


def _put_bits(data: Dataset, array: NDArray[np.integer], labels: Labels, frames: list[Frame]) -> None:
    """One bit a voxel, frame after frame without gaps, the first pixel in the lowest bit."""
    content = b"".join(_packed(array, labels, frames))
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB"


def _packed(array: NDArray[np.integer], labels: Labels, frames: list[Frame]) -> Iterator[bytes]:
    for start in range(0, len(frames), 8):  # eight frames are whole bytes whatever their size
        bits = [array[frame.plane] == labels.values[frame.segment - 1] for frame in frames[start : start + 8]]
        yield np.packbits(np.concatenate([plane.ravel() for plane in bits]), bitorder="little").tobytes()


def _put_values(data: Dataset, array: NDArray[np.integer], labels: Labels) -> None:
    """Label values, in 8 or 16 bits, run-length encoded."""
    from pydicom.uid import RLELossless

    known = np.where(np.isin(array, labels.values), array, 0)  # the ignore value is no segment
    content = known.astype(labels.dtype.newbyteorder("<")).tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB" if labels.dtype.itemsize == 1 else "OW"
    # pydicom's own encoder: gdcm's ends the process where rows have an odd number of pixels
    data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)


def _geometry_notes(stack: Stack, placed: Placed) -> tuple[str, ...]:
    notes = []
    if not placed.aligned:
        notes.append("frames do not refer to single images: the labels lie on a grid of their own")
    if stack.placed and stack.series.frame_of_reference is None:
        notes.append("the images name no frame of reference; one was derived from their series")
    return tuple(notes)
