"""Two folders of masks, or two files, to `Scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.dataset.msd import MANIFEST, read_manifest_labels
from calque.errors import CalqueError, InputError, ReadError
from calque.evaluation.case import Tolerance, score_case, targets, tolerance_by_target
from calque.evaluation.metrics import DEFAULT, select
from calque.evaluation.scores import CaseScore, Failure, Findings, Scores
from calque.evaluation.summary import summarise
from calque.image import LabelMap
from calque.io import read_labels
from calque.io.formats import FORMATS, stem_of, suffix_of
from calque.labels import Labels
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress


@dataclass(frozen=True)
class _Job:
    """A pair of files."""

    case: str
    patient: str
    predicted: Path
    truth: Path


def evaluate(  # noqa: PLR0913 - the options of the verb, one parameter each
    predicted: Path | str,
    truth: Path | str,
    *,
    labels: Labels | None = None,
    metrics: Sequence[str] = DEFAULT,
    tolerance_mm: Tolerance = 1.0,
    patients: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score predicted masks against true ones, whatever model they come from.

    Files are matched by name without suffix. Nothing is dropped silently: what has no partner, cannot be read
    or lies on another grid is named in `Scores.findings`, and the rest is scored.

    Args:
        predicted: a folder of masks, or one file.
        truth: the same kind.
        labels: what the values mean; by default a `dataset.json` in the folder of the truth or above it says
            so, else each value N found is "class N".
        metrics: keys of `METRICS`.
        tolerance_mm: for the normalised surface distance, one for all or by class.
        patients: case -> patient, for intervals by patient; others are a patient each.
        workers: cases at a time; memory holds two masks for each.
        progress: told of each case.

    Raises:
        InputError: a path is missing, nothing matches, or options contradict each other.
        CalqueError: no case at all could be scored; the first case's own error.
    """
    select(metrics)
    if labels is None:
        labels = _labels_beside(Path(truth))
    if labels is not None:
        tolerance_by_target(tolerance_mm, labels)
    jobs, missing, unexpected = _match(Path(predicted), Path(truth), patients or {})
    scored: list[tuple[CaseScore, Labels]] = []
    failed: list[Failure] = []
    first: CalqueError | None = None

    def score(job: _Job) -> tuple[CaseScore, Labels]:
        return _score(job, labels, metrics, tolerance_mm)

    with progress.task("evaluate", total=len(jobs)) as task:
        for outcome in map_bounded(score, jobs, workers):
            if isinstance(outcome.error, CalqueError):
                first = first or outcome.error
                failed.append(Failure(case=outcome.item.case, error=str(outcome.error)))
            else:
                scored.append(outcome.unwrap())
            task.advance(note=outcome.item.case)
    if first is not None and not scored:
        raise first
    return summarise(
        [case for case, _ in scored],
        labels or _union([found for _, found in scored]),
        metrics=metrics,
        tolerance_mm=tolerance_mm,
        findings=Findings(missing=missing, unexpected=unexpected, failed=tuple(failed)),
    )


def _score(
    job: _Job, labels: Labels | None, metrics: Sequence[str], tolerance_mm: Tolerance
) -> tuple[CaseScore, Labels]:
    truth, predicted = read_labels(job.truth, labels), read_labels(job.predicted, labels)
    shared = labels or _union([truth.labels, predicted.labels])
    if isinstance(tolerance_mm, Mapping):  # derived labels: this case may hold some of the classes only
        tolerance_mm = {name: tolerance_mm[name] for name in targets(shared) if name in tolerance_mm}
    case = score_case(
        predicted,
        LabelMap(truth.array, truth.grid, shared),
        case=job.case,
        patient=job.patient,
        metrics=metrics,
        tolerance_mm=tolerance_mm,
    )
    return case, shared


def _union(found: Sequence[Labels]) -> Labels:
    """The classes of all, of which a value has the same name everywhere."""
    return Labels.from_names({label.name: label.value for labels in found for label in labels.classes})


def _match(
    predicted: Path, truth: Path, patients: Mapping[str, str]
) -> tuple[list[_Job], tuple[str, ...], tuple[str, ...]]:
    """Pairs in the order of names, then the truth's and the prediction's cases without a partner."""
    for path in (predicted, truth):
        if not path.exists():
            raise ReadError("There is nothing here", where=path, expected="a folder of masks, or a mask")
    if predicted.is_dir() != truth.is_dir():
        raise InputError("Give two folders or two files", got=f"{predicted} and {truth}")
    if not truth.is_dir():
        case = stem_of(truth)
        return [_Job(case, patients.get(case, case), predicted, truth)], (), ()
    have, want = _masks(predicted), _masks(truth)
    both = [case for case in want if case in have]
    if not both:
        raise InputError(
            "No file of one folder has the name of a file in the other",
            where=f"{predicted} and {truth}",
            expected="predictions named as the truth, such as case_01.nii.gz in both",
            got=f"{len(have)} predictions ({_some(have)}), {len(want)} truths ({_some(want)})",
        )
    jobs = [_Job(case, patients.get(case, case), have[case], want[case]) for case in both]
    return (
        jobs,
        tuple(case for case in want if case not in have),
        tuple(case for case in have if case not in want),
    )


def _masks(folder: Path) -> dict[str, Path]:
    """Case -> file, by name; files of unknown suffix and hidden ones are no masks."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if suffix_of(path) is None or not path.is_file():
            continue
        case = stem_of(path)
        if case in found:
            raise InputError("Two files have the name of one case", where=folder, got=(found[case], path))
        found[case] = path
    if not found:
        raise InputError("This folder holds no mask", where=folder, expected=f"files in {', '.join(FORMATS)}")
    return found


def _some(cases: Mapping[str, Path]) -> str:
    return ", ".join([*list(cases)[:3], *(["..."] if len(cases) > 3 else [])])


def _labels_beside(truth: Path) -> Labels | None:
    """From the `dataset.json` of a Medical Segmentation Decathlon or nnU-Net folder, where there is one."""
    folder = truth if truth.is_dir() else truth.parent
    for path in (folder / MANIFEST, folder.parent / MANIFEST):
        if path.is_file():
            return read_manifest_labels(path)
    return None
