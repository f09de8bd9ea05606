"""Labels as DICOM says them: coded triplets, and the colours of its viewers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from calque.io.dicom.model import Slice
from calque.io.dicom.write_object import Source, new_item, referenced_instance, short
from calque.labels import Colour, Label, Labels
from calque.terminology import CATEGORIES, Code, Concept

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PRIVATE = "99CALQUE"
"""The coding scheme of labels that say no code."""


def code_of(label: Label) -> Code:
    """What a label is; where it does not say, a private code of its name."""
    if label.code is not None:
        return label.code
    value = hashlib.sha256(label.name.encode()).hexdigest()[:12].upper()
    concept = Concept(scheme=PRIVATE, value=value, meaning=short(label.name, 64) or value)
    return Code(category=CATEGORIES["tissue"], type=concept)


def uncoded_note(labels: Labels) -> tuple[str, ...]:
    """That some labels say no code, and what to do."""
    names = [label.name for label in labels.classes if label.code is None]
    if not names:
        return ()
    return (
        f"written with private codes ({PRIVATE}), since these labels have none: {', '.join(names)} "
        "(calque labels set gives them SNOMED CT codes)",
    )


def name_private_scheme(data: Dataset, labels: Labels) -> None:
    """CodingSchemeIdentificationSequence, where a private code is used."""
    if all(label.code is not None for label in labels.classes):
        return
    item = new_item()
    item.CodingSchemeDesignator = PRIVATE
    item.CodingSchemeName = "Names of labels in Calque, hashed"
    item.CodingSchemeResponsibleOrganization = "Calque"
    data.CodingSchemeIdentificationSequence = [item]


def coded(concept: Concept) -> Dataset:
    """An item of a code sequence."""
    return triplet(concept.value, concept.scheme, concept.meaning)


def triplet(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = new_item()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def source_image(one: Slice, source: Source | None = None) -> Dataset:
    """An item of a source image sequence; with `source` the frame is named where an instance has several."""
    item = referenced_instance(one)
    if source is not None and "NumberOfFrames" in source.header:
        item.ReferencedFrameNumber = one.frame + 1
    item.PurposeOfReferenceCodeSequence = [
        triplet("121322", "DCM", "Source image for image processing operation")
    ]
    return item


def put_property(item: Dataset, code: Code) -> None:
    """Category, type, region and side of a segment."""
    item_type = coded(code.type)
    if code.laterality is not None and code.region is None:
        item_type.SegmentedPropertyTypeModifierCodeSequence = [coded(code.laterality)]
    item.SegmentedPropertyCategoryCodeSequence = [coded(code.category)]
    item.SegmentedPropertyTypeCodeSequence = [item_type]
    if code.region is not None:
        region = coded(code.region)
        if code.laterality is not None:
            region.AnatomicRegionModifierSequence = [coded(code.laterality)]
        item.AnatomicRegionSequence = [region]


def cielab(colour: Colour) -> list[int]:
    """RecommendedDisplayCIELabValue of red, green and blue (sRGB, D65 as D50 after PS3.3, C.10.7.1.1)."""
    from highdicom.color import CIELabColor

    return [int(part) for part in CIELabColor.from_rgb(*colour).value]
