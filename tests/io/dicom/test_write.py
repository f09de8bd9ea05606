"""Labels as DICOM objects, judged by readers that are not ours: dciodvfy, dcmqi, highdicom, plastimatch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("pydicom", reason="the extra dicom is not installed")
import pydicom
from tests.support.dicom_series import base_dataset, oblique, phantom, write_enhanced, write_series
from tests.support.judges import (
    dciodvfy_errors,
    dcmqi_labels,
    highdicom_labels,
    plastimatch_masks,
    same_place,
)

from calque.errors import GeometryError, InputError, LabelError
from calque.geometry import Box, Grid, Reorientation
from calque.image import Image, LabelMap
from calque.io import read_labels, write_labels
from calque.io.dicom import (
    Identity,
    Stack,
    Written,
    find_stacks,
    write_overlay,
    write_rtstruct,
    write_seg,
    write_sr,
)
from calque.io.dicom.structures import Reference
from calque.labels import Labels
from calque.ops.measures import measure_labels
from calque.ops.render import overlay_slices
from calque.terminology import parse_code

MODEL = Identity(name="liver quick", version="0.1", key="ab" * 32)
PLAIN = Labels.from_names({"liver tumour": 1, "left kidney": 2, "nothing of this": 3})
LABELS = PLAIN.with_codes({name: parse_code(name) for name in ("liver tumour", "left kidney")})


def _one_stack(folder: Path) -> Stack:
    (stack,) = find_stacks(folder).stacks
    return stack


def _label_map(grid: Grid) -> LabelMap:
    """Two classes without any symmetry, in the first slice and the last, and one that is absent."""
    array = np.zeros(grid.shape, np.uint8)
    z, y, x = grid.shape
    array[0, 1:3, 2 : x - 1] = 1
    array[z // 2 :, y - 3, 1:4] = 1
    array[-1, 2 : y // 2, -3] = 2
    return LabelMap(array, grid, LABELS)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    write_series(tmp_path / "ct")
    return _one_stack(tmp_path / "ct")


def _segments(file: Path) -> list[pydicom.Dataset]:
    return list(pydicom.dcmread(file).SegmentSequence)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_seg_holds_the_label_map_for_every_reader(stack: Stack, tmp_path: Path, kind: str) -> None:
    label_map = _label_map(stack.grid)
    file = tmp_path / "seg.dcm"
    written = write_seg(label_map, stack, file, MODEL, kind)  # type: ignore[arg-type]
    array, grid = dcmqi_labels(file, tmp_path / "dcmqi")
    assert np.array_equal(array, label_map.array)
    assert grid.isclose(stack.grid)
    assert same_place(*highdicom_labels(file), label_map)
    data = pydicom.dcmread(file)
    images = [item for series in data.ReferencedSeriesSequence for item in series.ReferencedInstanceSequence]
    assert [item.ReferencedSOPInstanceUID for item in images] == [one.instance for one in stack.slices]
    assert data.SOPInstanceUID == written.instance
    if kind == "binary":
        assert dciodvfy_errors(file) == []


def test_frames_refer_to_the_image_at_their_own_place(stack: Stack, tmp_path: Path) -> None:
    write_seg(_label_map(stack.grid), stack, tmp_path / "seg.dcm", MODEL)
    places = {one.instance: one.position for one in stack.slices}
    frames = pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    for frame in frames:
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        position = [float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient]
        assert position == pytest.approx(places[image.ReferencedSOPInstanceUID], abs=1e-5)


def test_segments_say_what_they_are_and_who_made_them(stack: Stack, tmp_path: Path) -> None:
    written = write_seg(_label_map(stack.grid), stack, tmp_path / "seg.dcm", MODEL)
    tumour, kidney, private = _segments(tmp_path / "seg.dcm")
    assert tumour.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert tumour.AnatomicRegionSequence[0].CodeMeaning == "Liver"
    side = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"
    assert private.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99CALQUE"
    assert "nothing of this" in written.notes[0]
    assert [one.SegmentLabel for one in (tumour, kidney, private)] == list(LABELS.names)
    algorithm = tumour.SegmentationAlgorithmIdentificationSequence[0]
    assert MODEL.key in algorithm.AlgorithmParameters
    assert algorithm.AlgorithmName == MODEL.name


def test_only_patient_and_study_are_taken_from_the_source(tmp_path: Path) -> None:
    def edit(data: pydicom.Dataset, k: int) -> None:
        data.SpecificCharacterSet = "ISO_IR 100"
        data.PatientName = "Groß^Jürgen"
        data.PatientAddress, data.InstitutionName = "somewhere", "a hospital"
        data.StudyDescription = "Abdomen"

    write_series(tmp_path / "ct", edit=edit)
    stack = _one_stack(tmp_path / "ct")
    write_seg(_label_map(stack.grid), stack, tmp_path / "seg.dcm", MODEL)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert str(data.PatientName) == "Groß^Jürgen"
    assert data.StudyInstanceUID == stack.series.study
    assert data.StudyDescription == "Abdomen"
    assert "PatientAddress" not in data
    assert "InstitutionName" not in data


def test_the_same_labels_are_the_same_object_and_others_another(stack: Stack, tmp_path: Path) -> None:
    label_map = _label_map(stack.grid)

    def write(labels: LabelMap = label_map, identity: Identity = MODEL) -> Written:
        return write_seg(labels, stack, tmp_path / "seg.dcm", identity)

    first, again = write(), write()
    assert (first.instance, first.series) == (again.instance, again.series)
    array = label_map.array.copy()
    array[2, 2, 2] = 2
    changed = write(LabelMap(array, stack.grid, LABELS))
    assert changed.series == first.series
    assert changed.instance != first.instance
    other = write(identity=MODEL.model_copy(update={"key": "cd" * 32}))
    assert other.series != first.series
    labelmap = write_seg(label_map, stack, tmp_path / "lm.dcm", MODEL, "labelmap")
    assert labelmap.series != first.series
    assert first.instance.startswith("2.25.")
    assert len(first.instance) <= 64


def test_an_empty_label_map_is_a_valid_seg(stack: Stack, tmp_path: Path) -> None:
    empty = LabelMap(np.zeros(stack.grid.shape, np.uint8), stack.grid, LABELS)
    write_seg(empty, stack, tmp_path / "seg.dcm", MODEL)
    array, grid = dcmqi_labels(tmp_path / "seg.dcm", tmp_path / "dcmqi")
    assert not array.any()
    assert grid.isclose(stack.grid)
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    write_rtstruct(empty, stack, tmp_path / "rt.dcm", MODEL)
    assert dciodvfy_errors(tmp_path / "rt.dcm") == []


def test_values_with_gaps_and_more_than_eight_bits(stack: Stack, tmp_path: Path) -> None:
    labels = Labels.from_names({"a": 3, "b": 700}, ignore=900)
    array = np.zeros(stack.grid.shape, np.uint16)
    array[1, 2, 3:5], array[3, 4:7, 5], array[0, 0, 0] = 3, 700, 900
    label_map = LabelMap(array, stack.grid, labels)
    kept = np.where(array == 900, 0, array)
    write_seg(label_map, stack, tmp_path / "lm.dcm", MODEL, "labelmap")
    assert same_place(*highdicom_labels(tmp_path / "lm.dcm"), LabelMap(kept, stack.grid, labels))
    write_seg(label_map, stack, tmp_path / "seg.dcm", MODEL)
    assert [one.SegmentNumber for one in _segments(tmp_path / "seg.dcm")] == [1, 2]
    with pytest.raises(LabelError, match="not declared"):
        write_seg(LabelMap(array + 1, stack.grid, labels), stack, tmp_path / "no.dcm", MODEL)
    assert not (tmp_path / "no.dcm").exists()


_TURNS = st.integers(0, 2**32 - 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turn=_TURNS,
    shape=st.tuples(st.integers(3, 6), st.integers(6, 11), st.integers(6, 11)),
    first=st.integers(0, 1),
    step=st.integers(1, 2),
    backwards=st.booleans(),
    axes=st.permutations((0, 1, 2)),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    kind=st.sampled_from(["binary", "labelmap"]),
)
def test_an_asymmetric_object_stays_where_it_is(
    *,
    turn: int,
    shape: tuple[int, int, int],
    first: int,
    step: int,
    backwards: bool,
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    kind: str,
) -> None:
    """Whatever the planes' direction, the order and choice of slices, and the axes of the label map."""
    direction = Rotation.random(random_state=turn).as_matrix() @ np.eye(3)[:, ::-1]
    grid = Grid.from_parts(shape, (2.5, 0.7, 0.9), (-40.25, 31.5, 260.0), direction)
    keep = range(first, shape[0], step)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "ct", phantom(shape), grid, keep=keep[::-1] if backwards else keep)
        stack = _one_stack(folder / "ct")
        truth = _label_map(stack.grid)
        given_as = truth.reoriented(Reorientation((axes[0], axes[1], axes[2]), flips))
        write_seg(given_as, stack, folder / "seg.dcm", MODEL, kind)  # type: ignore[arg-type]
        assert same_place(*highdicom_labels(folder / "seg.dcm"), truth)
        array, where = dcmqi_labels(folder / "seg.dcm", folder / "dcmqi")
        assert same_place(array, where, truth)
        assert array.shape == truth.grid.shape
        write_rtstruct(given_as, stack, folder / "rt.dcm", MODEL)
        drawn = read_labels(folder / "rt.dcm", truth.labels, reference=Reference(stack.grid, stack))
        assert (drawn.array == truth.array).all()
        write_labels(given_as, folder / "mask.nii.gz")
        stored = nib.load(folder / "mask.nii.gz")
        right = np.array(stored.affine) * np.array([[-1], [-1], [1], [1]])  # RAS to LPS
        marked = np.argwhere(np.asarray(stored.dataobj))
        places = {tuple(p) for p in (np.c_[marked, np.ones(len(marked))] @ right.T)[:, :3].round(2) + 0.0}
        assert places == {tuple(p) for p in truth.grid.to_world(np.argwhere(truth.array)).round(2) + 0.0}


def test_a_crop_of_the_grid_is_put_back_into_it(stack: Stack, tmp_path: Path) -> None:
    whole = _label_map(stack.grid)
    array = whole.array.copy()
    array[0] = 0
    whole = LabelMap(array, stack.grid, LABELS)
    part = whole.cropped(Box((1, 1, 1), stack.grid.shape))
    write_seg(part, stack, tmp_path / "seg.dcm", MODEL)
    assert same_place(*dcmqi_labels(tmp_path / "seg.dcm", tmp_path / "dcmqi"), whole)
    assert (
        "DerivationImageSequence" in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence[0]
    )


def test_another_grid_within_the_images_is_written_without_references_of_frames(
    stack: Stack, tmp_path: Path
) -> None:
    fine = stack.grid.resampled((1.0, 0.5, 0.5))
    array = np.zeros(fine.shape, np.uint8)
    array[3:9, 4:9, 3:11], array[10:, 2:5, 6] = 1, 2
    truth = LabelMap(array, fine, LABELS)
    written = write_seg(truth, stack, tmp_path / "seg.dcm", MODEL)
    assert any("grid of their own" in note for note in written.notes)
    assert same_place(*dcmqi_labels(tmp_path / "seg.dcm", tmp_path / "dcmqi"), truth)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert "DerivationImageSequence" not in data.PerFrameFunctionalGroupsSequence[0]
    assert len(data.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(stack.slices)
    assert data.FrameOfReferenceUID == stack.series.frame_of_reference
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_labels_of_another_scan_and_skewed_grids_are_refused(stack: Stack, tmp_path: Path) -> None:
    affine = stack.grid.affine.copy()
    affine[:3, 3] += (0.0, 0.0, 200.3)
    away = LabelMap(_label_map(stack.grid).array, Grid(stack.grid.shape, affine), LABELS)
    with pytest.raises(GeometryError, match="outside the images"):
        write_seg(away, stack, tmp_path / "seg.dcm", MODEL)
    affine = stack.grid.affine.copy()
    affine[:3, 0] += 0.2 * affine[:3, 1]
    skewed = LabelMap(_label_map(stack.grid).array, Grid(stack.grid.shape, affine), LABELS)
    with pytest.raises(GeometryError, match="right angles"):
        write_seg(skewed, stack, tmp_path / "seg.dcm", MODEL)
    assert not (tmp_path / "seg.dcm").exists()


def test_enhanced_images_are_referred_to_by_frame(tmp_path: Path) -> None:
    order = (3, 0, 5, 1, 4, 2)
    write_enhanced(tmp_path / "ct" / "enhanced.dcm", order=order)
    stack = _one_stack(tmp_path / "ct")
    truth = _label_map(stack.grid)
    write_seg(truth, stack, tmp_path / "seg.dcm", MODEL)
    assert same_place(*dcmqi_labels(tmp_path / "seg.dcm", tmp_path / "dcmqi"), truth)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert len(data.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    first = data.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert first.ReferencedFrameNumber == stack.slices[0].frame + 1
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    write_rtstruct(truth, stack, tmp_path / "rt.dcm", MODEL)
    assert dciodvfy_errors(tmp_path / "rt.dcm") == []


def _radiograph(folder: Path) -> Stack:
    data = base_dataset(pydicom.uid.DigitalXRayImageStorageForPresentation, "DX", "chest", 1)
    del data.FrameOfReferenceUID
    data.PatientOrientation = ["L", "F"]
    data.ImageType = ["ORIGINAL", "PRIMARY"]
    data.InstanceNumber, data.Rows, data.Columns = 1, 9, 13
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = np.arange(9 * 13, dtype="<u2").tobytes()
    data["PixelData"].VR = "OW"
    folder.mkdir()
    data.save_as(folder / "dx.dcm", enforce_file_format=True)
    return _one_stack(folder)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_radiograph_has_a_seg_without_a_place(tmp_path: Path, kind: str) -> None:
    from highdicom.seg import segread

    stack = _radiograph(tmp_path / "dx")
    truth = _label_map(stack.grid)
    write_seg(truth, stack, tmp_path / "seg.dcm", MODEL, kind)  # type: ignore[arg-type]
    read = segread(tmp_path / "seg.dcm").get_pixels_by_source_instance(
        [stack.slices[0].instance], combine_segments=True
    )
    assert np.array_equal(read, truth.array)
    if kind == "binary":
        assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    with pytest.raises(GeometryError, match="no place"):
        write_rtstruct(truth, stack, tmp_path / "rt.dcm", MODEL)
    other = LabelMap(truth.array[:, 1:, :-1], stack.grid.cropped(Box((0, 0, 0), (1, 8, 12))), LABELS)
    write_seg(other, stack, tmp_path / "seg.dcm", MODEL)  # a crop lies on its pixels
    wrong = LabelMap(truth.array, Grid(stack.grid.shape, np.diag((1.0, 1.5, 1.5, 1.0))), LABELS)
    with pytest.raises(GeometryError, match="does not fit the picture"):
        write_seg(wrong, stack, tmp_path / "seg.dcm", MODEL)


def _upright() -> Grid:
    return Grid.from_parts((8, 40, 36), (3.0, 0.9, 0.9), (-15.0, -20.0, 50.0))


def test_contours_hold_the_area_of_the_mask_and_keep_holes(tmp_path: Path) -> None:
    grid = _upright()
    write_series(tmp_path / "ct", np.zeros(grid.shape, np.int16), grid)
    stack = _one_stack(tmp_path / "ct")
    array = np.zeros(grid.shape, np.uint8)
    array[2:6, 5:15, 4:14] = 1
    row, column = np.mgrid[:40, :36]
    distance = np.hypot(row - 25.3, column - 22.1)
    array[1:7, (distance < 9) & (distance > 4)] = 2
    array[3, 30:34, 2:6], array[3, 34:36, 6:8] = 3, 3  # touch by a corner
    labels = Labels.from_names({"square": 1, "ring": 2, "corner": 3})
    write_rtstruct(LabelMap(array, grid, labels), stack, tmp_path / "rt.dcm", MODEL)
    masks = plastimatch_masks(tmp_path / "rt.dcm", tmp_path / "ct", tmp_path / "out")
    for label in labels.classes:
        truth, found = array == label.value, masks[label.name]
        assert 2 * np.count_nonzero(truth & found) / (truth.sum() + found.sum()) >= 0.99, label.name
    assert dciodvfy_errors(tmp_path / "rt.dcm") == []


def test_decimal_strings_fit_and_contours_name_their_image(stack: Stack, tmp_path: Path) -> None:
    label_map = _label_map(stack.grid)
    write_rtstruct(label_map, stack, tmp_path / "rt.dcm", MODEL)
    data = pydicom.dcmread(tmp_path / "rt.dcm")
    assert [roi.ROIName for roi in data.StructureSetROISequence] == list(LABELS.names)
    known = {one.instance: one.position for one in stack.slices}
    normal = np.cross(stack.grid.direction[:, 2], stack.grid.direction[:, 1])
    for roi in data.ROIContourSequence[:2]:
        for contour in roi.ContourSequence:
            assert all(len(str(value)) <= 16 for value in contour.ContourData)
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            place = known[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.abs((points - place) @ normal).max() < 1e-4
    assert "ContourSequence" not in data.ROIContourSequence[2]
    assert dciodvfy_errors(tmp_path / "rt.dcm") == []


def test_a_report_gives_the_measures_of_each_segment(stack: Stack, tmp_path: Path) -> None:
    from highdicom.sr import srread

    label_map = _label_map(stack.grid)
    image = Image(phantom()[None].astype(np.float32), stack.grid, ("CT",))
    measures = measure_labels(label_map, image)
    seg = write_seg(label_map, stack, tmp_path / "seg.dcm", MODEL)
    write_sr(measures, LABELS, seg, stack, tmp_path / "sr.dcm", MODEL)
    assert dciodvfy_errors(tmp_path / "sr.dcm") == []
    groups = srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    for group, one in zip(groups, measures, strict=True):
        found = {
            (item.name.meaning, None if item.derivation is None else item.derivation.meaning): item.value
            for item in group.get_measurements()
        }
        assert found["Volume", None] == pytest.approx(one.volume_ml, rel=1e-5)
        if one.voxels:
            mean = found["Attenuation Coefficient", "Mean"]
            assert mean == pytest.approx(one.intensities[0].mean, rel=1e-5)
    references = [
        item.ReferencedSOPSequence[0]
        for group in groups
        for item in group
        for item in item.ContentSequence
        if "ReferencedSOPSequence" in item and "ReferencedSegmentNumber" in item.ReferencedSOPSequence[0]
    ]
    assert [item.ReferencedSegmentNumber for item in references] == [1, 2, 3]
    assert {item.ReferencedSOPInstanceUID for item in references} == {seg.instance}


def test_an_overlay_is_a_series_at_the_place_of_the_slices(stack: Stack, tmp_path: Path) -> None:
    label_map = _label_map(stack.grid)
    image = Image(phantom()[None], stack.grid, ("CT",))
    pictures = list(overlay_slices(image, label_map))
    written = write_overlay(pictures, stack, tmp_path / "overlay", MODEL)
    files = sorted((tmp_path / "overlay").iterdir())
    read = [pydicom.dcmread(file) for file in files]
    for data, one, picture in zip(read, stack.slices, pictures, strict=True):
        assert np.array_equal(data.pixel_array, picture)
        assert [float(v) for v in data.ImagePositionPatient] == pytest.approx(one.position, abs=1e-5)
        assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == one.instance
    assert {data.SeriesInstanceUID for data in read} == {written.series}
    assert written.series != stack.series.uid
    assert dciodvfy_errors(files[0]) == []
    again = _one_stack(tmp_path / "overlay")
    assert again.grid.isclose(stack.grid)
    row, column = np.argwhere(label_map.array[0] == 1)[0]
    assert tuple(pictures[0][row, column]) == LABELS.classes[0].colour  # an outline is opaque
    write_overlay(pictures, stack, tmp_path / "overlay", MODEL)  # an earlier one is replaced
    (tmp_path / "overlay" / "mine.txt").touch()
    with pytest.raises(InputError):
        write_overlay(pictures, stack, tmp_path / "overlay", MODEL)
    with pytest.raises(GeometryError, match="one picture for each slice"):
        write_overlay(pictures[1:], stack, tmp_path / "short", MODEL)
    assert not (tmp_path / "short").exists()


def test_a_tilted_gantry_is_written_on_the_upright_grid(tmp_path: Path) -> None:
    grid = oblique((6, 12, 10))
    affine = grid.affine.copy()
    affine[:3, 0] += 0.35 * 3.0 * grid.direction[:, 1]  # slices shift along columns: a gantry tilt
    write_series(tmp_path / "ct", phantom(), Grid(grid.shape, affine))
    stack = _one_stack(tmp_path / "ct")
    assert stack.tilt != 0
    truth = _label_map(stack.grid)
    write_seg(truth, stack, tmp_path / "seg.dcm", MODEL)
    assert same_place(*dcmqi_labels(tmp_path / "seg.dcm", tmp_path / "dcmqi"), truth)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert "DerivationImageSequence" not in data.PerFrameFunctionalGroupsSequence[0]


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
def test_calque_reads_what_it_wrote(stack: Stack, tmp_path: Path, kind: str) -> None:
    truth = _label_map(stack.grid)
    array = truth.array.copy()
    array[3, 4:9, 3:8] = 2
    array[3, 6, 5] = 0  # a hole
    truth = LabelMap(array, stack.grid, LABELS)
    file = tmp_path / "labels.dcm"
    if kind == "rtstruct":
        write_rtstruct(truth, stack, file, MODEL)
    else:
        write_seg(truth, stack, file, MODEL, kind)  # type: ignore[arg-type]
    read = read_labels(file, LABELS, reference=tmp_path / "ct")
    assert np.array_equal(read.array, truth.array)
    assert read.grid.isclose(truth.grid)


def test_codes_come_back_and_private_ones_are_none(stack: Stack, tmp_path: Path) -> None:
    """Type, side and region alike; a label without a code is written with a private one: it says nothing."""
    file = tmp_path / "coded.dcm"
    write_seg(_label_map(stack.grid), stack, file, MODEL)
    back = read_labels(file).labels
    assert {c.name: c.code for c in back.classes} == {c.name: c.code for c in LABELS.classes}
    assert any(c.code is not None for c in back.classes)
    plain = LabelMap(_label_map(stack.grid).array, stack.grid, PLAIN)
    write_seg(plain, stack, tmp_path / "plain.dcm", MODEL)
    assert {c.code for c in read_labels(tmp_path / "plain.dcm").labels.classes} == {None}
