"""Label maps on other grids."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels
from calque.ops.regrid import regrid_labels

LABELS = Labels.from_names({"organ": 1, "lesion": 2})


def some(shape=(7, 8, 9)) -> LabelMap:
    array = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    return LabelMap(array, Grid.from_parts(shape, (2.0, 1.0, 1.5), origin=(3.0, -4.0, 5.0)), LABELS)


def test_the_same_grid_and_turned_axes_change_nothing():
    label_map = some()
    assert (regrid_labels(label_map, label_map.grid).array == label_map.array).all()
    turned = label_map.reoriented(label_map.grid.reorientation("RAI"))
    back = regrid_labels(turned, label_map.grid)
    assert (back.array == label_map.array).all()
    assert back.grid.isclose(label_map.grid)


@settings(max_examples=40, deadline=None)
@given(
    spacing=st.tuples(*[st.sampled_from([0.4, 1.0, 2.3])] * 3),
    origin=st.tuples(*[st.floats(-5, 8)] * 3),
)
def test_every_voxel_has_the_value_of_the_nearest(spacing, origin):
    label_map, grid = some(), Grid.from_parts((5, 6, 4), spacing, origin=origin)
    found = regrid_labels(label_map, grid).array
    for index in np.ndindex(*grid.shape):
        place = label_map.grid.to_index(grid.to_world(np.array([index], float)))[0]
        if np.any(np.abs(place - np.floor(place) - 0.5) < 1e-6):
            continue  # as near to two
        nearest = np.rint(place).astype(int)
        inside = all(-0.5 < p < n - 0.5 for p, n in zip(place, label_map.array.shape, strict=True))
        assert found[index] == (label_map.array[tuple(nearest)] if inside else 0)
