"""Each spoilt file is found, and a sound dataset is left in peace."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from calque.dataset import CheckReport, check, open_dataset
from calque.dataset.doctor.kinds import KINDS
from calque.geometry import Grid
from calque.progress import Task

from .building import GRID, edit, mask, msd, scan, write
from .test_dicom import DRAWN, MIXED


def _image(root: Path, name: str = "c3") -> Path:
    return root / "imagesTr" / f"{name}.nii.gz"


def _mask(root: Path, name: str = "c3") -> Path:
    return root / "labelsTr" / f"{name}.nii.gz"


def _moved(by: float) -> Grid:
    return Grid.from_parts(GRID.shape, GRID.spacing, (by, 0, 0))


def _holes(root: Path) -> None:
    array = scan(3)
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    write(_image(root), array)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _header(path: Path, **fields: object) -> None:
    image = nib.load(path)
    array = np.asanyarray(image.dataobj)
    nib.save(nib.Nifti1Image(array, image.affine, image.header), path.with_suffix(""))
    raw = bytearray(path.with_suffix("").read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(gzip.compress(header.binaryblock + bytes(raw[348:])))
    path.with_suffix("").unlink()


def _turned(root: Path) -> None:
    grid = Grid(GRID.shape, GRID.affine @ np.diag([-1.0, 1, 1, 1]))
    write(_image(root), scan(3), grid)
    write(_mask(root), mask(3), grid)


def _on(grid: Grid) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        write(_image(root), scan(3), grid)
        write(_mask(root), mask(3), grid)

    return spoil


def _scaled(factor: float) -> Grid:
    return Grid.from_parts(GRID.shape, [factor * s for s in GRID.spacing])


def _skewed(by: float) -> Grid:
    affine = GRID.affine.copy()
    affine[0, 1] = by
    return Grid(GRID.shape, affine)


def _unzipped(path: Path) -> None:
    path.write_bytes(gzip.decompress(path.read_bytes()))


def _gaps(root: Path) -> None:
    edit(root, labels={"0": "background", "1": "front", "5": "back"})
    for path in sorted((root / "labelsTr").iterdir()):
        write(path, mask(int(path.name[1:-7]), (0, 1, 5)))


def _smooth() -> NDArray[np.uint8]:
    array = np.zeros(GRID.shape, np.uint8)
    array[..., 5:] = 255
    array[..., 4] = np.arange(20, 20 + 6 * 7).reshape(6, 7)
    return array


def _cut(root: Path) -> None:
    write(_image(root), np.minimum(scan(3), 115))


def _hidden(root: Path) -> None:
    small = np.zeros(GRID.shape, np.uint8)
    small[0, 0, :4], small[0, 0, 4:] = 1, 2
    write(_mask(root), small)
    write(_image(root), np.where(small > 0, 0, scan(3)))


def _tiny(root: Path) -> None:
    for path in sorted((root / "labelsTr").iterdir()):
        array = mask(int(path.name[1:-7]), (0, 1))
        array[0, 0, :3] = 2
        write(path, array)


def _long(root: Path) -> None:
    for path, array in ((_image(root), scan(3)), (_mask(root), mask(3))):
        write(path, np.tile(array, (5, 1, 1)), Grid((30, 7, 8), GRID.affine))


def _pictures(root: Path) -> None:
    """All cases become pictures; one has letters."""
    grid = Grid.from_parts((1, 48, 96), (1, 1, 1))
    edit(root, test=[])
    for k, path in enumerate(sorted((root / "imagesTr").iterdir())):
        random = np.random.default_rng(k)
        picture = Picture.fromarray(random.integers(20, 120, (48, 96), dtype=np.uint8))
        if path == _image(root):
            ImageDraw.Draw(picture).text((4, 4), "MARTIN 1957", fill=255, font=ImageFont.load_default(14))
        write(path, np.asarray(picture)[np.newaxis], grid)
        write(root / "labelsTr" / path.name, random.choice((0, 1, 2), (1, 48, 96)).astype(np.uint8), grid)


def _two_files(root: Path) -> None:
    names = [f"c{k}" for k in range(12)]
    for name in names:
        grid = _moved(3.0) if name == "c3" else GRID
        write(_image(root, f"{name}b"), scan(70 + int(name[1:])), grid)
    entries = [
        {"image": [f"imagesTr/{n}.nii.gz", f"imagesTr/{n}b.nii.gz"], "label": f"labelsTr/{n}.nii.gz"}
        for n in names
    ]
    edit(root, modality={"0": "T1", "1": "T2"}, training=entries, test=[])


def _tested(name: str, array: NDArray[np.float32]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        write(root / "imagesTs" / f"{name}.nii.gz", array)
        edit(root, test=[f"imagesTs/{name}.nii.gz"])

    return spoil


def _rare(root: Path) -> None:
    for k in range(1, 6):
        write(_mask(root, f"c{k}"), mask(k, (0, 1)))


def _absent(root: Path) -> None:
    _rare(root)
    write(_mask(root, "c0"), mask(0, (0, 1)))


SPOILT: dict[str, tuple[Callable[[Path], object], str | None, str]] = {
    # name of the finding: how to provoke it, the case that is named, what the finding says
    "image-missing": (lambda root: _image(root).unlink(), "c3", "imagesTr/c3"),
    "mask-missing": (lambda root: _mask(root).unlink(), "c3", "labelsTr/c3"),
    "not-annotated": (
        lambda root: edit(root, training=[{"image": f"imagesTr/c{k}.nii.gz"} for k in range(6)]),
        "c3",
        "no mask",
    ),
    "truncated": (lambda root: _half(_image(root)), "c3", "download it again"),
    "unreadable": (lambda root: _mask(root).write_bytes(b"garbage"), "c3", "not what its name says"),
    "no-position": (lambda root: _header(_image(root), sform_code=0, qform_code=0), "c3", "sform"),
    "positions-disagree": (lambda root: _header(_image(root), qoffset_x=9.0), "c3", "9 mm"),
    "grids-differ": (lambda root: write(_mask(root), mask(3), _moved(3.0)), "c3", "as c3.nii.gz"),
    "grids-nearly-equal": (lambda root: write(_mask(root), mask(3), _moved(0.05)), "c3", "copy the image's"),
    "channels": (lambda root: write(_image(root), np.stack([scan(3), scan(4)])), "c3", "1: MRI"),
    "not-finite": (_holes, "c3", "3 voxels"),
    "constant": (lambda root: write(_image(root), np.full(GRID.shape, 7, np.int16)), "c3", "MRI"),
    "labels-impossible": (lambda root: write(_mask(root), mask(3) * np.float32(0.5)), "c3", "not whole"),
    "labels-undeclared": (lambda root: write(_mask(root), mask(3, (0, 1, 2, 9))), "c3", "[9]"),
    "labels-float": (lambda root: write(_mask(root), mask(3).astype("f4")), "c3", "float32"),
    "mask-empty": (lambda root: write(_mask(root), mask(3, (0,))), "c3", "above 0"),
    "class-absent": (_absent, None, "back (2)"),
    "class-rare": (_rare, None, "in 1 of 6"),
    "orientation": (_turned, "c3", "IPL"),
    "spacing": (_on(_scaled(10)), "c3", "10 x 10 x 20 mm"),
    "spacing-absurd": (_on(_scaled(1000)), "c3", "2000 x 1000 x 1000 mm"),
    "direction-skewed": (_on(_skewed(0.01)), "c3", "degrees"),
    "wrong-suffix": (lambda root: _unzipped(_image(root)), "c3", "give it the suffix .nii"),
    "clipped": (_cut, "c3", "highest value"),
    "burned-in-text": (_pictures, "c3", "etters"),
    "labels-scaled": (lambda root: write(_mask(root), mask(3) * np.uint8(127)), "c3", "[127, 254]"),
    "labels-gaps": (_gaps, None, "[1, 5]"),
    "mask-rgb": (lambda root: write(_mask(root), np.stack([mask(3)] * 3)), "c3", "3 equal"),
    "mask-colours": (lambda root: write(_mask(root), np.stack([mask(3), mask(4), mask(5)])), "c3", "differ"),
    "mask-blurred": (lambda root: write(_mask(root), _smooth()), "c3", "scattered"),
    "mask-misplaced": (_hidden, "c3", "lowest value"),
    "class-tiny": (_tiny, None, "back (2)"),
    "shape": (_long, "c3", "60 mm"),
    "intensity": (lambda root: write(_image(root), scan(3) * 1e6), "c3", "MRI about"),
    "channels-resampled": (_two_files, "c3", "as c3.nii.gz"),
    "duplicate-across-split": (_tested("t0", scan(3)), "c3", "the voxels of t0"),
    "patient-across-split": (_tested("c3_later", scan(50)), "c3", "patient c3"),
    "duplicate": (lambda root: write(_image(root, "c4"), scan(3)), "c4", "the voxels of c3"),
}


def _checked(root: Path) -> CheckReport:
    return check(open_dataset(root, r"^([ct]\d+)"))


def test_every_kind_of_finding_is_provoked() -> None:
    assert set(SPOILT) | set(DRAWN) | {MIXED} == set(KINDS)


def test_a_sound_dataset_has_no_finding(tmp_path: Path) -> None:
    report = _checked(msd(tmp_path))
    assert report.findings == ()
    assert report.ok
    assert report.failing == ()
    assert report.cases == ("c0", "c1", "c2", "c3", "c4", "c5", "t0")


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_spoilt_is_found(tmp_path: Path, name: str) -> None:
    spoil, case, says = SPOILT[name]
    # Ten cases, so that one is unlike nine; the rules on classes need the six alone.
    root = msd(tmp_path, cases=6 if name.startswith("class") or name == "not-annotated" else 12)
    spoil(root)
    report = _checked(root)
    found = [f for f in report.findings if f.name == name and f.case == case]
    assert len(found) == 1
    assert found[0].severity == KINDS[name].severity
    assert says in " ".join(str(v) for v in found[0].model_dump().values())
    assert found[0].fix
    if name != "not-annotated":
        assert report.summary == {name: 1}, report.findings
    assert report.ok == (KINDS[name].severity == "warning")
    assert report.failing == (() if report.ok or case is None else (case,))


def test_noise_in_the_last_digits_is_nobodys_business(tmp_path: Path) -> None:
    root = msd(tmp_path)
    write(_mask(root), mask(3), _moved(1e-6))
    assert _checked(root).findings == ()


def test_a_test_case_needs_no_mask_but_a_sound_image(tmp_path: Path) -> None:
    root = msd(tmp_path)
    _half(root / "imagesTs" / "t0.nii.gz")
    assert [(f.name, f.case) for f in _checked(root).findings] == [("truncated", "t0")]


def test_a_mask_with_nan_or_many_channels(tmp_path: Path) -> None:
    root = msd(tmp_path)
    spoilt = mask(1).astype("f4")
    spoilt[0, 0, 0] = np.nan
    write(_mask(root, "c1"), spoilt)
    write(_mask(root, "c2"), np.stack([mask(2), mask(2)]))
    found = _checked(root).findings
    assert [(f.name, f.case) for f in found] == [("labels-impossible", "c1"), ("labels-impossible", "c2")]


def test_channels_in_several_files(tmp_path: Path) -> None:
    root = edit(msd(tmp_path, cases=1, tests=0), modality={"0": "T1", "1": "T2"})
    write(_image(root, "c0b"), scan(1), _moved(3.0))
    entry = {"image": ["imagesTr/c0.nii.gz", "imagesTr/c0b.nii.gz"], "label": "labelsTr/c0.nii.gz"}
    report = _checked(edit(root, training=[entry]))
    assert [(f.name, f.file) for f in report.findings] == [("channels-resampled", _image(root, "c0b"))]


def test_errors_come_first_and_all_files_are_looked_at(tmp_path: Path) -> None:
    root = msd(tmp_path)
    write(_mask(root, "c0"), mask(0).astype("f4"))
    _half(_image(root, "c5"))
    _mask(root, "c5").write_bytes(b"garbage")
    _image(root, "c2").unlink()
    found = [(f.severity, f.case) for f in _checked(root).findings]
    assert found == [("error", "c2"), ("error", "c5"), ("error", "c5"), ("warning", "c0")]


def test_a_report_survives_json_and_does_not_depend_on_workers(tmp_path: Path) -> None:
    root = msd(tmp_path)
    _half(_image(root))
    write(_image(root, "c4"), scan(1))
    dataset = open_dataset(root)
    report = check(dataset, workers=1)
    assert report == check(dataset, workers=4)
    assert CheckReport.from_json(report.to_json()) == report


class _Recorder:
    def __init__(self) -> None:
        self.total: float | None = None
        self.notes: list[str] = []

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        self.total = total
        yield self

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.notes.append(note)

    def say(self, message: str) -> None:
        raise AssertionError(message)


def test_progress_is_told_case_by_case(tmp_path: Path) -> None:
    progress = _Recorder()
    check(open_dataset(msd(tmp_path)), progress=progress)
    assert progress.total == 7
    assert progress.notes == ["c0", "c1", "c2", "c3", "c4", "c5", "t0"]


@pytest.mark.data
def test_the_real_hippocampus_has_nothing_wrong_but_one_mask_of_floats(data_root: Path) -> None:
    report = check(open_dataset(data_root / "hippocampus"))
    assert len(report.cases) == 200
    assert [(f.name, f.case) for f in report.findings] == [("labels-float", "hippocampus_243")]
