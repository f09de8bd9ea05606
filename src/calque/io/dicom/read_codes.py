"""What a segment says it is, as a code: the way back of `write_codes.put_property`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from calque.terminology import Code, Concept

if TYPE_CHECKING:
    from pydicom import Dataset

_PRIVATE = "99"  # begins the coding schemes that only their makers know


def segment_code(segment: Dataset) -> Code | None:
    """Category, type, side and region of an item of SegmentSequence (PS3.3, C.8.20.4).

    Returns:
        None where category or type is missing, not a code, or private: such a code says nothing to others.
    """
    category = _concept(segment, "SegmentedPropertyCategoryCodeSequence")
    kind = _concept(segment, "SegmentedPropertyTypeCodeSequence")
    if category is None or kind is None:
        return None
    region = _concept(segment, "AnatomicRegionSequence")
    if region is None:
        holder, modifier = (
            segment.SegmentedPropertyTypeCodeSequence[0],
            "SegmentedPropertyTypeModifierCodeSequence",
        )
    else:
        holder, modifier = segment.AnatomicRegionSequence[0], "AnatomicRegionModifierSequence"
    return Code(category=category, type=kind, laterality=_concept(holder, modifier), region=region)


def _concept(holder: Dataset, sequence: str) -> Concept | None:
    items = holder.get(sequence)
    if not items:
        return None
    first = items[0]
    scheme, value = str(first.get("CodingSchemeDesignator", "")), str(first.get("CodeValue", ""))
    if scheme.startswith(_PRIVATE):
        return None
    try:
        return Concept(scheme=scheme, value=value, meaning=str(first.get("CodeMeaning", "")))
    except ValidationError:
        return None
