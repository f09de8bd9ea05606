"""Which prediction belongs to which truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calque.errors import InputError, ReadError
from calque.evaluation.subjects import CASE, IMAGE, PREDICTED, TRUTH, Subjects
from calque.io.formats import FORMATS, stem_of, suffix_of
from calque.io.reading import is_structures

ARCHIVE = ".npz"
"""Of probabilities, beside a mask of the same name as nnU-Net writes them."""

_OBJECTS = (".seg.dcm", ".labelmap.dcm", ".rtstruct.dcm")  # what follows the name of a case
_BESIDE = ("_overlay", "_probabilities")  # what lies beside the mask of a case


@dataclass(frozen=True)
class Job:
    """A pair of files, and the scan on which they were drawn where a manifest says so."""

    case: str
    patient: str
    predicted: Path
    truth: Path
    image: Path | None = None


@dataclass(frozen=True)
class Matches:
    """Pairs in the order of names, and the cases of truth and prediction without a partner."""

    jobs: tuple[Job, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def match(
    predicted: Path, truth: Path, patients: Mapping[str, str], manifest: Subjects | None = None
) -> Matches:
    """Pair two folders by name without suffix, or by a manifest; or two files.

    Args:
        predicted: a folder or a file.
        truth: the same kind.
        patients: case -> patient; others are a patient each.
        manifest: columns case, predicted, truth, relative to the folders; and perhaps image, relative to the
            manifest's own: where DICOM SEG and RTSTRUCT are placed.

    Raises:
        ReadError: a path is not there.
        InputError: nothing matches, or a folder and a file were given.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise ReadError("There is nothing here", where=path, expected="a folder of masks, or a mask")
    if predicted.is_dir() != truth.is_dir():
        raise InputError("Give two folders or two files", got=f"{predicted} and {truth}")
    if not truth.is_dir():
        case = stem_of(truth)
        return Matches((Job(case, patients.get(case, case), predicted, truth),))
    if manifest is not None:
        return _by_manifest(predicted, truth, patients, manifest)
    have, want = masks(predicted), masks(truth)
    both = [case for case in want if case in have]
    if not both:
        raise InputError(
            "No file of one folder has the name of a file in the other",
            where=f"{predicted} and {truth}",
            expected="predictions named as the truth, such as case_01.nii.gz in both, or a manifest",
            got=f"{len(have)} predictions ({_some(have)}), {len(want)} truths ({_some(want)})",
        )
    return Matches(
        tuple(Job(case, patients.get(case, case), have[case], want[case]) for case in both),
        tuple(case for case in want if case not in have),
        tuple(case for case in have if case not in want),
    )


def masks(folder: Path) -> dict[str, Path]:
    """Case -> file, by name.

    DICOM SEG and RTSTRUCT are masks too.
    Hidden files, files of unknown suffix and what lies beside a mask (overlays, probabilities) are no masks.

    Raises:
        InputError: two files of one name, or none at all.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _holds_mask(path)]
    stems = {_case_of(path) for path in files if suffix_of(path) != ARCHIVE}
    found: dict[str, Path] = {}
    for path in files:
        case = _case_of(path)
        if any(case.removesuffix(end) in stems - {case} for end in _BESIDE):
            continue
        if suffix_of(path) == ARCHIVE and case in stems:
            continue
        if case in found:
            raise InputError("Two files have the name of one case", where=folder, got=(found[case], path))
        found[case] = path
    if not found:
        raise InputError("This folder holds no mask", where=folder, expected=f"files in {', '.join(FORMATS)}")
    return found


def _case_of(path: Path) -> str:
    """The name without its suffix; of "a.seg.dcm", as `predict` writes it, "a"."""
    for end in _OBJECTS:
        if path.name.lower().endswith(end):
            return path.name[: -len(end)]
    return stem_of(path)


def _holds_mask(path: Path) -> bool:
    """By its suffix, or because it is a DICOM SEG or RTSTRUCT."""
    if suffix_of(path) is not None:
        return True
    try:
        return path.name[0] != "." and is_structures(path)
    except ReadError:
        return True  # damaged DICOM: it is named where it is scored


def _by_manifest(predicted: Path, truth: Path, patients: Mapping[str, str], manifest: Subjects) -> Matches:
    if not {CASE, PREDICTED, TRUTH} <= set(manifest.columns):
        raise InputError(
            "A manifest says which files belong together",
            where=manifest.path,
            expected="columns case, predicted, truth",
            got=", ".join(manifest.columns),
        )
    jobs, missing, unexpected = [], [], []
    for row in manifest.rows:
        case, here, there = row[CASE], predicted / row[PREDICTED], truth / row[TRUTH]
        if not row[TRUTH] or not there.is_file():
            unexpected.append(case)
        elif not row[PREDICTED] or not here.is_file():
            missing.append(case)
        else:
            image = manifest.path.parent / row[IMAGE] if row.get(IMAGE) else None
            jobs.append(Job(case, patients.get(case, case), here, there, image))
    if not jobs:
        raise InputError(
            "No row of the manifest has both of its files",
            where=manifest.path,
            got=f"{len(manifest.rows)} rows",
        )
    return Matches(tuple(jobs), tuple(missing), tuple(unexpected))


def _some(cases: Mapping[str, Path]) -> str:
    return ", ".join([*list(cases)[:3], *(["..."] if len(cases) > 3 else [])])
