"""RTSTRUCT: label maps as contours (DICOM PS3.3, A.19), for radiotherapy systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calque.errors import GeometryError
from calque.image import LabelMap
from calque.io.dicom.contours import trace
from calque.io.dicom.model import Stack
from calque.io.dicom.write_codes import code_of, coded, name_private_scheme, uncoded_note
from calque.io.dicom.write_object import (
    CREATOR,
    Identity,
    Source,
    Written,
    decimals,
    digest,
    new_item,
    new_object,
    read_source,
    referenced_instance,
    save,
    short,
)
from calque.io.dicom.write_place import Placed, place
from calque.labels import Label
from calque.terminology import CATEGORIES

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_CONTOUR_DATA = 0x30060050
_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as RTReferencedStudySequence asks


def write_rtstruct(label_map: LabelMap, stack: Stack, file: Path | str, identity: Identity) -> Written:
    """Write a label map as RTSTRUCT of the images in `stack`: an ROI for each class, empty ones too.

    Contours follow the borders of voxels, so that their area is exactly the mask's; holes are joined to the
    outline by a cut of no width.

    Args:
        label_map: on the stack's grid (turned, flipped or cropped too), or on another grid within the
            images; then contours lie in planes of that grid and refer to no image.
        stack: of `find_stacks`; its images must have a place in the patient.
        file: is replaced.
        identity: what made the labels.

    Raises:
        GeometryError: images without a place in the patient, labels outside them, or a grid whose axes are
            not at right angles.
        LabelError: values that are not declared.
        ReadError: the images cannot be read any more.
        ResourceError: the disk is full.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    label_map.labels.require_declared(label_map.array)
    if not stack.placed:
        raise GeometryError(
            "Contours are millimetres in a patient, and these images have no place in one",
            where=stack.slices[0].path,
            fix="write DICOM SEG instead",
        )
    source, placed = read_source(stack), place(label_map, stack)
    labels, array = label_map.labels, placed.label_map.array
    content = digest(array.astype("<u2").tobytes(), labels.to_json().encode(), placed.positions.tobytes())
    data = new_object(source, identity, "rtstruct", RTSTRUCT, content)
    data.Modality = "RTSTRUCT"
    data.StructureSetLabel = "CALQUE"
    data.StructureSetName = short(f"{identity.name} contours", 64)
    data.StructureSetDate, data.StructureSetTime = data.ContentDate, data.ContentTime
    del data.ContentDate, data.ContentTime  # of no module of this object
    data.OperatorsName = CREATOR
    data.ApprovalStatus = "UNAPPROVED"
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source)]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    name_private_scheme(data, labels)
    for number, label in enumerate(labels.classes, start=1):
        data.StructureSetROISequence.append(_roi(label, number, source, identity))
        data.ROIContourSequence.append(_contours(array == label.value, label, number, source, placed))
        data.RTROIObservationsSequence.append(_observation(label, number))
    save(data, file)
    notes = list(uncoded_note(labels))
    if not placed.aligned:
        notes.append("contours refer to no single image: the labels lie on a grid of their own")
    return Written(Path(file), RTSTRUCT, data.SOPInstanceUID, data.SeriesInstanceUID, tuple(notes))


def _frame_of_reference(source: Source) -> Dataset:
    """Frame of reference, study, series and every image."""
    series, study, held = new_item(), new_item(), new_item()
    series.SeriesInstanceUID = source.stack.series.uid
    series.ContourImageSequence = [referenced_instance(one) for one in source.files]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, source.stack.series.study
    study.RTReferencedSeriesSequence = [series]
    held.FrameOfReferenceUID = source.frame_of_reference
    held.RTReferencedStudySequence = [study]
    return held


def _roi(label: Label, number: int, source: Source, identity: Identity) -> Dataset:
    item = new_item()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = source.frame_of_reference
    item.ROIName = short(label.name, 64)
    item.ROIGenerationAlgorithm = "AUTOMATIC" if identity.automatic else "MANUAL"
    item.ROIGenerationDescription = short(f"{identity.name}, Calque {identity.version}", 64)
    if identity.key:
        item.ROIDescription = f"model sha256={identity.key}"
    return item


def _observation(label: Label, number: int) -> Dataset:
    item, code = new_item(), code_of(label)
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = short(label.name, 16)
    item.RTROIIdentificationCodeSequence = [coded(code.type)]
    item.RTROIInterpretedType = "GTV" if code.category == CATEGORIES["lesion"] else "ORGAN"
    item.ROIInterpreter = ""
    return item


def _contours(mask: NDArray[np.bool_], label: Label, number: int, source: Source, placed: Placed) -> Dataset:
    item = new_item()
    item.ReferencedROINumber = number
    item.ROIDisplayColor = list(label.colour)
    grid = placed.label_map.grid
    found: list[Dataset] = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        for ring in trace(mask[z]):
            indices = np.column_stack([np.full(len(ring), z), ring])
            contour = new_item()
            contour.ContourNumber = len(found) + 1
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(ring)
            contour.add(_unchecked(_CONTOUR_DATA, decimals(grid.to_world(indices).ravel())))
            if placed.aligned:
                contour.ContourImageSequence = [_image(source, int(z))]
            found.append(contour)
    if found:
        item.ContourSequence = found
    return item


def _unchecked(tag: int, values: list[str]) -> DataElement:
    """DS as it is written: pydicom would make an object of every number."""
    from pydicom.dataelem import DataElement

    return DataElement(tag, "DS", values, already_converted=True)


def _image(source: Source, plane: int) -> Dataset:
    one = source.stack.slices[plane]
    item = referenced_instance(one)
    if "NumberOfFrames" in source.header:
        item.ReferencedFrameNumber = one.frame + 1
    return item
