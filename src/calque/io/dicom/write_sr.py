"""DICOM SR: measurements of a segmentation as a report (DICOM PS3.16, TID 1500)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from calque.errors import GeometryError, MissingExtraError
from calque.io.dicom.model import Stack
from calque.io.dicom.write_codes import code_of, name_private_scheme, uncoded_note
from calque.io.dicom.write_object import (
    Identity,
    Source,
    Written,
    derived_uid,
    digest,
    new_object,
    read_source,
    save,
    short,
)
from calque.io.dicom.write_seg import LABEL_MAP_SEGMENTATION, SegKind, segment_numbers
from calque.labels import Label, Labels
from calque.terminology import Concept

if TYPE_CHECKING:
    from highdicom.sr import Measurement
    from pydicom.dataset import Dataset

    from calque.ops.measures import FirstOrder, Measures

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


class _Intensity(NamedTuple):
    """What the voxels of a modality hold: (code, scheme, meaning) of the quantity and of its unit."""

    name: tuple[str, str, str]
    unit: tuple[str, str, str]


_INTENSITIES = {
    "CT": _Intensity(("112031", "DCM", "Attenuation Coefficient"), ("[hnsf'U]", "UCUM", "Hounsfield unit")),
    "PT": _Intensity(
        ("126401", "DCM", "SUVbw"), ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
    ),
    "MR": _Intensity(("110852", "DCM", "MR signal intensity"), ("1", "UCUM", "no units")),
}
_STATISTICS = {
    "mean": ("373098007", "SCT", "Mean"),
    "std": ("386136009", "SCT", "Standard Deviation"),
    "minimum": ("255605001", "SCT", "Minimum"),
    "median": ("373099004", "SCT", "Median"),
    "maximum": ("56851009", "SCT", "Maximum"),
}
_SIZES = {
    "volume_ml": (("118565006", "SCT", "Volume"), ("ml", "UCUM", "milliliter")),
    "largest_diameter_mm": (
        ("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"),
        ("mm", "UCUM", "millimeter"),
    ),
    "major_axis_mm": (("TDIC", "IBSI", "Major Axis in 3D Length"), ("mm", "UCUM", "millimeter")),
    "minor_axis_mm": (("P9VJ", "IBSI", "Minor Axis in 3D Length"), ("mm", "UCUM", "millimeter")),
    "least_axis_mm": (("7J51", "IBSI", "Least Axis in 3D Length"), ("mm", "UCUM", "millimeter")),
}
_PROCEDURES = {
    "CT": "CTUnspecifiedBodyRegion",
    "MR": "MRIUnspecifiedBodyRegion",
    "PT": "PETUnspecifiedBodyRegion",
}


def write_sr(
    measures: Sequence[Measures],
    labels: Labels,
    seg: Written,
    stack: Stack,
    file: Path | str,
    identity: Identity,
) -> Written:
    """Write what was measured as a Comprehensive 3D SR that refers to the segments of a SEG.

    Volume, largest diameter and axes of each class; with intensities (`measure_labels` with the image) their
    mean, standard deviation, minimum, median and maximum where the modality says what they are: HU in CT,
    SUV by body weight in PET as `read_stack` gives it, signal in MR. A class of no voxels has a volume of 0.

    Args:
        measures: of `measure_labels`, on the label map that `seg` holds.
        labels: its classes.
        seg: of `write_seg`, for the same stack.
        stack: of `find_stacks`.
        file: is replaced.
        identity: what made the labels.

    Raises:
        GeometryError: images without a place in the patient: there are no millimetres to report.
        ReadError: the images cannot be read any more.
        ResourceError: the disk is full.
        MissingExtraError: highdicom is not installed (extra `dicom`).
    """
    try:
        from highdicom.sr import Comprehensive3DSR
    except ImportError:
        raise MissingExtraError("highdicom", "dicom") from None
    if not stack.placed:
        raise GeometryError(
            "A report gives millimetres, and these images have no place in a patient",
            where=stack.slices[0].path,
        )
    source = read_source(stack)
    content = digest(seg.instance.encode(), *(one.model_dump_json().encode() for one in measures))
    frame = new_object(source, identity, "sr", COMPREHENSIVE_3D_SR, content)
    data = Comprehensive3DSR(
        evidence=_evidence(source, seg, frame),
        content=_report(measures, labels, seg, source, identity)[0],
        series_instance_uid=frame.SeriesInstanceUID,
        series_number=frame.SeriesNumber,
        sop_instance_uid=frame.SOPInstanceUID,
        instance_number=1,
        manufacturer=frame.Manufacturer,
        is_complete=True,
    )
    _take_over(data, frame)
    name_private_scheme(data, labels)
    save(data, file)
    made = frame.SOPInstanceUID, frame.SeriesInstanceUID
    return Written(Path(file), COMPREHENSIVE_3D_SR, *made, uncoded_note(labels))


def _take_over(data: Dataset, frame: Dataset) -> None:
    """Patient, study, series and equipment, as other objects of the series have them."""
    own = {"FrameOfReferenceUID", "PositionReferenceIndicator", "Modality"}  # of no module of a report
    for element in frame:
        if element.keyword not in own:
            data[element.tag] = element


def _report(
    measures: Sequence[Measures], labels: Labels, seg: Written, source: Source, identity: Identity
) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("model", identity.key or identity.name),
        name=short(identity.name, 64),
        manufacturer_name="Calque",
        model_name=short(identity.name, 64),
        serial_number=identity.key or None,
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    kind: SegKind = "labelmap" if seg.sop_class == LABEL_MAP_SEGMENTATION else "binary"
    numbers = dict(zip(labels.values, segment_numbers(labels, kind), strict=True))
    by_value = {label.value: label for label in labels.classes}
    modality = source.stack.series.modality
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=getattr(codes.cid100, _PROCEDURES.get(modality, "ImagingProcedure")),
        imaging_measurements=[
            _group(one, by_value[one.value], numbers[one.value], seg, source, identity) for one in measures
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(one: Measures, label: Label, number: int, seg: Written, source: Source, identity: Identity) -> Any:
    """The measurements of one segment."""
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    code = code_of(label)
    site = code.region or (code.type if code.laterality is not None else None)
    side = None if code.laterality is None else _concept(code.laterality)
    series = source.stack.series
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid("tracking", series.uid, identity.key, label.name), identifier=label.name
        ),
        referenced_segment=ReferencedSegment(
            seg.sop_class, seg.instance, number, source_series=SourceSeriesForSegmentation(series.uid)
        ),
        finding_type=_concept(code.type),
        finding_category=_concept(code.category),
        algorithm_id=AlgorithmIdentification(short(identity.name, 64), short(identity.version, 64)),
        finding_sites=None if site is None else [FindingSite(_concept(site), laterality=side)],
        measurements=[*_sizes(one), *_intensities(one, series.modality)],
    )


def _sizes(one: Measures) -> list[Measurement]:
    found = {name: getattr(one, name) for name in _SIZES}
    return [_measurement(*_SIZES[name], value) for name, value in found.items() if value is not None]


def _intensities(one: Measures, modality: str) -> list[Measurement]:
    if modality not in _INTENSITIES or len(one.intensities) != 1:
        return []
    known, values = _INTENSITIES[modality], one.intensities[0]
    return [_statistic(known, values, name) for name in _STATISTICS]


def _statistic(known: _Intensity, values: FirstOrder, name: str) -> Measurement:
    return _measurement(known.name, known.unit, getattr(values, name), _STATISTICS[name])


def _measurement(
    name: tuple[str, str, str],
    unit: tuple[str, str, str],
    value: float,
    derivation: tuple[str, str, str] | None = None,
) -> Measurement:
    from highdicom.sr import CodedConcept, Measurement

    return Measurement(
        name=CodedConcept(*name),
        value=float(f"{value:.6g}"),
        unit=CodedConcept(*unit),
        derivation=None if derivation is None else CodedConcept(*derivation),
    )


def _concept(concept: Concept) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def _evidence(source: Source, seg: Written, frame: Dataset) -> list[Dataset]:
    """The SEG and every source image, as far as a reference needs them; patient and study of `frame`."""
    items = []
    series = source.stack.series.uid
    refers = [(seg.sop_class, seg.instance, seg.series)]
    refers += [(one.sop_class, one.instance, series) for one in source.files]
    for sop_class, instance, its_series in refers:
        item = deepcopy(frame)
        item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID = sop_class, instance, its_series
        item.PatientName = ""  # highdicom warns of names of one part; the report takes the name of `frame`
        items.append(item)
    return items
