"""`Image` and `LabelMap` carry their grid."""

from __future__ import annotations

import numpy as np
import pytest

from calque.errors import GeometryError, LabelError
from calque.geometry import Box, Grid
from calque.image import Image, LabelMap
from calque.labels import Labels

GRID = Grid.from_parts((3, 4, 5), (2.0, 1.0, 0.5), origin=(-7, 8, 9))
LABELS = Labels.from_names({"a": 1, "b": 4})
BOX = Box((1, 1, 0), (3, 2, 5))


def image() -> Image:
    array = np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5)
    return Image(array, GRID, ("T1", "T2"))


def label_map() -> LabelMap:
    array = np.zeros((3, 4, 5), np.uint8)
    array[1, 1] = 4
    return LabelMap(array, GRID, LABELS)


@pytest.mark.parametrize("thing", [image(), label_map()], ids=["image", "labels"])
def test_a_crop_moves_array_and_grid_alike(thing: Image | LabelMap) -> None:
    part = thing.cropped(BOX)
    assert np.array_equal(part.array, thing.array[..., 1:3, 1:2, 0:5])
    assert np.shares_memory(part.array, thing.array)
    assert np.allclose(part.grid.to_world((0, 0, 0)), thing.grid.to_world((1, 1, 0)))


@pytest.mark.parametrize("thing", [image(), label_map()], ids=["image", "labels"])
@pytest.mark.parametrize(
    "box", [Box((0, 0, 0), (4, 4, 5)), Box((-1, 0, 0), (3, 4, 5)), Box((-2, 0, 0), (-1, 4, 5))]
)
def test_a_crop_does_not_reach_outside(thing: Image | LabelMap, box: Box) -> None:
    with pytest.raises(GeometryError):
        thing.cropped(box)


@pytest.mark.parametrize("thing", [image(), label_map()], ids=["image", "labels"])
def test_reorienting_turns_array_and_grid_alike(thing: Image | LabelMap) -> None:
    turned = thing.reoriented(GRID.reorientation("RSA"))
    assert turned.grid.orientation == "RSA"
    z, y, x = (round(float(v)) for v in turned.grid.to_index(thing.grid.to_world((2, 1, 4))))
    assert np.array_equal(turned.array[..., z, y, x], thing.array[..., 2, 1, 4])
    assert turned.array.shape[-3:] == turned.grid.shape


def test_shapes_and_names_must_fit() -> None:
    with pytest.raises(GeometryError):
        Image(np.zeros((3, 4, 5)), GRID, ("T1",))
    with pytest.raises(GeometryError):
        Image(np.zeros((1, 3, 4, 6)), GRID, ("T1",))
    with pytest.raises(GeometryError, match="name"):
        Image(np.zeros((2, 3, 4, 5)), GRID, ("T1",))
    with pytest.raises(GeometryError):
        LabelMap(np.zeros((1, 3, 4, 5), np.uint8), GRID, LABELS)
    with pytest.raises(LabelError):
        LabelMap(np.zeros((3, 4, 5), np.float32), GRID, LABELS)  # type: ignore[arg-type]


def test_volume_is_in_millilitres() -> None:
    assert label_map().volume_ml(4) == pytest.approx(5 * 2.0 * 1.0 * 0.5 / 1000)
    assert label_map().volume_ml(1) == 0
