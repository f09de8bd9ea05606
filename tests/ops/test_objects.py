"""Objects against brute force, and against bodies whose measures are known."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from calque.errors import GeometryError, InputError, LabelError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.ops.objects import find_objects, objects_to_csv, objects_to_json

LABELS = Labels.from_names({"organ": 1, "lesion": 4}, ignore=9)
seeds = st.integers(0, 2**32 - 1)


def random_grid(rng: np.random.Generator, shape: tuple[int, ...], spacing=None) -> Grid:
    spacing = rng.uniform(0.5, 3, 3) if spacing is None else spacing
    direction = Rotation.random(random_state=rng).as_matrix() * rng.choice([-1, 1], size=3)
    return Grid.from_parts(shape, spacing, rng.uniform(-99, 99, 3), direction)


def face_centres(mask: np.ndarray, axes=(0, 1, 2)) -> np.ndarray:
    """Of every voxel, inner faces too: indices."""
    steps = [half * np.eye(3)[axis] for axis in axes for half in (-0.5, 0.5)]
    return np.concatenate([np.argwhere(mask) + step for step in steps])


def farthest(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def indices(grid: Grid) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, shape=st.tuples(*[st.integers(1, 5)] * 3))
def test_measures_are_those_of_brute_force(seed, shape):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng, shape)
    array = (4 * (rng.random(shape) < 0.5)).astype(np.uint8)
    through = next(k for k, letter in enumerate(grid.orientation) if letter in "SI")
    in_plane = [k for k in range(3) if k != through]
    values = rng.normal(size=(2, *shape))
    objects = find_objects(LabelMap(array, grid, LABELS), Image(values, grid, ("a", "b")), connectivity=6)
    assert sum(found.voxels for found in objects) == np.count_nonzero(array)
    for found in objects:
        inside = component_of(array, grid, found)
        places = grid.to_world(np.argwhere(inside))
        assert found.voxels == inside.sum()
        assert found.volume_ml == pytest.approx(inside.sum() * grid.voxel_volume / 1000)
        np.testing.assert_array_equal(found.start, np.argwhere(inside).min(axis=0))
        np.testing.assert_array_equal(found.stop, np.argwhere(inside).max(axis=0) + 1)
        np.testing.assert_allclose(found.centroid_mm, places.mean(axis=0))
        assert found.largest_diameter_mm == pytest.approx(farthest(grid.to_world(face_centres(inside))))
        slices = []
        for position in range(shape[through]):
            one = np.zeros_like(inside)
            place = [slice(None)] * 3
            place[through] = position
            one[tuple(place)] = inside[tuple(place)]
            if one.any():
                slices.append(farthest(grid.to_world(face_centres(one, in_plane))))
        assert found.axial_long_mm == pytest.approx(max(slices))
        corners = np.array(
            list(
                itertools.product(*zip(np.array(found.start) - 0.5, np.array(found.stop) - 0.5, strict=True))
            )
        )
        np.testing.assert_allclose(found.low_mm, grid.to_world(corners).min(axis=0))
        np.testing.assert_allclose(found.high_mm, grid.to_world(corners).max(axis=0))
        for channel, measured in zip(values, found.intensities, strict=True):
            assert measured.mean == pytest.approx(channel[inside].mean())
            assert measured.std == pytest.approx(channel[inside].std())
            assert (measured.min, measured.max) == (channel[inside].min(), channel[inside].max())


def component_of(array: np.ndarray, grid: Grid, found) -> np.ndarray:
    """The component, as scipy sees it, that has this number of voxels and lies nearest this centroid."""
    numbers, count = ndimage.label(array)

    def misfit(mask: np.ndarray) -> tuple[bool, float]:
        gap = grid.to_world(np.argwhere(mask)).mean(axis=0) - found.centroid_mm
        return mask.sum() != found.voxels, float(np.abs(gap).sum())

    return min((numbers == k for k in range(1, count + 1)), key=misfit)


@pytest.mark.parametrize("seed", range(6))
def test_a_ball_has_the_volume_and_diameter_of_a_ball(seed):
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(0.5, 1.5, 3)
    grid = random_grid(rng, tuple(int(n) for n in np.ceil(26 / spacing)), spacing)
    centre = grid.to_world((np.array(grid.shape) - 1) / 2 + rng.uniform(-0.5, 0.5, 3))
    inside = np.linalg.norm(grid.to_world(indices(grid)) - centre, axis=-1) <= 10
    (found,) = find_objects(LabelMap(inside.astype(np.uint8), grid, LABELS))
    assert found.volume_ml == pytest.approx(4 / 3 * math.pi, rel=0.03)
    assert found.largest_diameter_mm == pytest.approx(20, abs=max(spacing))
    assert found.axial_long_mm == pytest.approx(20, abs=max(spacing))
    assert found.axial_short_mm == pytest.approx(20, abs=2 * max(spacing))
    np.testing.assert_allclose(found.centroid_mm, centre, atol=0.2)


def test_an_ellipsoid_is_measured_along_its_axes():
    grid = Grid.from_parts((31, 41, 61), (1.0, 0.8, 0.7), origin=(-20, -16, -15))
    x, y, z = np.moveaxis(grid.to_world(indices(grid)), -1, 0)
    inside = (x / 18) ** 2 + (y / 9) ** 2 + (z / 12) ** 2 <= 1
    (found,) = find_objects(LabelMap(inside.astype(np.uint8), grid, LABELS))
    assert found.volume_ml == pytest.approx(4 / 3 * math.pi * 1.8 * 0.9 * 1.2, rel=0.02)
    assert found.largest_diameter_mm == pytest.approx(36, abs=1)
    assert found.axial_long_mm == pytest.approx(36, abs=1)
    assert found.axial_short_mm == pytest.approx(18, abs=1)


def test_one_voxel_is_as_long_as_its_longest_edge():
    grid = Grid.from_parts((3, 3, 3), (5.0, 1.0, 2.0))
    array = np.zeros(grid.shape, np.uint8)
    array[1, 1, 1] = 4
    (found,) = find_objects(LabelMap(array, grid, LABELS))
    assert (found.voxels, found.name, found.value) == (1, "lesion", 4)
    assert found.volume_ml == pytest.approx(0.01)
    assert found.largest_diameter_mm == pytest.approx(5.0)
    assert (found.axial_long_mm, found.axial_short_mm) == pytest.approx((2.0, 1.0))


def test_objects_come_by_class_and_from_large_to_small():
    array = np.zeros((1, 1, 20), np.uint8)
    array[0, 0, [0, 4, 5, 8, 10, 11, 12]] = [4, 1, 1, 1, 4, 4, 4]
    objects = find_objects(LabelMap(array, Grid.from_parts(array.shape, (1, 1, 1)), LABELS))
    assert [(o.number, o.name, o.voxels) for o in objects] == [
        (1, "organ", 2), (2, "organ", 1), (3, "lesion", 3), (4, "lesion", 1)
    ]  # fmt: skip


def test_small_objects_and_the_ignore_value_are_left_out():
    array = np.zeros((1, 1, 10), np.uint8)
    array[0, 0, [0, 4, 5, 8]] = [1, 1, 1, 9]
    objects = find_objects(LabelMap(array, Grid.from_parts(array.shape, (10, 10, 10)), LABELS), min_ml=1.5)
    assert [o.voxels for o in objects] == [2]


def test_an_empty_label_map_has_no_objects():
    empty = LabelMap(np.zeros((3, 3, 3), np.uint8), Grid.from_parts((3, 3, 3), (1, 1, 1)), LABELS)
    assert find_objects(empty) == ()
    assert objects_to_csv(()).count("\n") == 1
    assert json.loads(objects_to_json(())) == []


def test_undeclared_values_are_refused():
    odd = LabelMap(np.full((3, 3, 3), 7, np.uint8), Grid.from_parts((3, 3, 3), (1, 1, 1)), LABELS)
    with pytest.raises(LabelError):
        find_objects(odd)


def test_an_image_elsewhere_is_refused():
    here, there = Grid.from_parts((3, 3, 3), (1, 1, 1)), Grid.from_parts((3, 3, 3), (1, 1, 1), (5, 0, 0))
    ones = np.ones((3, 3, 3), np.uint8)
    with pytest.raises(GeometryError, match="same grid"):
        find_objects(LabelMap(ones, here, LABELS), Image(ones[None], there, ("MR",)))


def test_an_image_with_nan_in_an_object_is_refused():
    grid = Grid.from_parts((3, 3, 3), (1, 1, 1))
    image = Image(np.full((1, 3, 3, 3), np.nan), grid, ("MR",))
    with pytest.raises(InputError, match="MR"):
        find_objects(LabelMap(np.ones((3, 3, 3), np.uint8), grid, LABELS), image)


def test_csv_and_json_hold_every_number():
    grid = Grid.from_parts((4, 5, 6), (1, 2, 3))
    array = np.zeros(grid.shape, np.uint8)
    array[1:3, 1:2, 2:5] = 1
    image = Image(np.arange(array.size, dtype=np.int16).reshape(1, *array.shape), grid, ("CT",))
    objects = find_objects(LabelMap(array, grid, LABELS), image)
    (row,) = csv.DictReader(io.StringIO(objects_to_csv(objects, image.channels)))
    (entry,) = json.loads(objects_to_json(objects))
    assert row["name"] == entry["name"] == "organ"
    assert float(row["volume_ml"]) == entry["volume_ml"] == objects[0].volume_ml
    assert [float(row[f"centroid_mm_{a}"]) for a in "xyz"] == entry["centroid_mm"]
    assert [int(row[f"stop_{a}"]) for a in "zyx"] == entry["stop"] == [3, 2, 5]
    assert float(row["CT mean"]) == entry["intensities"][0]["mean"] == image.array[0][array == 1].mean()
