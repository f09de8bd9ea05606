"""The same picture twice: copies of files, and slices under two names. What only looks so is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from calque.errors import GeometryError, ReadError
from calque.io.dicom.planes import Group, Plane


def without_copies(planes: Sequence[Plane]) -> Group:
    """Each instance once. Files that hold the same instance in the same words are copies.

    Raises:
        ReadError: two files have one SOPInstanceUID and differ.
    """
    seen: dict[tuple[str, int], Plane] = {}
    copies = 0
    for plane in planes:
        first = seen.setdefault((plane.instance, plane.frame), plane)
        if first is plane:
            continue
        if replace(plane, path=first.path, offset=first.offset) != first or not _same_pixels(first, plane):
            raise ReadError(
                "Two files have one SOPInstanceUID and differ",
                where=f"{first.path} and {plane.path}",
                fix="keep the one that is right",
            )
        copies += 1
    notes = (f"{copies} copies of instances were left out",) if copies else ()
    return Group(tuple(seen.values()), notes=notes)


def without_twins(group: Group, place_of: dict[int, int], told_by: Iterable[str]) -> Group:
    """One plane of each place, where the others are the same picture.

    Args:
        group: planes, some at one place.
        place_of: id of a plane -> number of its place.
        told_by: what would have told them apart, for people.

    Raises:
        GeometryError: they differ.
    """
    kept: dict[int, Plane] = {}
    for plane in group.planes:
        first = kept.setdefault(place_of[id(plane)], plane)
        if first is not plane and not (
            (first.slope, first.intercept) == (plane.slope, plane.intercept) and _same_pixels(first, plane)
        ):
            raise GeometryError(
                "Different slices lie at one place, and nothing in their headers tells them apart",
                where=f"{first.path} and {plane.path}",
                expected=f"another {', '.join(told_by)} or time",
                fix="keep the slices of one volume, or give only their files",
            )
    dropped = len(group.planes) - len(kept)
    return Group(
        tuple(kept.values()),
        group.words,
        (*group.notes, f"{dropped} slices that are there twice were left out"),
    )


def _same_pixels(one: Plane, other: Plane) -> bool:
    return one.layout == other.layout and _pixel_hash(one) == _pixel_hash(other)


def _pixel_hash(plane: Plane) -> bytes:
    """Of the bytes of a frame; where they are compressed, of the whole element."""
    if plane.offset is not None:
        with plane.path.open("rb") as file:
            file.seek(plane.offset)
            return hashlib.sha256(file.read(plane.layout.frame_bytes)).digest()
    from pydicom import dcmread

    data = dcmread(plane.path, specific_tags=["PixelData"])
    return hashlib.sha256(data.PixelData + plane.frame.to_bytes(4, "big")).digest()
