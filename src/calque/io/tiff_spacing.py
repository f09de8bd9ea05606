"""How large the pixels of a TIFF file are: OME-XML, ImageJ's description, or the resolution tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from calque.geometry import Spacing
from calque.io.plane import physical, plane_spacing

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6, "pm": 1e-9, "inch": 25.4, "in": 25.4}
_SYNONYMS = {"\u00b5m": "um", "\u03bcm": "um", "\\u00b5m": "um", "micron": "um", "microns": "um",
             "micrometer": "um", "millimeter": "mm", "centimeter": "cm", "nanometer": "nm"}  # fmt: skip


def spacing_of(file: TiffFile, page: TiffPage) -> tuple[Spacing, bool]:
    """(z, y, x) in mm, and whether it is known."""
    if file.is_ome:
        found = [_ome_length(file.pages.first.description, axis) for axis in "ZYX"]
        return _filled(*found)
    y, x = _resolution(page, None)
    if file.is_imagej:
        notes = file.imagej_metadata or {}
        unit = _unit(str(notes.get("unit", "")))
        y, x = (None, None) if unit is None else _resolution(page, unit)
        depth = notes.get("spacing")
        z = None if unit is None or not isinstance(depth, int | float) else abs(float(depth)) * unit
        return _filled(z, y, x)
    spacing, known = plane_spacing(y, x)
    return spacing, known


def _filled(z: float | None, y: float | None, x: float | None) -> tuple[Spacing, bool]:
    """Where the depth alone is unknown, a slice counts as thick as a pixel is wide."""
    if y is None or x is None or not all(2e-6 < v < 1e4 for v in (y, x)):
        return plane_spacing(None, None)
    return (z if z is not None and 2e-6 < z < 1e4 else x, y, x), True


def _ome_length(xml: str, axis: str) -> float | None:
    length = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]+)"', xml)
    unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
    scale = _unit(unit[1]) if unit else _MM["um"]
    try:
        return None if length is None or scale is None else float(length[1]) * scale
    except ValueError:
        return None


def _unit(name: str) -> float | None:
    """Millimetres of a unit of length; None for "pixel" and what is unknown."""
    plain = name.strip().lower()
    return _MM.get(_SYNONYMS.get(plain, plain))


def _resolution(page: TiffPage, unit: float | None) -> tuple[float | None, float | None]:
    """Millimetres of a pixel (y, x) from the tags; `unit`: mm of the unit where another source names it."""
    scale = unit or {2: 25.4, 3: 10.0}.get(int(page.resolutionunit))
    if scale is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None, None
    try:
        x, y = (float(a) / float(b) for a, b in (page.tags[f"{k}Resolution"].value for k in "XY"))
    except (ValueError, ZeroDivisionError, TypeError):
        return None, None
    down, across = (scale / v if np.isfinite(v) and v > 0 else None for v in (y, x))
    return (down, across) if unit is not None else (physical(down), physical(across))
