"""DICOM SEG to label maps, judged by dcmqi, by the label maps beside the samples, and by highdicom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless

from calque.errors import CalqueError, GeometryError, InputError, LabelError, ReadError, TruncatedError
from calque.image import LabelMap
from calque.io import read_labels
from calque.io.dicom.label_files import read_structure_labels, read_structures
from calque.io.dicom.labelling import Choice
from calque.io.dicom.seg import read_seg

SAMPLES = "dicom-seg-samples"
BINARY = (
    "dcmqi-segmentations/liver.dcm",
    "dcmqi-segmentations/23x38x3/seg/label.seg",
    "dcmqi-segmentations/24x38x3/seg/label.seg",
    "dicom4qi-bitpacking-phantom/mask/mask.dcm",
    "dcmqi-segmentations/partial_overlaps.dcm",
    "highdicom-test-files/seg_image_ct_binary.dcm",
    "highdicom-test-files/seg_image_ct_binary_single_frame.dcm",
)
LABELMAPS = (
    "dcmqi-segmentations/sparse-labelmap-noppv.dcm",
    "dcmqi-segmentations/sparse-labelmap-ppv5.dcm",
)
UNPLACED = ("cr_binary", "sm_control", "sm_control_labelmap", "sm_dots_tiled_full", "sm_numbers")

Sample = Callable[[str], Path]


@pytest.fixture(scope="session")
def sample(data_root: Path) -> Sample:
    return lambda name: data_root / SAMPLES / name


def by_dcmqi(path: Path, folder: Path) -> list[LabelMap]:
    program = Path(sys.executable).with_name("segimage2itkimage")
    found = shutil.which("segimage2itkimage") or (str(program) if program.exists() else None)
    if found is None:
        pytest.skip("dcmqi is not installed: pip install dcmqi")
    command = [found, "--inputDICOM", path, "--outputDirectory", folder, "--prefix", "p", "--mergeSegments"]
    folder.mkdir(exist_ok=True)
    subprocess.run([*map(str, command), "-t", "nii"], check=True, capture_output=True)
    return [read_labels(file) for file in sorted(folder.glob("p-*.nii.gz"))]


def placed_as(mine: LabelMap, judge: LabelMap) -> LabelMap:
    """With the judge's order of axes."""
    turned = mine.reoriented(mine.grid.reorientation(judge.grid.orientation))
    assert turned.grid.isclose(judge.grid), (turned.grid, judge.grid)
    return turned


@pytest.mark.data
@pytest.mark.parametrize("name", [*BINARY, *LABELMAPS])
def test_the_same_voxels_as_dcmqi(name: str, sample: Sample, tmp_path: Path) -> None:
    structures = read_structures(sample(name))
    judged = by_dcmqi(sample(name), tmp_path / "dcmqi")
    for item in structures.items:
        full = np.zeros(structures.grid.shape, np.uint8)
        assert item.box is not None
        assert item.mask is not None
        full[item.box.slices][item.mask] = 1
        mine = LabelMap(full, structures.grid, judged[0].labels)
        of_item = [j for j in judged if (j.array == item.number).any()]
        assert len(of_item) == 1
        assert ((of_item[0].array == item.number) == placed_as(mine, of_item[0]).array).all()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nrrd"),
    [
        ("liver", "liver_seg"),
        ("sparse-labelmap-noppv", "sparse_labelmap_noppv_seg"),
        ("sparse-labelmap-ppv5", "sparse_labelmap_ppv5_seg"),
    ],
)
def test_the_same_as_the_label_map_beside_it(name: str, nrrd: str, sample: Sample) -> None:
    pytest.importorskip("SimpleITK", reason="NRRD needs SimpleITK")
    judge = read_labels(sample(f"dcmqi-segmentations/{nrrd}.nrrd"))
    mine = read_labels(sample(f"dcmqi-segmentations/{name}.dcm"))
    padding = 5  # of the ppv5 sample, which dcmqi writes as it is: outside of what was segmented
    assert (placed_as(mine, judge).array == np.where(judge.array == padding, 0, judge.array)).all()
    assert mine.labels.names == ("Liver",)


@pytest.mark.data
@pytest.mark.parametrize("name", [n for n in BINARY if "highdicom" in n or "liver" in n])
def test_the_same_as_highdicom(name: str, sample: Sample) -> None:
    judge = hd.seg.segread(sample(name)).get_volume(combine_segments=True, skip_overlap_checks=True)
    mine = read_labels(sample(name))
    indices = np.argwhere(judge.array)
    world = (judge.affine @ np.c_[indices, np.ones(len(indices))].T)[:3].T
    index = np.rint(mine.grid.to_index(world)).astype(int)
    assert (mine.array[tuple(index.T)] == judge.array[tuple(indices.T)]).all()
    assert np.count_nonzero(mine.array) == len(indices)


@pytest.mark.data
@pytest.mark.parametrize("name", UNPLACED)
def test_without_a_position_in_the_patient_it_is_refused_by_name(name: str, sample: Sample) -> None:
    with pytest.raises(GeometryError, match="no position in a patient"):
        read_seg(sample(f"highdicom-test-files/seg_image_{name}.dcm"))


@pytest.mark.data
def test_fractional_is_cut_where_stated(sample: Sample) -> None:
    path = sample("highdicom-test-files/seg_image_ct_true_fractional.dcm")
    stored = dcmread(path)
    for threshold in (0.25, 0.5, 0.9):
        found = read_seg(path, threshold=threshold)
        expected = int((stored.pixel_array >= threshold * stored.MaximumFractionalValue).sum())
        assert found.items[0].voxels == expected
        assert found.notes[-1].name == "mask-fractional"
        assert "probability" in found.notes[-1].what
        assert f"{threshold:g}" in found.notes[-1].what
    with pytest.raises(InputError, match="threshold"):
        read_seg(path, threshold=0)


@pytest.mark.data
def test_overlaps_are_refused_until_somebody_decides(sample: Sample) -> None:
    path = sample("highdicom-test-files/seg_image_ct_binary_overlap.dcm")
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert "--priority" in str(caught.value)
    assert "--overlaps regions" in str(caught.value)
    first = read_labels(path, choice=Choice(priority=("first segment",)))
    second = read_labels(path, choice=Choice(priority=("Second Segment",)))
    assert np.bincount(first.array.reshape(-1))[1:].tolist() == [64]
    assert np.bincount(second.array.reshape(-1))[1:].tolist() == [48, 16]


@pytest.mark.data
def test_overlaps_become_regions(sample: Sample) -> None:
    path = sample("dcmqi-segmentations/partial_overlaps.dcm")
    structures = read_structures(path)
    found = read_labels(path, choice=Choice(overlaps="regions"))
    values = {
        **{c.name: (c.value,) for c in found.labels.classes},
        **{r.name: r.values for r in found.labels.regions},
    }
    assert "GREEN+ORANGE" in values
    for item in structures.items:
        assert item.box is not None
        held = np.isin(found.array, values[item.name])
        assert int(held.sum()) == item.voxels
        assert (held[item.box.slices] == item.mask).all()


@pytest.mark.data
def test_chosen_structures_alone(sample: Sample) -> None:
    path = sample("dcmqi-segmentations/partial_overlaps.dcm")
    found = read_labels(path, choice=Choice(structures=("light_blue", "Dark_Blue")))
    assert found.labels.names == ("LIGHT_BLUE", "DARK_BLUE")
    assert found.labels.values == (4, 5)
    with pytest.raises(LabelError, match="no such structure"):
        read_labels(path, choice=Choice(structures=("red",)))


@pytest.mark.data
def test_names_and_colours_come_from_the_object(sample: Sample) -> None:
    """The colour is what highdicom makes of it."""
    path = sample("dcmqi-segmentations/partial_overlaps.dcm")
    labels = read_labels(path, choice=Choice(overlaps="regions")).labels
    light_blue = next(c for c in labels.classes if c.name == "LIGHT_BLUE")
    raw = dcmread(path).SegmentSequence[3].RecommendedDisplayCIELabValue
    lab = (raw[0] * 100 / 65535, *(v * 255 / 65535 - 128 for v in raw[1:]))
    assert light_blue.colour == tuple(hd.color.CIELabColor(*lab).to_rgb())


@pytest.mark.data
def test_frames_that_are_not_stored_are_empty(sample: Sample) -> None:
    """Three planes of a label map, the middle one dropped by whoever wrote it."""
    found = read_labels(sample("dcmqi-segmentations/sparse-labelmap-noppv.dcm"))
    assert found.array.any(axis=(1, 2)).tolist() == [True, False, True]


def _copy(path: Path, target: Path, change: Callable[[Dataset], object]) -> Path:
    data = dcmread(path)
    change(data)
    data.save_as(target)
    return target


@pytest.mark.data
def test_compressed_in_frames_is_read_too(sample: Sample, tmp_path: Path) -> None:
    path = sample("dcmqi-segmentations/sparse-labelmap-noppv.dcm")
    packed = _copy(path, tmp_path / "rle.dcm", lambda d: d.compress(RLELossless))
    assert (read_labels(packed).array == read_labels(path).array).all()


def _drop(keyword: str) -> Callable[[Dataset], object]:
    return lambda data: delattr(data, keyword)


def _nan_position(data: Dataset) -> None:
    data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0, 0]


def _undeclared(data: Dataset) -> None:
    identity = data.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0]
    identity.ReferencedSegmentNumber = 7


def _uneven(data: Dataset) -> None:
    place = data.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    x, y, z = place.ImagePositionPatient
    place.ImagePositionPatient = [x, y, float(z) + 0.37]


def _short(data: Dataset) -> None:
    data.PixelData = data.PixelData[:100]


def _many(data: Dataset) -> None:
    data.NumberOfFrames = 100000


def _doubled(data: Dataset) -> None:
    data.SegmentSequence.append(data.SegmentSequence[0])


@pytest.mark.data
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_drop("SegmentSequence"), ReadError),
        (_drop("PerFrameFunctionalGroupsSequence"), ReadError),
        (_drop("SharedFunctionalGroupsSequence"), GeometryError),
        (_drop("PixelData"), ReadError),
        (_drop("Rows"), ReadError),
        (_nan_position, ReadError),
        (_undeclared, LabelError),
        (_uneven, GeometryError),
        (_short, TruncatedError),
        (_many, ReadError),
        (_doubled, ReadError),
    ],
)
def test_damaged_objects_are_refused_by_name(
    spoil: Callable[[Dataset], object], error: type[CalqueError], sample: Sample, tmp_path: Path
) -> None:
    path = _copy(sample("dcmqi-segmentations/23x38x3/seg/label.seg"), tmp_path / "spoiled.dcm", spoil)
    with pytest.raises(error) as caught:
        read_seg(path)
    assert str(path) in str(caught.value)


@pytest.mark.data
def test_random_damage_never_ends_in_anything_but_an_error_of_ours(sample: Sample, tmp_path: Path) -> None:
    """One byte in a hundred of the header is changed, or the file is cut."""
    whole = sample("dcmqi-segmentations/24x38x3/seg/label.seg").read_bytes()
    generator = np.random.default_rng(3)
    path = tmp_path / "spoiled.dcm"
    for k in range(60):
        spoiled = bytearray(whole)
        for place in generator.integers(132, len(whole), 1 + k):
            spoiled[place] = int(generator.integers(0, 256))
        path.write_bytes(bytes(spoiled[: generator.integers(200, len(whole))] if k % 3 == 0 else spoiled))
        try:
            read_structure_labels(path)
        except CalqueError:
            continue
