"""Which slice is shown, how it hangs, and what its colours say."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image as Picture

from calque.errors import GeometryError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.reporting.pictures import ERROR_COLOURS, draw
from calque.reporting.slices import choose_slices

LABELS = Labels.from_names({"a": 1, "b": 2}, ignore=9)
GRID = Grid.from_parts((16, 20, 24), (3.0, 1.0, 1.0))


def label_map(array, grid: Grid = GRID) -> LabelMap:
    return LabelMap(array, grid, LABELS)


@pytest.fixture
def arrays():
    truth = np.zeros(GRID.shape, np.uint8)
    truth[4:12, 5:15, 6:18] = 1
    predicted = truth.copy()
    predicted[10, 5:12, 6:16] = 0  # 70 missed in this axial slice
    return predicted, truth


def test_the_slice_with_the_most_errors(arrays):
    axial, coronal, sagittal = choose_slices(None, *map(label_map, arrays))
    assert (axial.plane, axial.number) == ("axial", 11)
    assert (coronal.plane, sagittal.plane) == ("coronal", "sagittal")
    assert (axial.spacing, coronal.spacing) == ((1.0, 1.0), (3.0, 1.0))
    assert draw(axial, LABELS).counts == {"over": 0, "missed": 70, "confused": 0}


def test_without_errors_the_slice_with_the_most_truth(arrays):
    truth = arrays[1]
    truth[7, 4, 4] = 1
    assert choose_slices(None, label_map(truth), label_map(truth))[0].number == 8


@pytest.mark.parametrize("codes", ["SPL", "IAR", "RSP", "LPI", "AIL"])
def test_every_storage_order_hangs_the_same_way(arrays, codes):
    """Patient's right on the left, anterior and superior on top: whatever the axes of the array are."""
    scan = Image(np.random.default_rng(0).normal(size=(1, *GRID.shape)).astype(np.float32), GRID, ("x",))
    maps = [label_map(a) for a in arrays]
    change = GRID.reorientation(codes)
    expected = choose_slices(scan, *maps)
    found = choose_slices(scan.reoriented(change), *(m.reoriented(change) for m in maps))
    for one, other in zip(expected, found, strict=True):
        assert (one.plane, one.number, one.spacing) == (other.plane, other.number, other.spacing)
        np.testing.assert_array_equal(one.predicted, other.predicted)
        np.testing.assert_array_equal(one.scan, other.scan)


def test_right_is_on_the_left_and_superior_on_top():
    truth = np.zeros(GRID.shape, np.uint8)
    truth[12:15, 2:5, 2:5] = 1  # superior, anterior, right: LPS grows to the left and back
    truth[1, 17, 20] = 2
    axial, coronal, sagittal = choose_slices(None, label_map(truth), label_map(truth))
    for cut, letters in ((axial, "APRL"), (coronal, "SIRL"), (sagittal, "SIAP")):
        assert cut.sides == letters
        rows, columns = np.nonzero(cut.truth == 1)
        assert rows.mean() < cut.truth.shape[0] / 2
        assert columns.mean() < cut.truth.shape[1] / 2


def test_ignored_voxels_are_no_errors(arrays):
    predicted, truth = arrays
    truth[10] = 9
    cuts = choose_slices(None, label_map(predicted), label_map(truth))
    assert all(draw(cut, LABELS).counts == {"over": 0, "missed": 0, "confused": 0} for cut in cuts)


def test_colours_say_what_is_wrong():
    truth, predicted = np.zeros((1, 30, 30), np.uint8), np.zeros((1, 30, 30), np.uint8)
    truth[0, 5:25, 0:20] = 1
    predicted[0, 5:25, 10:20] = 2
    predicted[0, 5:25, 20:30] = 1
    grid = Grid.from_parts(truth.shape, (1, 1, 1))
    (cut,) = choose_slices(None, label_map(predicted, grid), label_map(truth, grid))
    assert (cut.plane, cut.sides) == ("picture", None)
    drawn = draw(cut, LABELS)
    assert drawn.counts == {"over": 200, "missed": 200, "confused": 200}
    data = base64.b64decode(drawn.errors.partition(",")[2])
    pixels = np.asarray(Picture.open(io.BytesIO(data)).convert("RGB"), float)
    assert pixels.shape == (drawn.height, drawn.width, 3)
    for column, kind in ((5, "missed"), (15, "confused"), (25, "over")):
        found = pixels[drawn.height // 2, int((column + 0.5) * drawn.width / 30)]
        colours = {k: np.abs(found - 0.8 * np.array(c)).sum() for k, c in ERROR_COLOURS.items()}
        assert min(colours, key=colours.get) == kind


def test_grids_must_agree(arrays):
    predicted, truth = map(label_map, arrays)
    other = Grid.from_parts(GRID.shape, (3.0, 1.0, 1.1))
    with pytest.raises(GeometryError):
        choose_slices(None, LabelMap(predicted.array, other, LABELS), truth)
