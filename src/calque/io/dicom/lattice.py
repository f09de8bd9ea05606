"""From planes at different places to one grid: strict, with tolerances that real series meet.

Scanners round positions and cosines to a few decimals, so neighbours may differ by a hundredth of their
distance; a slice that is missing, or was meant to be elsewhere, differs by far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import CalqueError, GeometryError
from calque.geometry import Grid, Shape
from calque.io.dicom.model import Slice
from calque.io.dicom.planes import Plane

ORIENTATION = 2e-4
"""How far cosines of one stack may differ: 0.05 mm at the far side of a body."""

_COSINES = 2e-3  # from unit length and right angle: cosines with three decimals
_GAP, _GAP_MM = 0.01, 0.01  # relative, and mm
_LINE, _LINE_MM = 0.05, 0.02  # relative to the distance of slices, and mm: of positions from an even line
_UPRIGHT = 0.05  # degrees: less is rounding, and the grid keeps it as it is
_STEEPEST = 45.0  # degrees: no gantry tilts so far

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """Planes in the order of array axis z, and their grid.

    Args:
        planes: sorted along the normal.
        grid: upright; that of the planes where `tilt` is 0.
        tilt: degrees of the gantry; 0: none.
        notes: what was assumed.
    """

    planes: tuple[Plane, ...]
    grid: Grid
    tilt: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shear:
    """How a tilted gantry moves slice k + 1 against slice k within its plane, in pixels (y, x)."""

    y: float
    x: float

    def margins(self, slices: int) -> tuple[int, int]:
        """Pixels (y, x) by which the upright grid is larger."""
        return _margin(self.y, slices), _margin(self.x, slices)


def normal_of(plane: Plane) -> Vector:
    """Unit vector row x column: the direction in which array axis z grows."""
    across, down = _axes(plane)
    normal = np.cross(across, down)
    return np.asarray(normal / np.linalg.norm(normal))


def require_sound(plane: Plane) -> None:
    """Refuse a plane that does not say where it is.

    Raises:
        GeometryError: no position, orientation or pixel size, or cosines that are no unit vectors at a right
            angle.
    """
    given = {
        "ImagePositionPatient": plane.position,
        "ImageOrientationPatient": plane.orientation,
        "PixelSpacing": plane.spacing,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise GeometryError(
            "This slice does not say where it is in the patient",
            where=plane.path,
            expected=", ".join(given),
            got=f"no {', '.join(missing)}",
            fix="export the series again from its source",
        )
    across, down = _axes(plane)
    lengths = np.array((np.linalg.norm(across), np.linalg.norm(down)))
    if (np.abs(lengths - 1) > _COSINES).any() or abs(float(across @ down)) > _COSINES:
        raise GeometryError(
            "The orientation of this slice is no pair of unit vectors at a right angle",
            where=plane.path,
            got=plane.orientation,
            fix="export the series again from its source",
        )


def arrange(planes: Sequence[Plane]) -> Lattice:
    """One grid for planes of one orientation and matrix, each at another place.

    Raises:
        GeometryError: slices are missing, or unevenly spaced, or not on a line.
    """
    first = planes[0]
    normal = normal_of(first)
    places = np.array([plane.position for plane in planes], dtype=np.float64)
    order = np.argsort(places @ normal, kind="stable")
    ordered = tuple(planes[k] for k in order)
    places = places[order]
    if len(ordered) == 1:
        thickness, notes = _thickness(first)
        return Lattice(ordered, _grid(first, places[0], normal * thickness, 1), notes=notes)
    step = _even_step(ordered, places, normal)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > _STEEPEST:
        raise GeometryError(
            "Slices move sideways more than along their normal",
            where=first.path.parent,
            expected=f"a tilt of at most {_STEEPEST:g} degrees",
            got=f"{tilt:.1f} degrees",
            fix="export the series again from its source",
        )
    notes = _unlike_tags(ordered, step, normal)
    if tilt <= _UPRIGHT:
        return Lattice(ordered, _grid(first, places[0], step, len(ordered)), notes=notes)
    note = f"gantry tilted by {tilt:.2f} degrees: slices are resampled to an upright grid"
    return Lattice(ordered, upright(first, places[0], step, len(ordered)), tilt, (*notes, note))


def shear_between(slices: Sequence[Slice], grid: Grid) -> Shear:
    """The shear of a tilted stack with this upright grid, from its first and last slice."""
    step = (np.array(slices[-1].position) - np.array(slices[0].position)) / (len(slices) - 1)
    _, y, x = grid.spacing
    return Shear(float(step @ grid.direction[:, 1]) / y, float(step @ grid.direction[:, 2]) / x)


def upright(first: Plane, origin: Vector, step: Vector, slices: int) -> Grid:
    """The grid of `slices` planes without their shear, as large as to hold all of their pixels."""
    shear, normal = _shear(first, step), normal_of(first)
    along = normal * float(step @ normal)
    more_y, more_x = shear.margins(slices)
    across, down = _axes(first)
    assert first.spacing is not None  # noqa: S101  (`require_sound`)
    back_y = more_y if shear.y < 0 else 0
    back_x = more_x if shear.x < 0 else 0
    start = origin - down * first.spacing[0] * back_y - across * first.spacing[1] * back_x
    return _grid(first, start, along, slices, (more_y, more_x))


def _shear(first: Plane, step: Vector) -> Shear:
    across, down = _axes(first)
    assert first.spacing is not None  # noqa: S101  (`require_sound`)
    return Shear(float(step @ down) / first.spacing[0], float(step @ across) / first.spacing[1])


def _margin(shift: float, slices: int) -> int:
    whole = abs(shift) * (slices - 1)
    return 0 if whole < 1e-3 else int(np.ceil(whole - 1e-6))


def _axes(plane: Plane) -> tuple[Vector, Vector]:
    cosines = np.array(plane.orientation, dtype=np.float64)
    return cosines[:3], cosines[3:]


def _grid(first: Plane, origin: Vector, step: Vector, slices: int, more: tuple[int, int] = (0, 0)) -> Grid:
    across, down = _axes(first)
    assert first.spacing is not None  # noqa: S101  (`require_sound`)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = down * first.spacing[0]
    affine[:3, 2] = across * first.spacing[1]
    affine[:3, 3] = origin
    shape: Shape = (slices, first.layout.rows + more[0], first.layout.columns + more[1])
    try:
        return Grid(shape, affine)
    except CalqueError as problem:
        problem.where = first.path
        raise


def _thickness(plane: Plane) -> tuple[float, tuple[str, ...]]:
    """Of a single slice, in mm."""
    if plane.thickness is not None:
        return plane.thickness, ()
    if plane.between is not None:
        return plane.between, ()
    assert plane.spacing is not None  # noqa: S101  (`require_sound`)
    return plane.spacing[1], ("a single slice without thickness: taken as thick as a pixel is wide",)


def _even_step(ordered: Sequence[Plane], places: Vector, normal: Vector) -> Vector:
    """mm (x, y, z) from one slice to the next.

    Raises:
        GeometryError: slices are missing, unevenly spaced or not on a line.
    """
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    allowed = max(_GAP * usual, _GAP_MM)
    if (np.abs(gaps - usual) > allowed).any():
        raise _uneven(ordered, gaps, allowed)
    step = np.asarray((places[-1] - places[0]) / (len(places) - 1))
    off = np.linalg.norm(places - (places[0] + np.arange(len(places))[:, None] * step), axis=1)
    if float(off.max()) > max(_LINE * usual, _LINE_MM):
        worst = int(off.argmax())
        raise GeometryError(
            "Slices of one stack do not lie on a line",
            where=ordered[worst].path,
            expected=f"at most {max(_LINE * usual, _LINE_MM):.3g} mm aside",
            got=f"{off[worst]:.3g} mm",
            fix="export the series again, or leave the stray slices out",
        )
    return step


def _uneven(ordered: Sequence[Plane], gaps: Vector, allowed: float) -> GeometryError:
    """Missing slices where gaps are multiples of the smallest usual one, else uneven spacing."""
    usual = float(np.median(gaps))
    if (gaps < usual - allowed).any() and (gaps >= 1.9 * float(gaps.min())).any():
        usual = float(gaps.min())  # more is missing than is there
    multiples = np.round(gaps / usual)
    wide = int(gaps.argmax())
    between = f"{ordered[wide].path.name} and {ordered[wide + 1].path.name}"
    folder = ordered[wide].path.parent
    if (np.abs(gaps - multiples * usual) <= np.maximum(multiples, 1) * allowed).all() and multiples.max() > 1:
        return GeometryError(
            "Slices are missing",
            where=folder,
            expected=f"a slice every {usual:.4g} mm",
            got=f"{int((multiples - 1).sum())} missing; {gaps[wide]:.4g} mm between {between}",
            fix="fetch the whole series again",
        )
    return GeometryError(
        "Slices are unevenly spaced",
        where=folder,
        expected=f"{usual:.4g} mm, to {allowed:.2g} mm",
        got=f"{gaps.min():.4g} to {gaps.max():.4g} mm, the widest between {between}",
        fix="fetch the whole series again, or reconstruct it with even spacing",
    )


def _unlike_tags(ordered: Sequence[Plane], step: Vector, normal: Vector) -> tuple[str, ...]:
    """Where every second slice is missing, positions are even all the same; the header may tell."""
    between, gap = ordered[0].between, float(step @ normal)
    if between is None or gap < 1.5 * between or ordered[0].thickness is None:
        return ()
    return (
        f"slices are {gap:.4g} mm apart and the header says {between:.4g} mm (SpacingBetweenSlices): "
        "some may be missing; positions are taken",
    )
