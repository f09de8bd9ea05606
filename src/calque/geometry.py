"""Where voxels are: `Grid` and `Box`.

One convention in the whole house: array axes are (z, y, x), an affine maps the index (z, y, x) of a voxel's
centre to millimetres in LPS (x grows to the patient's Left, y to Posterior, z to Superior). Files that speak
another convention are converted once, at the edge of `io`. "z" is the name of the array's first axis and need
not be the patient's: `Grid.orientation` tells.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calque.errors import GeometryError

Shape = tuple[int, int, int]
"""Voxels along (z, y, x)."""

Spacing = tuple[float, float, float]
"""Millimetres along (z, y, x)."""

Affine = NDArray[np.float64]
"""(4, 4), from homogeneous (z, y, x) indices to LPS millimetres."""

Voxels = TypeVar("Voxels", bound=np.generic)

_POSITIVE, _NEGATIVE = "LPS", "RAI"
_NOISE = 1e-6  # relative: headers hold float32; 0.5 mm of a tilted grid must not round as 0.49999997 does
_MAX_VOXELS = 2**40  # a header that announces more is damaged; nothing is allocated for it


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels: `start` inclusive, `stop` exclusive, both (z, y, x)."""

    start: Shape
    stop: Shape

    def __post_init__(self) -> None:
        if any(b <= a for a, b in zip(self.start, self.stop, strict=True)):
            raise GeometryError("A box must hold at least one voxel", got=f"{self.start} to {self.stop}")

    @property
    def shape(self) -> Shape:
        """Voxels along (z, y, x)."""
        return _three(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """To index the last three axes of an array; the box must not begin before it.

        Raises:
            GeometryError: a negative start, which numpy would take for a place counted from the end.
        """
        if min(self.start) < 0:
            raise GeometryError("This box begins before the array", got=f"{self.start} to {self.stop}")
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxels in the patient's space.

    Args:
        shape: voxels along (z, y, x), each at least 1.
        affine: (4, 4), maps (z, y, x, 1) to LPS millimetres; must be finite and invertible.

    Raises:
        GeometryError: the shape or the affine is impossible.
    """

    shape: Shape
    affine: Affine

    def __post_init__(self) -> None:
        shape = _whole(self.shape)
        if int(np.prod([float(n) for n in shape])) > _MAX_VOXELS:
            raise GeometryError(
                "A grid of this size cannot be meant", got=shape, expected="below 2^40 voxels"
            )
        affine = np.array(self.affine, dtype=np.float64)  # a copy: ours alone
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("An affine is a finite 4x4 matrix", got=affine.tolist())
        if not np.array_equal(affine[3], (0.0, 0.0, 0.0, 1.0)):
            raise GeometryError("The last row of an affine is 0 0 0 1", got=affine[3].tolist())
        with np.errstate(over="ignore"):  # an infinite length is refused below
            lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if (lengths <= 0).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise GeometryError(
                "The axes of this grid do not span space", got=affine.tolist(), fix="mend the file's header"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_parts(
        cls,
        shape: Sequence[int],
        spacing: Sequence[float],
        origin: Sequence[float] = (0, 0, 0),
        direction: ArrayLike | None = None,
    ) -> Self:
        """Build from spacing (z, y, x) in mm, LPS `origin` (x, y, z) and `direction` (3, 3).

        Column k of `direction` is the unit LPS vector of array axis k; by default array axes (z, y, x) run
        along S, P and L.

        Raises:
            GeometryError: a spacing that is not above 0, or an impossible shape or direction.
        """
        columns = np.eye(3)[:, ::-1] if direction is None else np.asarray(direction, dtype=np.float64)
        affine = np.eye(4)
        affine[:3, :3] = columns * _positive(spacing)
        affine[:3, 3] = origin
        return cls(_whole(shape), affine)

    @cached_property
    def spacing(self) -> Spacing:
        """Millimetres between neighbours along (z, y, x)."""
        z, y, x = (float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3): column k is the unit LPS vector of array axis k."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing))

    @property
    def origin(self) -> NDArray[np.float64]:
        """LPS position (x, y, z) of the centre of voxel (0, 0, 0)."""
        return np.asarray(self.affine[:3, 3])

    @property
    def voxels(self) -> int:
        """How many voxels there are."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def voxel_volume(self) -> float:
        """Cubic millimetres of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def orientation(self) -> str:
        """Nearest patient direction of each array axis; "SPL" is z to Superior, y to Posterior, x to Left."""
        cosines = self.direction.T.tolist()
        patient = max(
            permutations(range(3)), key=lambda order: sum(abs(cosines[a][p]) for a, p in enumerate(order))
        )
        letters = (_POSITIVE[p] if cosines[a][p] > 0 else _NEGATIVE[p] for a, p in enumerate(patient))
        return "".join(letters)

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS millimetres (..., 3) of indices (..., 3) in (z, y, x); indices may be fractional."""
        return np.asarray(np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices (..., 3) in (z, y, x) of LPS millimetres (..., 3)."""
        offset = np.asarray(world, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(
            np.linalg.solve(self.affine[:3, :3], offset.reshape(-1, 3).T).T.reshape(offset.shape)
        )

    def index_from(self, other: Grid) -> Affine:
        """(4, 4) that maps an index of `other` to the index of `self` at the same physical position."""
        return np.asarray(np.linalg.solve(self.affine, other.affine))

    def cropped(self, box: Box) -> Grid:
        """The part inside `box`; positions are kept. The box may reach outside: that pads."""
        shift = np.eye(4)
        shift[:3, 3] = box.start
        return Grid(box.shape, self.affine @ shift)

    def resized(self, shape: Sequence[int]) -> Grid:
        """Another number of voxels over the same physical extent (outer faces of the voxels coincide)."""
        new = _whole(shape)
        scale = np.asarray(self.shape, dtype=np.float64) / new
        change = np.diag([*scale, 1.0])
        change[:3, 3] = 0.5 * scale - 0.5
        return Grid(new, self.affine @ change)

    def resampled(self, spacing: Sequence[float]) -> Grid:
        """The nearest whole number of voxels at `spacing` (z, y, x) over the same extent.

        Raises:
            GeometryError: a spacing that is not above 0, or so small that the grid cannot be meant.
        """
        ideal = np.asarray(self.spacing) / _positive(spacing) * np.asarray(self.shape)
        half = np.floor(ideal) + 0.5
        ideal = np.where(np.abs(ideal - half) <= _NOISE * ideal, half, ideal)
        return self.resized(_three(np.clip(np.round(ideal), 1, _MAX_VOXELS + 1)))

    def reorientation(self, codes: str) -> Reorientation:
        """How to permute and flip array axes so that `orientation` becomes `codes`."""
        return Reorientation.between(self, codes)

    def isclose(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Same shape, and no corner voxel further apart than `tolerance` of the smallest spacing."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        gap = np.abs(self.to_world(corners) - other.to_world(corners)).max()
        axes_gap = np.abs(self.affine[:3, :3] - other.affine[:3, :3]).max()  # one-voxel axes have one corner
        return bool(max(gap, axes_gap) <= tolerance * min(self.spacing))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and self.shape == other.shape
            and np.array_equal(self.affine, other.affine)
        )

    def __hash__(self) -> int:
        return hash((self.shape, (self.affine + 0.0).tobytes()))  # + 0.0: -0.0 equals 0.0


@dataclass(frozen=True)
class Reorientation:
    """A permutation of array axes, then flips; exact, and exactly undone.

    Args:
        axes: new axis k is old axis `axes[k]`.
        flips: whether new axis k then runs backwards.
    """

    axes: Shape
    flips: tuple[bool, bool, bool]

    @classmethod
    def between(cls, grid: Grid, codes: str) -> Self:
        """From the orientation of `grid` to `codes`, such as "SPL"."""
        have = grid.orientation
        groups = [next((g for g in ("LR", "PA", "SI") if c in g), "") for c in codes]
        if len(codes) != 3 or sorted(groups) != ["LR", "PA", "SI"]:
            raise GeometryError(
                "An orientation names one of L/R, one of P/A and one of S/I",
                got=codes,
                expected='such as "SPL"',
            )
        axes = _three(next(k for k in range(3) if have[k] in group) for group in groups)
        z, y, x = (have[a] != c for a, c in zip(axes, codes, strict=True))
        return cls(axes, (z, y, x))

    def apply(self, array: NDArray[Voxels]) -> NDArray[Voxels]:
        """A view of `array`, whose last three axes are (z, y, x)."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + a for a in self.axes))
        return moved[(..., *(slice(None, None, -1) if f else slice(None) for f in self.flips))]

    def undo(self, array: NDArray[Voxels]) -> NDArray[Voxels]:
        """The inverse of `apply`, also a view."""
        lead = array.ndim - 3
        back = array[(..., *(slice(None, None, -1) if f else slice(None) for f in self.flips))]
        return back.transpose(*range(lead), *(lead + self.axes.index(a) for a in range(3)))

    def grid(self, grid: Grid) -> Grid:
        """The grid of `apply(array)`: every voxel keeps its physical position."""
        shape = _three(grid.shape[a] for a in self.axes)
        change = np.zeros((4, 4))
        change[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            change[old, new] = -1.0 if flip else 1.0
            change[old, 3] = shape[new] - 1.0 if flip else 0.0
        return Grid(shape, grid.affine @ change)


def _three(values: Iterable[int]) -> Shape:
    z, y, x = (int(v) for v in values)
    return z, y, x


def _whole(shape: Sequence[int]) -> Shape:
    try:
        z, y, x = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        raise GeometryError("A shape is three whole numbers (z, y, x)", got=shape) from None
    if min(z, y, x) < 1:
        raise GeometryError("A grid has three axes of at least one voxel", got=shape)
    return z, y, x


def _positive(spacing: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(spacing, dtype=np.float64)
    if values.shape != (3,) or not (np.isfinite(values) & (values > 1e-6)).all():
        raise GeometryError("A spacing is three finite lengths above 0, in mm (z, y, x)", got=spacing)
    return values
