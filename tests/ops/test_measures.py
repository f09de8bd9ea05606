"""Measures of classes, and meshes, against figures worked by hand."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
import pytest
from scipy import stats

from calque.errors import GeometryError, InputError, MissingExtraError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.labels import Labels
from calque.ops.distance import surface_area
from calque.ops.measures import measure_labels, measures_to_csv
from calque.ops.mesh import label_mesh, to_obj, to_stl
from calque.ops.skeleton import skeleton

LABELS = Labels.from_names({"ball": 1, "box": 2, "none": 3})
SPACING = (2.0, 1.0, 0.5)


def phantom(codes: str = "SPL") -> LabelMap:
    """A ball of 12 mm radius, and a box of 8 x 4 x 2 mm, in two pieces."""
    grid = Grid.from_parts((40, 60, 120), SPACING, origin=(10.0, -20.0, 30.0))
    z, y, x = (np.arange(n) * s for n, s in zip(grid.shape, SPACING, strict=True))
    distance = (z[:, None, None] - 26) ** 2 + (y[:, None] - 20) ** 2 + (x - 20) ** 2
    array = (distance <= 144).astype(np.uint8)
    array[2:6, 50:54, 100:104] = 2
    array[30, 50, 100] = 2
    label_map = LabelMap(array, grid, LABELS)
    return label_map.reoriented(grid.reorientation(codes))


def test_a_ball_is_round_and_a_box_is_not():
    ball, box, none = measure_labels(phantom())
    assert ball.volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.01)
    assert 1.0 < ball.surface_mm2 / (4 * np.pi * 144) < 1.2  # the steps of voxels, though bevelled, add area
    assert ball.sphericity == pytest.approx(
        4.836 * (1000 * ball.volume_ml) ** (2 / 3) / ball.surface_mm2, rel=1e-3
    )
    assert (ball.elongation, ball.flatness) == pytest.approx((1.0, 1.0), abs=0.02)
    assert ball.major_axis_mm == pytest.approx(4 * 12 / np.sqrt(5), rel=0.02)
    assert ball.largest_diameter_mm == pytest.approx(25, abs=1.0)
    assert ball.centroid_mm == pytest.approx((10 + 20, -20 + 20, 30 + 26), abs=0.3)
    assert (box.voxels, box.components) == (65, 2)
    assert (none.voxels, none.volume_ml, none.surface_mm2) == (0, 0.0, None)


def test_turning_the_patient_does_not_matter():
    for one, other in zip(measure_labels(phantom()), measure_labels(phantom("RAI")), strict=True):
        for name, value in one.model_dump().items():
            assert getattr(other, name) == (pytest.approx(value) if value not in (None, ()) else value), name


def test_intensities_equal_scipy():
    label_map = phantom()
    generator = np.random.default_rng(0)
    array = np.stack([generator.gamma(2.0, 30.0, label_map.grid.shape), np.ones(label_map.grid.shape)])
    ball = measure_labels(label_map, Image(array, label_map.grid, ("CT", "flat")))[0]
    values = array[0][label_map.array == 1]
    ct, flat = ball.intensities
    assert (ct.mean, ct.std) == pytest.approx((values.mean(), values.std()))
    assert (ct.skewness, ct.kurtosis) == pytest.approx((stats.skew(values), stats.kurtosis(values)))
    assert (ct.minimum, ct.p10, ct.median, ct.p90, ct.maximum) == pytest.approx(
        np.percentile(values, (0, 10, 50, 90, 100))
    )
    assert (flat.std, flat.skewness, flat.kurtosis) == (0.0, None, None)
    rows = list(csv.DictReader(io.StringIO(measures_to_csv([("a", ball)], ("CT", "flat")))))
    assert float(rows[0]["CT median"]) == ct.median
    assert rows[0]["flat skewness"] == ""
    array[0, label_map.array == 1] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        measure_labels(label_map, Image(array, label_map.grid, ("CT", "flat")))
    with pytest.raises(GeometryError, match="same grid"):
        measure_labels(
            label_map, Image(array[:, 1:], Grid.from_parts((39, 60, 120), SPACING), ("CT", "flat"))
        )


def test_surface_of_a_box_and_a_picture():
    mask = np.zeros((20, 20, 20), bool)
    mask[2:18, 2:18, 2:18] = True
    assert surface_area(mask, (1.0, 1.0, 1.0)) == pytest.approx(6 * 16**2, rel=0.05)
    assert surface_area(np.zeros((3, 3, 3), bool), (1.0, 1.0, 1.0)) == 0.0
    assert surface_area(mask[2:3], (9.0, 1.0, 1.0)) == pytest.approx(4 * 16, rel=0.05)


@pytest.mark.parametrize("codes", ["SPL", "RAI", "LSA"])
@pytest.mark.parametrize("smooth", [0, 10])
def test_meshes_enclose_the_class_where_it_lies(codes, smooth):
    label_map = phantom(codes)
    mesh = label_mesh(label_map, 1, smooth)
    assert mesh.volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.02)
    assert mesh.vertices.mean(axis=0) == pytest.approx((30, 0, 56), abs=0.3)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx((24, 24, 24), abs=2)
    edges = np.sort(np.concatenate([mesh.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # closed: two faces at every edge


def test_smoothing_takes_steps_off():
    rough, smooth = (label_mesh(phantom(), 1, rounds).vertices for rounds in (0, 10))
    centre = np.array([30.0, 0.0, 56.0])
    assert np.linalg.norm(smooth - centre, axis=1).std() < 0.8 * np.linalg.norm(rough - centre, axis=1).std()


def test_stl_and_obj():
    mesh = label_mesh(phantom(), 2)
    data = to_stl(mesh, "Größe")
    assert data.startswith(b"SPACE=LPS")
    count = int(np.frombuffer(data, "<u4", 1, 80)[0])
    assert (count, len(data)) == (len(mesh.faces), 84 + 50 * count)
    first = np.frombuffer(data, "<f4", 12, 84)
    assert first[3:12].reshape(3, 3) == pytest.approx(mesh.vertices[mesh.faces[0]], abs=1e-4)
    normal = np.cross(first[6:9] - first[3:6], first[9:12] - first[3:6])
    assert first[:3] == pytest.approx(normal / np.linalg.norm(normal), abs=1e-3)
    lines = to_obj(mesh, "a\nb").decode().splitlines()
    assert lines[:2] == ["# SPACE=LPS; mm", "o a b"]
    assert sum(line.startswith("v ") for line in lines) == len(mesh.vertices)
    assert max(int(n) for line in lines if line.startswith("f ") for n in line.split()[1:]) == len(
        mesh.vertices
    )


def test_no_mesh_of_nothing_or_of_a_picture():
    picture = LabelMap(np.ones((1, 5, 5), np.uint8), Grid.from_parts((1, 5, 5), (1, 1, 1)), LABELS)
    for label_map, value in ((picture, 1), (phantom(), 3)):
        with pytest.raises(GeometryError, match="no surface"):
            label_mesh(label_map, value)


def test_centrelines():
    tube = np.zeros((5, 7, 30), bool)
    tube[1:4, 2:5, 3:27] = True
    line = skeleton(tube)
    assert line.sum() < 30
    assert (tube & line).sum() == line.sum()
    assert line[2, 3, 8:22].all()
    flat = skeleton(tube[2:3])
    assert flat.shape == (1, 7, 30)
    assert flat[0, 3, 8:22].all()
    row = tube[2:3, 3:4]
    assert (skeleton(row) == row).all()
    with pytest.raises(GeometryError):
        skeleton(tube[0])


def test_without_scikit_image_the_fix_is_named(monkeypatch):
    for name in ("skimage.measure", "skimage.morphology"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: label_mesh(phantom(), 1), lambda: skeleton(np.ones((3, 3, 3), bool))):
        with pytest.raises(MissingExtraError, match="scikit-image") as caught:
            call()
        assert "calque[shape]" in caught.value.fix
