"""RTSTRUCT to label maps: synthetic truth here, plastimatch as the judge in test_references.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from tests.support.dicom_series import oblique
from tests.support.dicom_structures import Points, contour, write_rtstruct

from calque.errors import CalqueError, GeometryError, LabelError, ReadError
from calque.geometry import Grid
from calque.io import read_labels
from calque.io.dicom.label_files import read_structure_labels
from calque.io.dicom.labelling import Choice
from calque.io.dicom.rtstruct import read_rtstruct
from calque.io.dicom.structures import Reference

SHAPE = (6, 24, 20)
GRID = oblique(SHAPE)


def square(k: int, low: float, high: float, grid: Grid = GRID) -> Points:
    """Corners of a square of slice k, in LPS mm; `low` and `high` are fractional rows and columns."""
    corners = [(k, low, low), (k, low, high), (k, high, high), (k, high, low)]
    return grid.to_world(np.array(corners, dtype=float))


def boxed(k: int, low: int, high: int) -> NDArray[np.bool_]:
    array = np.zeros(SHAPE, bool)
    array[k, low:high, low:high] = True
    return array


def test_a_square_on_an_oblique_series_with_its_name_and_colour(tmp_path: Path) -> None:
    path = write_rtstruct(
        tmp_path / "rt.dcm", {"Liver": [contour(square(2, 3.5, 13.5))]}, colours={"Liver": (1, 2, 3)}
    )
    found = read_labels(path, reference=GRID)
    assert (found.array.astype(bool) == boxed(2, 4, 14)).all()
    assert found.grid == GRID
    assert [(c.name, c.value, c.colour) for c in found.labels.classes] == [("Liver", 1, (1, 2, 3))]


def test_holes_are_inner_contours_or_key_holes(tmp_path: Path) -> None:
    outer, inner = square(1, 2.5, 15.5), square(1, 5.5, 9.5)
    keyed = np.concatenate([outer, outer[:1], inner, inner[:1]])
    path = write_rtstruct(
        tmp_path / "rt.dcm", {"two": [contour(outer), contour(inner)], "keyed": [contour(keyed)]}
    )
    structures = read_rtstruct(path, Reference(GRID))
    assert [item.voxels for item in structures.items] == [13 * 13 - 4 * 4] * 2
    assert (structures.items[0].mask == structures.items[1].mask).all()
    assert not structures.notes


def test_several_contours_of_one_slice_and_the_newer_type(tmp_path: Path) -> None:
    parts = [contour(square(0, 0.5, 3.5), "CLOSEDPLANAR_XOR"), contour(square(0, 9.5, 12.5))]
    structures = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"a": parts}), Reference(GRID))
    assert structures.items[0].voxels == 18


def test_slices_that_are_missed_stay_empty_and_are_counted(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"a": [contour(square(k, 2.5, 6.5)) for k in (0, 1, 4)]})
    found = read_structure_labels(path, Reference(GRID))
    assert found.label_map.array.any(axis=(1, 2)).tolist() == [True, True, False, False, True, False]
    assert [(n.name, n.what.split(":")[1].split()[0]) for n in found.notes] == [("structure-gaps", "2")]


def test_contours_that_cross_or_are_there_twice_are_said(tmp_path: Path) -> None:
    one, shifted = square(0, 2.5, 8.5), square(0, 5.5, 11.5)
    path = write_rtstruct(
        tmp_path / "rt.dcm", {"cross": [contour(one), contour(shifted)], "twice": [contour(one)] * 2}
    )
    structures = read_rtstruct(path, Reference(GRID))
    assert [n.name for n in structures.notes] == ["contours-ambiguous"] * 2
    assert [item.voxels for item in structures.items] == [36 + 36 - 2 * 9, 36]


def test_points_lines_and_structures_without_contours_are_empty_and_said(tmp_path: Path) -> None:
    path = write_rtstruct(
        tmp_path / "rt.dcm",
        {
            "isocentre": [contour(square(0, 1, 2)[:1], "POINT")],
            "line": [contour(square(0, 1, 9), "OPEN_PLANAR")],
            "none": [],
            "organ": [contour(square(0, 1.5, 5.5))],
        },
    )
    found = read_structure_labels(path, Reference(GRID))
    said = " ".join(n.what for n in found.notes if n.name == "structure-empty")
    assert all(name in said for name in ("isocentre", "line", "none"))
    assert np.unique(found.label_map.array).tolist() == [0, 4]


def test_between_slices_outside_or_askew_is_refused_by_name(tmp_path: Path) -> None:
    askew = square(1, 2.5, 9.5)
    askew[0] = GRID.to_world((1.4, 2.5, 2.5))
    for points, words in (
        (square(1, 2.5, 9.5) + GRID.affine[:3, 0] * 0.3, "does not lie on a slice"),
        (askew, "does not lie on a slice"),
        (square(6, 2.5, 9.5), "outside the series"),
        (square(-1, 2.5, 9.5), "outside the series"),
        (square(2, 50.5, 59.5), "outside the series"),
    ):
        path = write_rtstruct(tmp_path / "rt.dcm", {"organ": [contour(points)]})
        with pytest.raises(GeometryError, match=words) as caught:
            read_labels(path, reference=GRID)
        assert "organ" in str(caught.value)


def test_rounded_positions_are_still_on_their_slice(tmp_path: Path) -> None:
    points = square(3, 2.5, 9.5) + GRID.direction[:, 0] * 0.05 * GRID.spacing[0]
    path = write_rtstruct(tmp_path / "rt.dcm", {"organ": [contour(points)]})
    assert read_labels(path, reference=GRID).array[3].any()


def test_what_reaches_over_the_edge_of_the_slice_is_cut(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"skin": [contour(square(0, -5.5, 3.5))]})
    assert int(read_labels(path, reference=GRID).array.sum()) == 16


def test_without_a_series_it_says_what_is_needed(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"a": [contour(square(0, 1, 5))]})
    with pytest.raises(GeometryError, match="only on the grid of their series"):
        read_labels(path)


def overlapping(tmp_path: Path) -> Path:
    big, small = contour(square(1, 2.5, 12.5)), contour(square(1, 8.5, 15.5))
    return write_rtstruct(tmp_path / "rt.dcm", {"big": [big], "small": [small], "far": []})


def test_overlaps_need_a_decision_and_both_ways_are_named(tmp_path: Path) -> None:
    path = overlapping(tmp_path)
    with pytest.raises(LabelError, match="Structures overlap") as caught:
        read_labels(path, reference=GRID)
    assert "big and small: 16 voxels" in str(caught.value)
    assert "--priority big,small" in str(caught.value)
    assert "--overlaps regions" in str(caught.value)
    first = read_labels(path, reference=GRID, choice=Choice(priority=("big",)))
    second = read_labels(path, reference=GRID, choice=Choice(priority=("small", "big")))
    assert np.bincount(first.array.reshape(-1))[1:].tolist() == [100, 33]
    assert np.bincount(second.array.reshape(-1))[1:].tolist() == [84, 49]
    with pytest.raises(LabelError, match="no class"):
        read_labels(path, reference=GRID, choice=Choice(priority=("huge",)))


def test_overlaps_become_a_class_and_regions(tmp_path: Path) -> None:
    found = read_labels(overlapping(tmp_path), reference=GRID, choice=Choice(overlaps="regions"))
    assert found.labels.names == ("big only", "small only", "far", "big+small")
    assert {r.name: r.values for r in found.labels.regions} == {"big": (1, 4), "small": (2, 4)}
    assert np.bincount(found.array.reshape(-1))[1:].tolist() == [84, 33, 0, 16]
    again = read_labels(overlapping(tmp_path), found.labels, coding_of(found.labels.values), reference=GRID)
    assert (again.array == found.array).all()


def coding_of(values: tuple[int, ...]) -> object:
    from calque.labels import Coding

    return Coding(names=tuple(zip(("big", "small", "far", "big+small"), values, strict=True)))


def test_names_are_found_without_case_and_spaces_and_ambiguity_is_refused(tmp_path: Path) -> None:
    path = write_rtstruct(
        tmp_path / "rt.dcm",
        {"Lung Left": [contour(square(0, 1.5, 5.5))], "lungleft": [contour(square(1, 1.5, 5.5))]},
    )
    found = read_labels(path, reference=GRID, choice=Choice(structures=("lungleft",)))
    assert found.array.any(axis=(1, 2)).tolist() == [False, True, False, False, False, False]
    with pytest.raises(LabelError, match="case and spaces"):
        read_labels(path, reference=GRID, choice=Choice(structures=("LUNG LEFT",)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_on_random_oblique_flipped_grids_the_physical_position_is_right(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """A polygon is drawn on one grid and read on the same lattice with axes y and x flipped and swapped at
    random: every voxel centre is inside in the patient where it is marked."""
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    grid = Grid.from_parts((5, 17, 13), generator.uniform(0.5, 4, 3), generator.normal(size=3) * 200, turn)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False) + 0.1
    radii = generator.uniform(2, 6, 9)
    index = np.stack([np.full(9, 2.0), 8 + radii * np.sin(angles), 6 + radii * np.cos(angles)], axis=1)
    path = tmp_path_factory.mktemp("rt") / "rt.dcm"
    write_rtstruct(path, {"organ": [contour(grid.to_world(index))]})
    straight = read_labels(path, reference=grid)
    codes = "".join(
        c
        if generator.random() < 0.5
        else {"L": "R", "P": "A", "S": "I"}.get(c) or {"R": "L", "A": "P", "I": "S"}[c]
        for c in grid.orientation
    )
    change = grid.reorientation(codes[0] + codes[2] + codes[1])
    turned = read_labels(path, reference=change.grid(grid))
    assert straight.array.any()
    assert (change.apply(straight.array) == turned.array).all()


def _drop(keyword: str) -> Callable[[Dataset], object]:
    return lambda data: delattr(data, keyword)


def _edit_first(value: object) -> Callable[[Dataset], object]:
    def edit(data: Dataset) -> None:
        data.ROIContourSequence[0].ContourSequence[0].ContourData = value

    return edit


@pytest.mark.parametrize(
    "spoil",
    [
        _drop("StructureSetROISequence"),
        _edit_first(["1", "2", "3", "4"]),
        lambda data: delattr(data.StructureSetROISequence[0], "ROINumber"),
        lambda data: delattr(data.ROIContourSequence[0], "ReferencedROINumber"),
    ],
)
def test_damaged_objects_are_refused_by_name(spoil: Callable[[Dataset], object], tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"a": [contour(square(0, 1.5, 5.5))]}, edit=spoil)
    with pytest.raises(ReadError) as caught:
        read_rtstruct(path, Reference(GRID))
    assert str(path) in str(caught.value)


def test_random_damage_never_ends_in_anything_but_an_error_of_ours(tmp_path: Path) -> None:
    contours = [contour(square(k, 1.5, 5.5)) for k in range(3)]
    whole = write_rtstruct(tmp_path / "rt.dcm", {"a": contours, "b": contours}).read_bytes()
    generator = np.random.default_rng(5)
    path = tmp_path / "spoiled.dcm"
    for k in range(80):
        spoiled = bytearray(whole)
        for place in generator.integers(132, len(whole), 1 + k // 4):
            spoiled[place] = int(generator.integers(0, 256))
        path.write_bytes(bytes(spoiled[: generator.integers(200, len(whole))] if k % 4 == 0 else spoiled))
        try:
            read_structure_labels(path, Reference(GRID), choice=Choice(priority=("a",)))
        except CalqueError:
            continue


def test_infinite_coordinates_are_refused(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rt.dcm", {"a": [contour(square(0, 1.5, 5.5))]})
    raw = path.read_bytes()
    text = dcmread(path).ROIContourSequence[0].ContourSequence[0].ContourData[0].original_string.encode()
    path.write_bytes(raw.replace(text, b"NaN".ljust(len(text)), 1))
    with pytest.raises(ReadError, match="three numbers"):
        read_rtstruct(path, Reference(GRID))
