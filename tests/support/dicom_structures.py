"""Synthetic RTSTRUCT and SEG, to be spoiled as a test likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RTStructureSetStorage
from tests.support.dicom_series import base_dataset, uid

Points = NDArray[np.float64]


def contour(points: Points, kind: str = "CLOSED_PLANAR", source: str | None = None) -> Dataset:
    """One contour of (n, 3) LPS mm, perhaps with the SOPInstanceUID of its image."""
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{v:.6f}"[:16] for v in points.reshape(-1)]
    if source is not None:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", source
        item.ContourImageSequence = Items([image])
    return item


def write_rtstruct(
    path: Path,
    structures: Mapping[str, Sequence[Dataset]],
    *,
    colours: Mapping[str, tuple[int, int, int]] | None = None,
    frame_of_reference: str | None = None,
    edit: object = None,
) -> Path:
    """Structures by name, each of contours; by default in the frame of reference of `write_series`."""
    data = base_dataset(RTStructureSetStorage, "RTSTRUCT", "structures", 1)
    frame = frame_of_reference or uid("frame of reference")
    data.StructureSetLabel = "synthetic"
    rois, drawn = [], []
    for number, (name, contours) in enumerate(structures.items(), start=11):
        roi, holder = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        holder.ReferencedROINumber = number
        if name in (colours or {}):
            holder.ROIDisplayColor = list((colours or {})[name])
        if contours:
            holder.ContourSequence = Items(list(contours))
        rois.append(roi)
        drawn.append(holder)
    data.StructureSetROISequence, data.ROIContourSequence = Items(rois), Items(drawn)
    if callable(edit):
        edit(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_seg(path: Path, series: Sequence[Path], masks: Mapping[str, NDArray[np.bool_]], kind: str) -> Path:
    """Segments by name, each (slice, rows, columns) in the order of the files of `series`, by highdicom."""
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    images = [dcmread(p) for p in series]
    tissue = CodedConcept("85756007", "SCT", "Tissue")
    segments = [
        hd.seg.SegmentDescription(
            segment_number=k,
            segment_label=name,
            segmented_property_category=tissue,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for k, name in enumerate(masks, start=1)
    ]
    stacked = np.stack(list(masks.values()), axis=-1)
    if kind == "LABELMAP":
        array = (stacked * np.arange(1, len(masks) + 1)).max(axis=-1).astype(np.uint8)
    else:
        array = stacked.astype(np.uint8 if kind == "BINARY" else np.float32)
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=uid("segmentation", path),
        series_number=9,
        sop_instance_uid=uid("segmentation instance", path),
        instance_number=1,
        manufacturer="synthetic",
        manufacturer_model_name="synthetic",
        software_versions="1",
        device_serial_number="1",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path
