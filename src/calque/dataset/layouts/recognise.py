"""How datasets lie on disk: a folder -> `Dataset`, or None where the layout is another.

A recogniser opens no image. Where nothing declares channels it reads one header, and where nothing declares
labels it reads the masks, since their values are the only source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calque.dataset.layouts.bids import read_bids
from calque.dataset.layouts.dicom import dicom_folders
from calque.dataset.layouts.folders import patient_folders, side_by_side, two_folders
from calque.dataset.layouts.manifest import MANIFEST_CSV, read_manifest
from calque.dataset.layouts.msd import MANIFEST, read_msd
from calque.dataset.layouts.nnunet import read_nnunet
from calque.dataset.layouts.patients import guess_patients, with_patients
from calque.dataset.model import Dataset
from calque.errors import DatasetError


@dataclass(frozen=True)
class Layout:
    """A way in which datasets lie on disk.

    Args:
        looks_for: what it needs to see, for people.
        recognise: folder -> Dataset, or None where this is another layout; DatasetError where it is this one
            and broken.
    """

    looks_for: str
    recognise: Callable[[Path], Dataset | None]


def open_dataset(path: Path | str, patient_pattern: str | None = None) -> Dataset:
    """Recognise a dataset. No image is read, and a listed file that is missing is left to `check`.

    Args:
        path: a folder, its `dataset.json`, or a manifest in CSV.
        patient_pattern: a regular expression with one group that finds the patient in a case's id, such as
            r"(P\\d+)_" for "P01_t0". None: patients are as listed, else as the names tell (see
            `calque.dataset.layouts.patients`), else each case is another patient.

    Raises:
        DatasetError: nothing is there, nothing is recognised, files could belong together in several ways,
            the description is broken, or a case's id does not match the pattern.
    """
    path = Path(path)
    dataset = read_manifest(path) if path.suffix.lower() == ".csv" and path.is_file() else _recognised(path)
    if patient_pattern is not None:
        return with_patients(dataset, patient_pattern)
    listed = dataset.patients is not None and dataset.patients != "folder"
    return dataset if listed else guess_patients(dataset)


def _recognised(path: Path) -> Dataset:
    root = _folder(path)
    for layout in LAYOUTS.values():
        dataset = layout.recognise(root)
        if dataset is not None:
            return dataset
    names = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    raise DatasetError(
        "No dataset was recognised here",
        where=root,
        expected="; or ".join(layout.looks_for for layout in LAYOUTS.values()),
        got=", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "an empty folder",
        fix=f"calque dataset init {root} -o manifest.csv lists what is there, to be corrected",
    )


def _folder(path: Path) -> Path:
    if path.is_file() and path.name == MANIFEST:
        return path.parent
    if path.is_file():
        raise DatasetError(
            "A dataset is a folder",
            where=path,
            got="a file",
            fix=f"give its folder, {MANIFEST} or a manifest",
        )
    if not path.is_dir():
        raise DatasetError("There is no such folder", where=path)
    return path


def _manifest(root: Path) -> Dataset | None:
    path = root / MANIFEST_CSV
    return read_manifest(path) if path.is_file() else None


def _msd(root: Path) -> Dataset | None:
    return read_msd(root) if (root / MANIFEST).is_file() else None


LAYOUTS: dict[str, Layout] = {
    "manifest": Layout(f"a {MANIFEST_CSV} that lists cases", _manifest),
    "nnunet": Layout(f"imagesTr/*_0000.*, labelsTr and {MANIFEST}, as in nnU-Net", read_nnunet),
    "msd": Layout(f"a {MANIFEST} as in the Medical Segmentation Decathlon", _msd),
    "bids": Layout("sub-*/ with images and derivatives/ with masks, as in BIDS", read_bids),
    "dicom": Layout("DICOM series with a SEG or RTSTRUCT each, and no other scans", dicom_folders),
    "two-folders": Layout(
        "two folders with files of the same names, such as images/ and labels/ or imagesTr/ and labelsTr/",
        two_folders,
    ),
    "patient-folders": Layout(
        "a folder for each patient with files of the same names, such as CT_image and CT_mask",
        patient_folders,
    ),
    "side-by-side": Layout(
        "images and masks in one folder, as a.jpg and a.png or as a.nii.gz and a_mask.nii.gz", side_by_side
    ),
}
"""Name -> layout, tried in this order."""
