"""Sheets show the planes that they should, where they should."""

from __future__ import annotations

import numpy as np
import pytest

from calque.errors import GeometryError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.ops.sheet import legend, montage, render_case

LABELS = Labels.from_names({"organ": 1, "lesion": 4})
ORGAN, LESION = (label.colour for label in LABELS.classes)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Places (n, 2) of exactly this colour."""
    return np.argwhere((picture == colour).all(axis=2))


def test_montage_puts_pictures_side_by_side():
    tiles = [np.full((3, 4, 3), 10, np.uint8), np.full((5, 2, 3), 20, np.uint8)]
    canvas = montage(tiles, gap=1)
    assert canvas.shape == (5, 7, 3)
    assert (canvas[:3, :4] == 10).all()
    assert (canvas[:, 5:] == 20).all()
    assert (canvas[:, 4] == 0).all()


def test_legend_breaks_lines_and_shows_every_colour():
    many = Labels.from_names({f"structure {k}": k for k in range(1, 13)})
    picture = legend(many.classes, 300)
    assert picture.shape[1] == 300
    assert all(len(coloured(picture, label.colour)) for label in many.classes)
    assert legend((), 300).shape[1] == 300


@pytest.mark.parametrize("codes", ["SPL", "LPS", "RAI", "IAR", "PSR", "ALI"])
def test_the_patients_right_is_on_the_left_however_the_file_is_stored(codes):
    canonical = Grid.from_parts((20, 30, 40), (2.0, 1.0, 0.5))
    array = np.zeros(canonical.shape, np.uint8)
    array[15:18, 3:8, 30:36] = 4  # superior, anterior, left
    stored = canonical.reorientation(codes)
    labels = LabelMap(array, canonical, LABELS).reoriented(stored)
    image = Image(np.zeros((1, *array.shape), np.uint8), canonical, ("MR",)).reoriented(stored)
    picture = render_case(image, labels, size=400)
    per_mm = 400 / 40
    widths = [20, 20, 30]  # axial (y 30 mm, x 20 mm), coronal (z 40, x 20), sagittal (z 40, y 30)
    starts = np.cumsum([0, *(int(w * per_mm) + 6 for w in widths)])
    axial, coronal, sagittal = (
        coloured(picture[:400, a : a + int(w * per_mm)], LESION) / per_mm
        for a, w in zip(starts, widths, strict=False)
    )
    expected = {
        "axial": (axial, (3, 8), (15, 18)),
        "coronal": (coronal, (40 - 36, 40 - 30), (15, 18)),
        "sagittal": (sagittal, (40 - 36, 40 - 30), (3, 8)),
    }
    for places, rows, columns in expected.values():
        np.testing.assert_allclose((places[:, 0].min(), places[:, 0].max()), rows, atol=0.15)
        np.testing.assert_allclose((places[:, 1].min(), places[:, 1].max()), columns, atol=0.15)


def test_a_flat_picture_has_one_view():
    grid = Grid.from_parts((1, 30, 60), (1, 1, 1))
    image = Image(np.random.default_rng(0).random((1, *grid.shape)), grid, ("grey",))
    picture = render_case(image, LabelMap(np.ones(grid.shape, np.uint8), grid, LABELS), size=120)
    assert picture.shape[1] == 120
    assert 60 < picture.shape[0] < 100


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (5, 6, 7)])
def test_an_empty_label_map_still_gives_a_picture(shape):
    grid = Grid.from_parts(shape, (1, 1, 1))
    image = Image(np.ones((1, *shape)), grid, ("MR",))
    picture = render_case(image, LabelMap(np.zeros(shape, np.uint8), grid, LABELS))
    assert picture.dtype == np.uint8
    assert picture.ndim == 3


def test_slices_go_where_labels_are_though_the_centre_is_empty():
    grid = Grid.from_parts((21, 21, 21), (1, 1, 1))
    array = np.zeros(grid.shape, np.uint8)
    array[[2, 18]] = 1  # two slabs, whose centre lies between them
    picture = render_case(
        Image(np.zeros((1, *grid.shape)), grid, ("MR",)), LabelMap(array, grid, LABELS), size=210
    )
    assert len(coloured(picture[:210, :210], ORGAN)) > 0


def test_another_grid_is_refused():
    one, other = Grid.from_parts((3, 3, 3), (1, 1, 1)), Grid.from_parts((3, 3, 3), (2, 1, 1))
    with pytest.raises(GeometryError):
        render_case(
            Image(np.zeros((1, 3, 3, 3)), one, ("MR",)),
            LabelMap(np.zeros((3, 3, 3), np.uint8), other, LABELS),
        )


def test_the_truth_is_an_outline_over_the_filled_prediction():
    image = Image(np.zeros((1, 9, 9, 9), np.float32), Grid.from_parts((9, 9, 9), (1, 1, 1)), ("CT",))
    truth, guess = (np.zeros((9, 9, 9), np.uint8) for _ in range(2))
    truth[4, 2:7, 2:7] = 1
    guess[4, 4:9, 4:9] = 4
    shown = render_case(
        image, LabelMap(guess, image.grid, LABELS), size=90, truth=LabelMap(truth, image.grid, LABELS)
    )
    axial = shown[:90, :90]
    edge = coloured(axial, ORGAN)
    assert edge.min(axis=0).tolist() == [20, 20]
    assert edge.max(axis=0).tolist() == [69, 69]
    assert len(coloured(axial, LESION)) == 0  # filled, without an outline of its own
    assert tuple(axial[80, 80]) == tuple(round(0.35 * c) for c in LESION)
