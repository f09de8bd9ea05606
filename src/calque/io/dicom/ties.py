"""To which series a SEG or RTSTRUCT belongs, from its header alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from calque.errors import ReadError
from calque.io.dicom.model import Stack
from calque.io.dicom.objects import lab_colour, read_object, rgb_colour, structures_kind, understood
from calque.io.dicom.read_codes import segment_code
from calque.io.dicom.structures import unique_names
from calque.labels import BACKGROUND, Colour
from calque.terminology import Code

if TYPE_CHECKING:
    from pydicom import Dataset

_INSTANCE = "ReferencedSOPInstanceUID"


@dataclass(frozen=True)
class Tie:
    """What a SEG or RTSTRUCT says of itself.

    Args:
        path: the file.
        names: of its structures, as `read_structures` has them.
        colours: of its structures; None where none is recommended.
        codes: of its structures; None where none is said.
        frames: UIDs of frames of reference.
        instances: SOPInstanceUIDs that it refers to.
        patient: PatientID; never shown or logged.
    """

    path: Path
    names: tuple[str, ...]
    colours: tuple[Colour | None, ...]
    codes: tuple[Code | None, ...]
    frames: frozenset[str]
    instances: frozenset[str] = field(repr=False)
    patient: str = field(repr=False)


def read_tie(path: Path) -> Tie:
    """Look at a SEG or RTSTRUCT; its pixels are not read.

    Raises:
        ReadError: it is neither, or damaged.
    """
    kind = structures_kind(path)
    if kind is None:
        raise ReadError("This file holds no structures", where=path, expected="a DICOM SEG or RTSTRUCT")
    data = read_object(path, pixels=False)
    with understood(path, kind):
        names, colours = _segments(data) if kind == "SEG" else _rois(data)
        codes = _codes(data) if kind == "SEG" else [None] * len(names)
        frames = {str(data.get("FrameOfReferenceUID", ""))}
        frames |= {
            str(roi.get("ReferencedFrameOfReferenceUID", ""))
            for roi in data.get("StructureSetROISequence") or ()
        }
        return Tie(
            path,
            tuple(names),
            tuple(colours),
            tuple(codes),
            frozenset(frames - {""}),
            frozenset(_references(data)),
            str(data.get("PatientID", "")),
        )


def _segments(data: Dataset) -> tuple[list[str], list[Colour | None]]:
    items = [s for s in data.SegmentSequence if int(s.SegmentNumber) != BACKGROUND]
    names = unique_names(
        [str(s.get("SegmentLabel", "")) for s in items], [int(s.SegmentNumber) for s in items]
    )
    return names, [lab_colour(s.get("RecommendedDisplayCIELabValue")) for s in items]


def _codes(data: Dataset) -> list[Code | None]:
    return [segment_code(s) for s in data.SegmentSequence if int(s.SegmentNumber) != BACKGROUND]


def _rois(data: Dataset) -> tuple[list[str], list[Colour | None]]:
    items = list(data.get("StructureSetROISequence") or ())
    names = unique_names([str(r.get("ROIName", "")) for r in items], [int(r.ROINumber) for r in items])
    drawn = {int(c.ReferencedROINumber): c for c in data.get("ROIContourSequence") or ()}
    held = [drawn.get(int(r.ROINumber)) for r in items]
    return names, [None if c is None else rgb_colour(c.get("ROIDisplayColor")) for c in held]


def _references(data: Dataset) -> set[str]:
    """Of every sequence within; other values are not looked at, since they may be long, or not valid."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    found = {str(data[_INSTANCE].value)} if _INSTANCE in data else set()
    for tag in data.keys():  # noqa: SIM118  (a data set is no dict: iterating it gives elements)
        if dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ":
            for item in data[tag].value:
                found |= _references(item)
    return found


def tied_stacks(tie: Tie, stacks: Sequence[Stack]) -> tuple[Stack, ...]:
    """The stacks to which it may belong: those it refers to; else, where references match nothing, those of
    the same patient and frame of reference, and of these the ones whose files lie nearest to its own."""
    own = [stack for stack in stacks if stack.series.patient == tie.patient and stack.placed]
    counts = [sum(plane.instance in tie.instances for plane in stack.slices) for stack in own]
    if any(counts):
        return tuple(stack for stack, count in zip(own, counts, strict=True) if count == max(counts))
    near = [s for s in own if not tie.frames or s.series.frame_of_reference in {None, *tie.frames}]
    return nearest(tie.path, near)


def nearest(path: Path, stacks: Sequence[Stack]) -> tuple[Stack, ...]:
    """The stacks whose files share the most folders with a file."""
    steps = [shared_folders(path, stack.slices[0].path) for stack in stacks]
    return tuple(stack for stack, step in zip(stacks, steps, strict=True) if step == max(steps))


def shared_folders(one: Path, other: Path) -> int:
    """How many folders two files have in common, from the root."""
    both = zip(one.resolve().parent.parts, other.resolve().parent.parts, strict=False)
    count = 0
    for a, b in both:
        if a != b:
            break
        count += 1
    return count
