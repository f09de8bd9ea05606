"""The laws of `calque.geometry`, over random lattices: oblique, sheared, flipped, permuted, anisotropic."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from calque.errors import GeometryError
from calque.geometry import Box, Grid, Reorientation

CODES = tuple("".join(letters) for groups in permutations(("LR", "PA", "SI")) for letters in product(*groups))


@st.composite
def grids(draw: st.DrawFn, largest: int = 9) -> Grid:
    """Any lattice that a scanner, a resampler or a person could make."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    rotation = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 17.0)] * 3))
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = draw(st.tuples(*[st.floats(-0.05, 0.05)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = (rotation @ shear)[:, order] * signs * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-800, 800)] * 3))
    shape = draw(st.tuples(*[st.integers(1, largest)] * 3))
    return Grid(shape, affine)


def boxes() -> st.SearchStrategy[Box]:
    """Boxes inside, across and outside a grid."""
    start = st.tuples(*[st.integers(-6, 8)] * 3)
    size = st.tuples(*[st.integers(1, 9)] * 3)
    return st.builds(lambda a, n: Box(a, (a[0] + n[0], a[1] + n[1], a[2] + n[2])), start, size)


def indices(grid: Grid) -> NDArray[np.float64]:
    """(voxels, 3): the index of every voxel, in array order."""
    return np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)


def corners(grid: Grid) -> NDArray[np.float64]:
    """(8, 3): the outer corners of the outer voxels, in index space."""
    return np.array(list(product(*[(-0.5, n - 0.5) for n in grid.shape])))


@given(grids(), st.lists(st.tuples(*[st.floats(-50, 50)] * 3), min_size=1, max_size=5))
def test_world_and_index_are_inverse(grid: Grid, points: list[tuple[float, float, float]]) -> None:
    assert np.allclose(grid.to_index(grid.to_world(points)), points, atol=1e-8)
    assert np.allclose(grid.to_world(grid.to_index(points)), points, atol=1e-8)


@given(grids())
def test_one_point_and_many_agree(grid: Grid) -> None:
    many = indices(grid).reshape(*grid.shape, 3)
    world = grid.to_world(many)
    assert world.shape == many.shape
    assert np.allclose(grid.to_world(many[0, 0, 0]), world[0, 0, 0])
    assert np.allclose(grid.to_index(world[-1, -1, -1]), many[-1, -1, -1], atol=1e-8)
    assert np.allclose(grid.to_index(world), many, atol=1e-8)


@given(grids(), grids(), grids())
def test_index_from_composes(a: Grid, b: Grid, c: Grid) -> None:
    assert np.allclose(a.index_from(b) @ b.index_from(c), a.index_from(c), atol=1e-6)
    assert np.allclose(a.index_from(a), np.eye(4), atol=1e-9)


@given(grids(), grids())
def test_index_from_keeps_the_physical_position(a: Grid, b: Grid) -> None:
    index = indices(b)
    there = index @ a.index_from(b)[:3, :3].T + a.index_from(b)[:3, 3]
    assert np.allclose(a.to_world(there), b.to_world(index), atol=1e-7)


@given(grids(), boxes())
def test_cropping_and_padding_keep_positions(grid: Grid, box: Box) -> None:
    part = grid.cropped(box)
    assert part.shape == box.shape
    assert np.allclose(part.to_world(indices(part)), grid.to_world(indices(part) + box.start), atol=1e-8)
    assert np.allclose(part.spacing, grid.spacing)


@given(grids(), st.tuples(*[st.integers(1, 12)] * 3))
def test_resizing_keeps_the_outer_faces(grid: Grid, shape: tuple[int, int, int]) -> None:
    new = grid.resized(shape)
    assert new.shape == shape
    assert np.allclose(new.to_world(corners(new)), grid.to_world(corners(grid)), atol=1e-7)
    assert new.resized(grid.shape).isclose(grid)


@given(grids(), st.tuples(*[st.floats(0.1, 20)] * 3))
def test_resampling_rounds_to_whole_voxels(grid: Grid, spacing: tuple[float, float, float]) -> None:
    new = grid.resampled(spacing)
    assert np.allclose(new.to_world(corners(new)), grid.to_world(corners(grid)), atol=1e-6)
    for have, want, old, n in zip(new.shape, spacing, grid.spacing, grid.shape, strict=True):
        assert have >= 1
        assert have == 1 or abs(have - n * old / want) <= 0.5 + 1e-9


@given(st.tuples(*[st.sampled_from((0.5, 1.0, 2.0))] * 3), st.integers(0, 40))
def test_halves_are_rounded_alike_however_the_grid_is_tilted(
    spacing: tuple[float, float, float], n: int
) -> None:
    tilted = Grid.from_parts((2 * n + 1,) * 3, spacing, direction=Rotation.random(rng=n).as_matrix())
    stored = tilted.affine.astype(np.float32).astype(np.float64)  # as in a NIfTI header
    expected = tuple(max(1, round(s * (2 * n + 1) / 2)) for s in spacing)
    assert Grid(tilted.shape, stored).resampled((2.0, 2.0, 2.0)).shape == expected


@given(grids())
def test_resampling_to_the_own_spacing_changes_nothing(grid: Grid) -> None:
    assert grid.resampled(grid.spacing).isclose(grid)


@given(grids(), st.sampled_from(CODES), st.booleans())
def test_reorientation_is_exact_and_exactly_undone(grid: Grid, codes: str, channels: bool) -> None:
    change = grid.reorientation(codes)
    shape = (2, *grid.shape) if channels else grid.shape
    array = np.arange(np.prod(shape)).reshape(shape)
    turned = change.apply(array)
    assert turned.shape[-3:] == change.grid(grid).shape
    assert np.shares_memory(turned, array)
    assert np.array_equal(change.undo(turned), array)
    back = np.arange(turned.size).reshape(turned.shape)
    assert np.array_equal(change.apply(change.undo(back)), back)


@given(grids(), st.sampled_from(CODES))
def test_reorientation_keeps_the_position_of_every_voxel(grid: Grid, codes: str) -> None:
    change = grid.reorientation(codes)
    turned = change.grid(grid)
    positions = np.moveaxis(grid.to_world(indices(grid).reshape(*grid.shape, 3)), -1, 0)
    carried = np.moveaxis(change.apply(positions), 0, -1)
    assert np.allclose(turned.to_world(indices(turned)), carried.reshape(-1, 3), atol=1e-8)


@given(grids(), st.sampled_from(CODES))
def test_reorientation_reaches_its_codes(grid: Grid, codes: str) -> None:
    cosines = np.sort(np.abs(grid.direction), axis=0)
    assume((cosines[2] - cosines[1] > 1e-6).all())  # at exactly 45 degrees two names are as good
    turned = grid.reorientation(codes).grid(grid)
    assert turned.orientation == codes
    assert turned.reorientation(codes) == Reorientation((0, 1, 2), (False, False, False))


@given(grids(), st.sampled_from(CODES))
def test_there_and_back_is_the_same_grid(grid: Grid, codes: str) -> None:
    turned = grid.reorientation(codes).grid(grid)
    assert turned.reorientation(grid.orientation).grid(turned).isclose(grid, tolerance=1e-9)


@given(grids())
def test_orientation_is_the_best_assignment_of_axes(grid: Grid) -> None:
    cosines = np.abs(grid.direction.T)
    named = [next(k for k, pair in enumerate(("LR", "PA", "SI")) if c in pair) for c in grid.orientation]
    best = cosines[linear_sum_assignment(-cosines)].sum()
    assert sorted(named) == [0, 1, 2]
    assert cosines[range(3), named].sum() == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("codes", CODES)
def test_orientation_of_a_tilted_grid_is_that_of_the_nearest_axes(codes: str) -> None:
    straight = Grid.from_parts((5, 6, 7), (3.0, 1.0, 0.5))
    turned = straight.reorientation(codes).grid(straight)
    tilted = turned.affine.copy()
    tilted[:3] = Rotation.from_euler("zyx", (17, -12, 9), degrees=True).as_matrix() @ tilted[:3]
    assert turned.orientation == codes
    assert Grid(turned.shape, tilted).orientation == codes


def test_default_direction_is_superior_posterior_left() -> None:
    grid = Grid.from_parts((4, 5, 6), (3.0, 2.0, 1.0), origin=(10, 20, 30))
    assert grid.orientation == "SPL"
    assert grid.spacing == (3.0, 2.0, 1.0)
    assert np.array_equal(grid.to_world((1, 1, 1)), (11, 22, 33))
    assert np.array_equal(grid.origin, (10, 20, 30))
    assert grid.voxels == 120
    assert grid.voxel_volume == pytest.approx(6.0)


@given(grids())
def test_parts_rebuild_the_grid(grid: Grid) -> None:
    again = Grid.from_parts(grid.shape, grid.spacing, grid.origin, grid.direction)
    assert np.allclose(again.affine, grid.affine, atol=1e-9)
    assert np.allclose(np.linalg.norm(grid.direction, axis=0), 1)


@given(grids(), st.tuples(*[st.integers(-5, 9)] * 3))
def test_world_agrees_with_nibabel(grid: Grid, index: tuple[int, int, int]) -> None:
    # A NIfTI file is indexed (x, y, z) and speaks RAS.
    ras = np.diag((-1.0, -1.0, 1.0, 1.0)) @ grid.affine @ np.eye(4)[[2, 1, 0, 3]]
    theirs = nib.affines.apply_affine(ras, index[::-1])
    assert np.allclose(grid.to_world(index) * (-1, -1, 1), theirs, atol=1e-8)
    assert np.allclose(nib.affines.voxel_sizes(ras)[::-1], grid.spacing)


@pytest.mark.parametrize("codes", CODES)
def test_orientation_agrees_with_nibabel(codes: str) -> None:
    straight = Grid.from_parts((2, 3, 4), (3.0, 1.0, 0.5))
    grid = straight.reorientation(codes).grid(straight)
    ras = np.diag((-1.0, -1.0, 1.0, 1.0)) @ grid.affine @ np.eye(4)[[2, 1, 0, 3]]
    assert "".join(nib.aff2axcodes(ras))[::-1] == codes


@given(grids(), st.floats(0.1, 0.9), st.integers(0, 2))
def test_isclose_allows_the_tolerance_and_no_more(grid: Grid, share: float, axis: int) -> None:
    step = np.zeros((4, 4))
    step[axis, 3] = 1e-3 * min(grid.spacing)
    assert grid.isclose(Grid(grid.shape, grid.affine + share * step))
    assert not grid.isclose(Grid(grid.shape, grid.affine + (2 + share) * step))
    assert grid.isclose(Grid(grid.shape, grid.affine + 9 * step), tolerance=0.01)


@given(grids(largest=4))
def test_isclose_looks_along_axes_of_one_voxel(grid: Grid) -> None:
    flat = grid.resized((1, grid.shape[1], grid.shape[2]))
    thicker = flat.affine.copy()
    thicker[:3, 0] *= 1.5  # the only corner stays where it is
    assert not flat.isclose(Grid(flat.shape, thicker))
    assert not grid.isclose(grid.cropped(Box((0, 0, 0), (grid.shape[0] + 1, *grid.shape[1:]))))


@given(grids())
def test_equality_and_hash(grid: Grid) -> None:
    same = Grid(grid.shape, grid.affine.copy())
    moved = grid.affine.copy()
    moved[0, 3] += 1e-3
    assert grid == same
    assert hash(grid) == hash(same)
    assert grid != Grid(grid.shape, moved)
    assert grid != grid.cropped(Box((0, 0, 0), (grid.shape[0] + 1, *grid.shape[1:])))
    assert grid != "a grid"


def test_minus_zero_is_zero_for_equality_and_hash() -> None:
    plus, minus = np.eye(4), np.eye(4)
    minus[0, 1] = -0.0
    assert Grid((1, 2, 3), plus) == Grid((1, 2, 3), minus)
    assert hash(Grid((1, 2, 3), plus)) == hash(Grid((1, 2, 3), minus))


def test_a_grid_is_frozen_and_its_own() -> None:
    affine = np.eye(4)
    grid = Grid((1, 2, 3), affine)
    affine[0, 3] = 7
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1
    with pytest.raises(FrozenInstanceError):
        grid.shape = (1, 1, 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "shape",
    [(0, 1, 1), (-3, 4, 5), (2, 2), (2, 2, 2, 2), (2**20, 2**20, 2**20), (1.5, 2, 3), (float("nan"), 2, 3)],
)
def test_impossible_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(GeometryError):
        Grid(shape, np.eye(4))


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.eye(3),
        np.full((4, 4), np.nan),
        np.diag((1.0, 1.0, np.inf, 1.0)),
        np.diag((1.0, 1.0, 0.0, 1.0)),
        np.diag((1.0, 1.0, 1.0, 2.0)),
        np.diag((1e-300, 1.0, 1.0, 1.0)),
        np.diag((1e300, 1.0, 1.0, 1.0)),
        np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1.0]]),
    ],
)
def test_impossible_affines_are_refused(affine: NDArray[np.float64]) -> None:
    with pytest.raises(GeometryError):
        Grid((2, 2, 2), affine)


@pytest.mark.parametrize("spacing", [(1, 0, 1), (1, -1, 1), (1, np.nan, 1), (np.inf, 1, 1), (1e-300, 1, 1)])
def test_impossible_spacings_are_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(GeometryError):
        Grid.from_parts((2, 2, 2), spacing)
    with pytest.raises(GeometryError):
        Grid((2, 2, 2), np.eye(4)).resampled(spacing)


def test_a_shape_below_one_cannot_be_reached() -> None:
    with pytest.raises(GeometryError):
        Grid((2, 2, 2), np.eye(4)).resized((2, 0, 2))


@pytest.mark.parametrize("codes", ["", "SP", "SPX", "SSL", "LRS", "SPLI", "spl"])
def test_wrong_codes_are_refused(codes: str) -> None:
    with pytest.raises(GeometryError, match="orientation"):
        Grid((2, 2, 2), np.eye(4)).reorientation(codes)


def test_an_empty_box_is_refused() -> None:
    with pytest.raises(GeometryError):
        Box((0, 0, 0), (1, 0, 1))


def test_a_box_before_the_array_does_not_wrap_round() -> None:
    with pytest.raises(GeometryError, match="before"):
        _ = Box((-3, 0, 0), (-1, 1, 1)).slices


def test_box_shape_and_slices() -> None:
    box = Box((1, 2, 3), (3, 5, 7))
    assert box.shape == (2, 3, 4)
    assert np.zeros((2, 9, 9, 9))[(..., *box.slices)].shape == (2, 2, 3, 4)
