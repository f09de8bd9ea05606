"""Predictions as DICOM objects: which go together, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.errors import InputError
from calque.image import Image, LabelMap
from calque.io import MASK_FORMATS
from calque.io.dicom import Identity, Stack, Written, write_overlay, write_rtstruct, write_seg, write_sr
from calque.io.dicom.write_object import Kind
from calque.ops.measures import measure_labels
from calque.ops.render import overlay_slices

FORMS: dict[str, Kind] = {"dicom-seg": "seg", "dicom-labelmap": "labelmap", "rtstruct": "rtstruct"}
"""Name of a format of label maps -> kind of object."""

SUFFIXES: dict[Kind, str] = {
    **{kind: MASK_FORMATS[form] or "" for form, kind in FORMS.items()},
    "sr": ".sr.dcm",
    "overlay": "_overlay_dicom",
}
"""Kind of object -> end of its file's name; an overlay is a folder."""

_NOTE = "Labels of a program. Not for diagnosis."


@dataclass(frozen=True, eq=False)
class Result:
    """What is written as DICOM.

    Args:
        label_map: what was predicted.
        image: in which; for intensities and pictures. None: neither are written, nor needed.
        stack: the series to which objects refer.
        identity: what made the labels.
    """

    label_map: LabelMap
    image: Image | None
    stack: Stack
    identity: Identity


def require_kinds(kinds: Sequence[Kind]) -> None:
    """Refuse what cannot stand alone.

    Raises:
        InputError: a report without the segmentation to which it refers.
    """
    if "sr" in kinds and not {"seg", "labelmap"} & set(kinds):
        raise InputError(
            "A report (SR) refers to a segmentation",
            expected="also dicom-seg or dicom-labelmap",
            got=", ".join(kinds),
        )


def write_objects(result: Result, paths: Mapping[Kind, Path]) -> dict[Kind, Written]:
    """Write one prediction as DICOM objects; what is there is replaced.

    Args:
        result: what is written.
        paths: kind -> file, or folder of an overlay.

    Raises:
        InputError: a report without a segmentation, or a picture without an image.
        GeometryError: labels that do not lie within the images, or contours or reports of pictures.
        ReadError, ResourceError, MissingExtraError: as the writers.
    """
    require_kinds(tuple(paths))
    written: dict[Kind, Written] = {}
    order = ("seg", "labelmap", "sr", "overlay", "rtstruct")
    for kind in sorted(paths, key=order.index):
        written[kind] = _write(kind, result, paths[kind], written)
    return written


def _write(kind: Kind, result: Result, path: Path, written: dict[Kind, Written]) -> Written:
    label_map, stack, identity = result.label_map, result.stack, result.identity
    if kind == "seg":
        return write_seg(label_map, stack, path, identity)
    if kind == "labelmap":
        return write_seg(label_map, stack, path, identity, "labelmap")
    if kind == "rtstruct":
        return write_rtstruct(label_map, stack, path, identity)
    if kind == "sr":
        measures = measure_labels(label_map, result.image)
        seg = written.get("seg") or written["labelmap"]
        return write_sr(measures, label_map.labels, seg, stack, path, identity)
    if result.image is None:
        raise InputError("An overlay is drawn on the image, and none was given", where=path)
    return write_overlay(overlay_slices(result.image, label_map, _NOTE), stack, path, identity)
