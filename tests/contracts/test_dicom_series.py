"""Series as scanners, archives and accidents make them: each is read right, or refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation
from tests.support.dicom_series import (
    INTERCEPT,
    Edit,
    oblique,
    phantom,
    uid,
    write_enhanced,
    write_series,
)

from calque.errors import CalqueError, GeometryError, InputError, ReadError, TruncatedError
from calque.geometry import Grid
from calque.image import Image
from calque.io.dicom import Found, Stack, choose_stack, find_stacks, read_stack
from calque.progress import Silent, Task

ARRAY = phantom()
GRID = oblique()
STEP = GRID.affine[:3, 0]
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_in_place(image: Image, array: NDArray[np.generic] = ARRAY, grid: Grid = GRID) -> None:
    """Every voxel of the truth is where it was, with its value, and nothing else is there."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    found = image.grid.to_index(grid.to_world(index))
    near = np.rint(found).astype(int)
    assert image.grid.voxels == grid.voxels
    assert np.abs(found - near).max() < 0.02
    assert near.min() >= 0
    np.testing.assert_array_equal(image.array[0][tuple(np.moveaxis(near, -1, 0))], array)


class Seen(Silent):
    """What a stage tells of itself."""

    total: float | None = None
    done = 0.0

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        self.total = total
        yield self

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.done += amount


def only(folder: Path) -> Image:
    return read_stack(choose_stack(find_stacks(folder)))


def set_position(data: Dataset, place: NDArray[np.float64]) -> None:
    data.ImagePositionPatient = [f"{v:.7f}" for v in place]


def _setting(name: str, value: Callable[[int], object]) -> Edit:
    def edit(data: Dataset, k: int) -> None:
        setattr(data, name, value(k))

    return edit


def _moved(shift: Callable[[int], NDArray[np.float64]]) -> Edit:
    def edit(data: Dataset, k: int) -> None:
        set_position(data, GRID.to_world((k, 0, 0)) + shift(k))

    return edit


def _dropping(*names: str) -> Edit:
    def edit(data: Dataset, k: int) -> None:
        for name in names:
            delattr(data, name)

    return edit


RIGHT: dict[str, Edit] = {
    "plain": lambda data, k: None,
    "instance numbers shuffled": _setting("InstanceNumber", lambda k: (5, 1, 4, 2, 6, 3)[k]),
    "instance numbers equal": _setting("InstanceNumber", lambda k: 1),
    "acquisition numbers from slice to slice": _setting("AcquisitionNumber", lambda k: k),
    "content times from slice to slice": _setting("ContentTime", lambda k: f"1015{k:02d}"),
    "positions rounded": _moved(lambda k: np.array((1, -1, 1)) * 2e-4 * (k % 2)),
    "cosines rounded": _setting(
        "ImageOrientationPatient",
        lambda k: [f"{v:.6f}" for v in (*GRID.direction[:, 2], *GRID.direction[:, 1])],
    ),
    "number empty": _setting("SeriesNumber", lambda k: ""),
    "thickness unlike the distance": _setting("SliceThickness", lambda k: "10"),
    "a tilt that positions do not show": _setting("GantryDetectorTilt", lambda k: "12"),
    "no frame of reference": _dropping("FrameOfReferenceUID"),
}


@pytest.mark.parametrize("edit", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("modality", ["CT", "MR", "OT"])
def test_one_volume_is_read_right(tmp_path: Path, edit: Edit, modality: str) -> None:
    write_series(tmp_path, modality=modality, edit=edit)
    image = only(tmp_path)
    assert image.placed
    assert image.array.dtype == np.int16
    assert_in_place(image)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any oblique slices, stacked along their normal or against it."""
    spacing = draw(st.tuples(*[st.floats(0.3, 6.0)] * 3))
    origin = draw(st.tuples(*[st.floats(-400, 400)] * 3))
    angles = draw(st.tuples(*[st.sampled_from((0.0, 90.0, 180.0)) | st.floats(-180, 180)] * 3))
    mirror = draw(st.sampled_from((1.0, -1.0)))
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return Grid.from_parts(ARRAY.shape, spacing, origin, turn * (mirror, 1, 1))


@given(grids(), st.permutations(range(6)), st.randoms())
@quick
def test_obliques_in_any_order_keep_their_place(
    tmp_path_factory: pytest.TempPathFactory, grid: Grid, order: list[int], chance: object
) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    paths = write_series(folder, grid=grid, edit=_setting("InstanceNumber", lambda k: order[k]))
    found = find_stacks([paths[k] for k in order])
    image = read_stack(choose_stack(found))
    assert_in_place(image, ARRAY, grid)
    enhanced = write_enhanced(folder / "enhanced.dcm", grid=grid, order=order)
    assert_in_place(only(enhanced), ARRAY, grid)


@given(st.sets(st.integers(0, 8), min_size=2))
@quick
def test_a_subset_of_slices_is_even_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kept: set[int]
) -> None:
    array, grid = phantom((9, 6, 5)), oblique((9, 6, 5))
    folder = tmp_path_factory.mktemp("subset")
    slices = sorted(kept)
    write_series(folder, array, grid, keep=slices)
    steps = set(np.diff(slices).tolist())
    found = find_stacks(folder)
    if len(steps) > 1:
        assert found.stacks == ()
        with pytest.raises(GeometryError, match=r"missing|unevenly"):
            choose_stack(found)
        return
    change = np.diag((steps.pop(), 1.0, 1.0, 1.0))
    change[0, 3] = slices[0]
    thinned = Grid((len(slices), 6, 5), grid.affine @ change)
    assert_in_place(read_stack(choose_stack(found)), array[slices], thinned)


PHASES: dict[str, tuple[Callable[[Dataset, int, int], None], tuple[str, ...]]] = {
    "temporal position": (
        lambda d, p, k: setattr(d, "TemporalPositionIdentifier", p + 1),
        ("time 1", "time 2", "time 3"),
    ),
    "acquisition": (
        lambda d, p, k: setattr(d, "AcquisitionNumber", p + 4),
        ("acquisition 4", "acquisition 5", "acquisition 6"),
    ),
    "echo": (lambda d, p, k: setattr(d, "EchoNumbers", p + 1), ("echo 1", "echo 2", "echo 3")),
    "b value": (
        lambda d, p, k: setattr(d, "DiffusionBValue", (0.0, 50.0, 800.0)[p]),
        ("b 0", "b 50", "b 800"),
    ),
    "image type": (
        lambda d, p, k: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "WFO"[p]]),
        ("F", "O", "W"),
    ),
    "content time": (
        lambda d, p, k: setattr(d, "ContentTime", f"10{15 + p}00"),
        ("time 1", "time 2", "time 3"),
    ),
    "trigger time that drifts": (
        lambda d, p, k: setattr(d, "TriggerTime", f"{100 * p + 3 * k}.5"),
        ("time 1", "time 2", "time 3"),
    ),
    "acquisition of one, time of the others, as in breast MR": (
        lambda d, p, k: (
            setattr(d, "AcquisitionNumber", (1, 2, 2)[p]),
            setattr(d, "ContentTime", f"10{15 + p}00"),
        )[0],
        ("time 1", "time 2", "time 3"),
    ),
}


def write_phases(folder: Path, tell: Callable[[Dataset, int, int], None], phases: int = 3) -> None:
    for phase in range(phases):

        def edit(data: Dataset, k: int, phase: int = phase) -> None:
            data.SeriesInstanceUID = uid("phases")
            tell(data, phase, k)

        write_series(folder, ARRAY + phase, modality="MR", series=f"phase{phase}", edit=edit)


@pytest.mark.parametrize(("tell", "names"), PHASES.values(), ids=PHASES)
def test_phases_in_one_series_are_volumes_of_their_own(
    tmp_path: Path, tell: Callable[[Dataset, int, int], None], names: tuple[str, ...]
) -> None:
    write_phases(tmp_path, tell)
    found = find_stacks(tmp_path)
    assert {stack.name for stack in found.stacks} == set(names)
    assert found.refused == ()
    seen = set()
    for stack in found.stacks:
        image = read_stack(stack)
        phase = int(image.array.min())
        assert_in_place(image, ARRAY + phase)
        seen.add(phase)
        assert choose_stack(found, f"1/{stack.name}") is stack
        assert choose_stack(found, f"{stack.series.uid}/{stack.name}") is stack
        if stack.name.startswith("time"):
            assert stack.name == f"time {phase + 1}"
    assert seen == {0, 1, 2}
    with pytest.raises(InputError, match="several series or volumes") as caught:
        choose_stack(found)
    assert all(name in str(caught.value) for name in names)


MARKS = ("TemporalPositionIdentifier", "AcquisitionNumber", "EchoNumbers", "ContentTime", "TriggerTime")


@pytest.mark.parametrize("seed", range(12))
def test_phases_are_never_mixed_whatever_headers_say_of_them(tmp_path: Path, seed: int) -> None:
    """Marks differ from phase to phase, from slice to slice, or not at all; some files are gone."""
    chance = np.random.default_rng(seed)
    phases = int(chance.integers(2, 5))
    marks = chance.choice(MARKS, size=int(chance.integers(1, 4)), replace=False)
    values = {mark: chance.integers(0, 3, phases) for mark in marks}
    steps = {mark: 7 * int(chance.random() < 0.3) for mark in marks}

    def tell(data: Dataset, phase: int, k: int) -> None:
        for mark in marks:
            value = int(values[mark][phase]) + steps[mark] * k
            setattr(data, mark, f"10{value:04d}" if mark == "ContentTime" else value)

    write_phases(tmp_path, tell, phases)
    for path in sorted(tmp_path.iterdir()):
        if chance.random() < 0.03:
            path.unlink()
    found = find_stacks(tmp_path)
    assert found.stacks or found.refused
    for stack in found.stacks:
        image = read_stack(stack)
        origins = set()
        for k, item in enumerate(stack.slices):
            place = int(np.rint(GRID.to_index(item.position)[0]))
            shift = image.array[0, k] - ARRAY[place]
            assert np.ptp(shift) == 0
            origins.add(int(shift[0, 0]))
        assert len(origins) == 1


def test_phases_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    write_phases(tmp_path, lambda d, p, k: None)
    with pytest.raises(GeometryError, match="one place"):
        only(tmp_path)


def test_a_phase_with_a_gap_does_not_spoil_the_others(tmp_path: Path) -> None:
    write_phases(tmp_path, lambda d, p, k: setattr(d, "TemporalPositionIdentifier", p + 1))
    (tmp_path / "phase1-0003.dcm").unlink()
    found = find_stacks(tmp_path)
    assert {stack.name for stack in found.stacks} == {"time 1", "time 3"}
    assert "missing" in found.refused[0].error.what
    with pytest.raises(InputError, match="several"):
        choose_stack(found)


def test_acquisitions_half_a_slice_apart_are_not_woven_together(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.SeriesInstanceUID, data.AcquisitionNumber = uid("woven"), 2
        set_position(data, GRID.to_world((k + 0.5, 0, 0)))

    write_series(tmp_path, series="woven")
    write_series(tmp_path, ARRAY + 7, series="later", edit=edit)
    found = find_stacks(tmp_path)
    assert {stack.name for stack in found.stacks} == {"acquisition 1", "acquisition 2"}
    assert_in_place(read_stack(choose_stack(found, "1/acquisition 1")))


def test_two_stations_of_the_table_are_two_volumes(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.SeriesInstanceUID, data.AcquisitionNumber = uid("stations"), 2
        set_position(data, GRID.to_world((k + 20.3, 0, 0)))

    write_series(tmp_path, series="stations")
    write_series(tmp_path, ARRAY + 7, series="below", edit=edit)
    found = find_stacks(tmp_path)
    assert_in_place(read_stack(choose_stack(found, "1/acquisition 1")))
    assert read_stack(choose_stack(found, "1/acquisition 2")).array.min() == 7


def test_a_localizer_in_the_series_is_a_stack_of_its_own(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.SeriesInstanceUID = uid("mixed")
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    across = Grid.from_parts((1, 9, 8), (5, 1, 1), (0, 0, 0), np.eye(3)[:, [0, 2, 1]])
    write_series(tmp_path, series="mixed")
    write_series(tmp_path, phantom((1, 9, 8)), across, series="scout", edit=edit)
    found = find_stacks(tmp_path)
    assert {stack.name for stack in found.stacks} == {"axial 12x10", "localizer sagittal 9x8"}
    assert_in_place(read_stack(choose_stack(found, "1/axial 12x10")))
    with pytest.raises(InputError, match="several"):
        choose_stack(found)


def test_copies_are_left_out_and_said(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    shutil.copy(paths[2], tmp_path / "again.dcm")
    stack = choose_stack(find_stacks(tmp_path))
    assert any("copies" in note for note in stack.notes)
    assert_in_place(read_stack(stack))


def test_the_same_slice_under_another_uid_is_left_out_and_said(tmp_path: Path) -> None:
    data = dcmread(write_series(tmp_path)[2])
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("again")
    data.save_as(tmp_path / "again.dcm")
    stack = choose_stack(find_stacks(tmp_path))
    assert any("twice" in note for note in stack.notes)
    assert_in_place(read_stack(stack))


def test_one_uid_with_two_contents_is_refused(tmp_path: Path) -> None:
    data = dcmread(write_series(tmp_path)[2])
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(tmp_path / "again.dcm")
    with pytest.raises(ReadError, match="one SOPInstanceUID and differ"):
        only(tmp_path)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.RescaleSlope, data.RescaleIntercept = f"{1 + k / 8}", f"{INTERCEPT * (1 + k / 8)}"

    write_series(tmp_path, edit=edit)
    image = only(tmp_path)
    assert image.array.dtype == np.float32
    assert_in_place(image, ARRAY * (1 + np.arange(6) / 8)[:, None, None].astype(np.float32))


def test_values_beyond_int16_stay_whole(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY.astype(np.int32) + 50000)
    image = only(tmp_path)
    assert image.array.dtype == np.float32
    assert_in_place(image, ARRAY.astype(np.int32) + 50000)


@pytest.mark.parametrize("degrees", [-18.0, 7.5, 25.0])
def test_gantry_tilt_becomes_an_upright_grid(tmp_path: Path, degrees: float) -> None:
    """A field that is linear in space is kept by linear interpolation: it tells where each voxel is."""
    shape, spacing = (7, 24, 9), (3.0, 0.8, 0.7)
    angle = np.radians(degrees)
    down = np.array((0.0, np.cos(angle), np.sin(angle)))
    normal = np.cross((1.0, 0, 0), down)
    along = np.array((0.0, 0.0, spacing[0]))  # the table moves along z, whatever the gantry does
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = along, down * spacing[1], (spacing[2], 0, 0)
    affine[:3, 3] = (-3, 40, -200)
    sheared = Grid(shape, affine)
    slopes, base = np.array((2.0, 3.0, -4.0)), 500.0
    places = sheared.to_world(np.moveaxis(np.indices(shape), 0, -1))
    write_series(tmp_path, np.rint(10 * (places @ slopes + base)).astype(np.int32), sheared)
    stack = choose_stack(find_stacks(tmp_path))
    assert stack.tilt == pytest.approx(abs(degrees), abs=0.01)
    assert any("tilted" in note for note in stack.notes)
    image = read_stack(stack)
    direction = image.grid.direction
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(direction[:, 0], normal, atol=1e-6)
    assert image.grid.spacing[0] == pytest.approx(spacing[0] * np.cos(angle))
    expected = 10 * (image.grid.to_world(np.moveaxis(np.indices(image.grid.shape), 0, -1)) @ slopes + base)
    inside = sheared.to_index(image.grid.to_world(np.moveaxis(np.indices(image.grid.shape), 0, -1)))
    held = ((inside >= -1e-6) & (inside <= np.array(shape) - 1 + 1e-6)).all(axis=-1)
    assert held.sum() > 0.8 * np.prod(shape)
    assert np.abs(image.array[0] - expected)[held].max() <= 1.01
    corners = image.grid.to_index(sheared.to_world([(0, 0, 0), np.array(shape) - 1]))
    assert (corners > -0.5).all()
    assert (corners < np.array(image.grid.shape) - 0.5).all()


REFUSED: dict[str, tuple[Edit, type[CalqueError], str]] = {
    "positions not a number": (
        _setting("ImagePositionPatient", lambda k: ["nan", "0", "0"] if k == 2 else ["0", "0", str(3 * k)]),
        GeometryError,
        "not finite",
    ),
    "no position": (_dropping("ImagePositionPatient"), GeometryError, "does not say where"),
    "no orientation": (_dropping("ImageOrientationPatient"), GeometryError, "does not say where"),
    "no pixel size": (_dropping("PixelSpacing"), GeometryError, "does not say where"),
    "a pixel of no size": (_setting("PixelSpacing", lambda k: ["0", "0.7"]), GeometryError, "above 0"),
    "cosines of no rotation": (
        _setting("ImageOrientationPatient", lambda k: ["1", "0", "0", "1", "0", "0"]),
        GeometryError,
        "no pair of unit vectors",
    ),
    "five cosines": (
        _setting("ImageOrientationPatient", lambda k: ["1", "0", "0", "0", "1"]),
        ReadError,
        "damaged",
    ),
    "uneven spacing": (_moved(lambda k: STEP * (0.3 if k == 3 else 0.0)), GeometryError, "unevenly"),
    "spacing that grows": (_moved(lambda k: STEP * 0.02 * k * k), GeometryError, "unevenly"),
    "a slice aside": (
        _moved(lambda k: GRID.affine[:3, 2] * (3.0 if k == 3 else 0.0)),
        GeometryError,
        "not lie on a line",
    ),
    "sideways": (_moved(lambda k: GRID.affine[:3, 2] * 12.0 * k), GeometryError, "sideways"),
    "slope 0": (_setting("RescaleSlope", lambda k: "0"), ReadError, "slope of 0"),
    "far more rows than bytes": (_setting("Rows", lambda k: 60000), ReadError, "pixels"),
    "other many frames": (_setting("NumberOfFrames", lambda k: 3), ReadError, "pixels"),
    "bits of no kind": (_setting("BitsAllocated", lambda k: 12), ReadError, "kind"),
    "colour unknown": (_setting("PhotometricInterpretation", lambda k: "CMYK"), ReadError, "kind"),
    "a table of values": (
        _setting("ModalityLUTSequence", lambda k: [Dataset()]),
        ReadError,
        "through a table",
    ),
    "more bits than announced": (
        lambda data, k: (setattr(data, "BitsStored", 10), setattr(data, "HighBit", 9))[0],
        ReadError,
        "more bits",
    ),
    "a whole slide": (
        _setting("SOPClassUID", lambda k: "1.2.840.10008.5.1.4.1.1.77.1.6"),
        ReadError,
        "not read",
    ),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR|The value length:UserWarning")
@pytest.mark.parametrize(("edit", "error", "match"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_right_is_refused_by_name(
    tmp_path: Path, edit: Edit, error: type[CalqueError], match: str
) -> None:
    write_series(tmp_path, edit=edit)
    with pytest.raises(error, match=match) as caught:
        only(tmp_path)
    assert str(tmp_path) in str(caught.value.where)
    assert "PHANTOM" not in str(caught.value)


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, phantom((12, 6, 5)), keep=[0, 1, 2, 5, 6, 7, 8, 10, 11])
    with pytest.raises(GeometryError, match="Slices are missing") as caught:
        only(tmp_path)
    assert "3 missing" in str(caught.value.got)


def test_a_series_cut_anywhere_is_whole_or_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path / "whole", keep=[0])[0]
    content = path.read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(0, len(content), 7):
        cut.write_bytes(content[:length])
        with pytest.raises(ReadError):
            only(cut)


def test_a_header_with_changed_bytes_is_right_or_refused(tmp_path: Path) -> None:
    """Whatever a byte becomes, only CalqueError comes out, and never a volume of another size or place."""
    path = write_series(tmp_path / "whole", keep=[0])[0]
    content, chance = path.read_bytes(), np.random.default_rng(0)
    spoiled = tmp_path / "spoiled.dcm"
    for _ in range(300):
        changed = bytearray(content)
        changed[int(chance.integers(132, len(content) - 240))] = int(chance.integers(256))
        spoiled.write_bytes(changed)
        try:
            image = only(spoiled)
        except CalqueError:
            continue
        assert image.array[0].size <= 240  # the bytes that are there


def test_what_damaged_headers_hold_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_series(tmp_path, keep=[0])[0]
    path.write_bytes(
        path.read_bytes().replace(b"PHANTOM-1", b"PHANT\xffM\x1b1").replace(b"1.2.840", b"1.2.x40")
    )
    find_stacks(tmp_path)
    assert caplog.text == ""


def test_two_patients_under_one_uid_are_two_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", edit=_setting("PatientID", lambda k: "PHANTOM-2"))
    found = find_stacks(tmp_path)
    assert len(found.stacks) == 2
    with pytest.raises(InputError, match="several"):
        choose_stack(found, uid("series"))


def test_enhanced_frames_have_their_own_rescale(tmp_path: Path) -> None:
    def edit(frame: Dataset, number: int) -> None:
        values = frame.PixelValueTransformationSequence[0]
        values.RescaleSlope, values.RescaleIntercept = 1 + number, INTERCEPT * (1 + number)

    path = write_enhanced(tmp_path / "e.dcm", order=[3, 1, 5, 0, 2, 4], edit=edit)
    factor = np.array([1 + [3, 1, 5, 0, 2, 4].index(k) for k in range(6)])[:, None, None]
    assert_in_place(only(path), ARRAY * factor)


def test_enhanced_frames_of_two_phases_are_two_volumes(tmp_path: Path) -> None:
    def edit(frame: Dataset, number: int) -> None:
        content = Dataset()
        content.TemporalPositionIndex = 1 + number // 6
        frame.FrameContentSequence = [content]

    path = write_enhanced(tmp_path / "e.dcm", modality="MR", order=[*range(6), *range(6)], edit=edit)
    found: Found = find_stacks(path)
    assert [stack.name for stack in found.stacks] == ["time 1", "time 2"]
    for stack in found.stacks:
        assert_in_place(read_stack(stack))


def test_enhanced_frames_that_say_nothing_of_themselves_are_refused(tmp_path: Path) -> None:
    def edit(frame: Dataset, number: int) -> None:
        if number == 2:
            del frame.PlanePositionSequence

    with pytest.raises(GeometryError, match="does not say where"):
        only(write_enhanced(tmp_path / "e.dcm", edit=edit))


def test_frames_under_one_position_are_refused(tmp_path: Path) -> None:
    """Nuclear medicine and captures of many frames give the place of the first one alone."""

    def edit(data: Dataset, k: int) -> None:
        data.NumberOfFrames = 6
        data.PixelData = (ARRAY - INTERCEPT).astype("<u2").tobytes()

    write_series(tmp_path, modality="NM", keep=[0], edit=edit)
    with pytest.raises(GeometryError, match="one place"):
        only(tmp_path)


def test_many_pictures_are_listed_in_short(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        del data.ImagePositionPatient, data.ImageOrientationPatient

    write_series(tmp_path, phantom((30, 4, 5)), modality="OT", edit=edit)
    with pytest.raises(InputError, match="several") as caught:
        only(tmp_path)
    assert "and 10 more" in str(caught.value.got)


def test_reading_headers_tells_how_far_it_is(tmp_path: Path) -> None:
    seen = Seen()
    write_series(tmp_path, phantom((30, 4, 5)))
    find_stacks(tmp_path, progress=seen)
    assert (seen.total, seen.done) == (30, 30)


def test_a_single_slice_is_a_volume_of_one(tmp_path: Path) -> None:
    write_series(tmp_path, keep=[2])
    stack: Stack = choose_stack(find_stacks(tmp_path))
    assert stack.grid.shape == (1, 12, 10)
    np.testing.assert_allclose(stack.grid.origin, GRID.to_world((2, 0, 0)), atol=1e-6)
    assert stack.grid.spacing[0] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("own", "stored", "read"),
    [
        (
            "1.2.840.10008.5.1.4.1.1.2.77",
            "1.2.840.10008.5.1.4.1.1.2.77",
            True,
        ),  # none that is known: it has rows
        ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", True),  # MR or CT: an image both times
        ("1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.2", False),  # text or CT
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4", False),  # CT or SEG
    ],
)
def test_a_slice_whose_class_is_spoiled_is_never_left_out(
    own: str, stored: str, read: bool, tmp_path: Path
) -> None:
    """Without it the series would be one slice shorter, and nobody would know."""
    path = write_series(tmp_path)[5]
    data = dcmread(path)
    data.SOPClassUID, data.file_meta.MediaStorageSOPClassUID = own, stored
    data.save_as(path)
    if read:
        assert_in_place(only(tmp_path))
        return
    with pytest.raises(ReadError, match="contradicts itself"):
        only(tmp_path)


def test_what_a_damaged_file_belongs_to_is_not_guessed(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "lost.dcm").write_bytes(b"")
    with pytest.raises(ReadError, match="looks like"):
        only(tmp_path)


def test_a_truncated_file_spoils_its_series(tmp_path: Path) -> None:
    path = write_series(tmp_path)[5]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TruncatedError, match="ends before"):
        only(tmp_path)
