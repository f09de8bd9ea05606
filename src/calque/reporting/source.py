"""What a report is made of, gathered from a run or from scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from calque.dataset import Case
from calque.dataset.doctor.findings import CheckReport
from calque.dataset.model import MaskRule
from calque.dataset.reading import read_mask
from calque.errors import InputError, ReadError
from calque.evaluation import Scores, summarise
from calque.evaluation.matching import masks
from calque.evaluation.scores import Failure, Findings
from calque.image import LabelMap
from calque.io import read_labels, stem_of, suffix_of
from calque.io.dicom.source import as_source
from calque.labels import Labels
from calque.planning import Plan

if TYPE_CHECKING:
    from calque.model.card import Card
    from calque.training.run import HistoryRow, RunFolder


@dataclass(frozen=True)
class CodedCase:
    """A case of a dataset and how the masks of that dataset are read."""

    case: Case
    rule: MaskRule


@dataclass(frozen=True)
class CaseFiles:
    """Where the voxels of a case lie; images may be empty (a report without scans shows masks alone)."""

    truth: Path | CodedCase
    predicted: Path
    images: tuple[Path, ...]

    def read_truth(self, labels: Labels) -> LabelMap:
        """The true mask."""
        if isinstance(self.truth, Path):
            return read_labels(self.truth, labels)
        return read_mask(self.truth.case, labels, self.truth.rule)


@dataclass(frozen=True)
class Material:
    """What a report is made of; what is None or empty has no section.

    Args:
        name: of the dataset or the file, for the title.
        scores: of every validated fold together.
        files: by case.
        plan: what was trained.
        histories: rows by name of fold.
        trained_on: training cases by name of fold.
        root: of the dataset.
        run: the run's folder.
        check: what the data check found.
        card: of the model.
    """

    name: str
    scores: Scores
    files: Mapping[str, CaseFiles]
    plan: Plan | None = None
    histories: Mapping[str, tuple[HistoryRow, ...]] = field(default_factory=dict)
    trained_on: Mapping[str, int] = field(default_factory=dict)
    root: str | None = None
    run: Path | None = None
    check: CheckReport | None = None
    card: Card | None = None


def from_scores(
    source: Scores | Path,
    truth: Path | None = None,
    predicted: Path | None = None,
    images: Path | None = None,
) -> Material:
    """From scores, and folders of masks and scans for pictures."""
    scores = source if isinstance(source, Scores) else Scores.read(source)
    if (truth is None) != (predicted is None) or (images is not None and truth is None):
        raise InputError("Pictures need both masks", expected="truth and predicted, and perhaps images")
    files: dict[str, CaseFiles] = {}
    if truth is not None and predicted is not None:
        wanted, guessed = _masks(truth), _masks(predicted)
        scans = _scans(images) if images is not None else {}
        for case in (c.case for c in scores.cases):
            if case in wanted and case in guessed:
                files[case] = CaseFiles(wanted[case], guessed[case], _scan(case, scans))
    name = source.stem if isinstance(source, Path) else "scores"
    return Material(name=name, scores=scores, files=files)


def from_run(folder: Path) -> Material:
    """From a run: scores of all validated folds, curves, plan, data check, files.

    Raises:
        InputError: no fold has been validated yet.
        ReadError: a file of the run is missing or damaged.
    """
    from calque.model.archive import read as read_archive  # torch comes with these
    from calque.training.run import DatasetRecord, RunFolder, Split, read_history

    run = RunFolder(folder)
    validated = [fold for fold in run.folds() if fold.scores.is_file()]
    if not validated:
        raise InputError(
            "This run has no scores yet",
            where=folder,
            expected="fold_0/scores.json",
            fix="let training finish, or evaluate its predictions and report on those scores",
        )
    record = DatasetRecord.read(run.dataset)
    cases = {case.id: case for case in record.cases}
    files = {}
    for fold in validated:
        for predicted in sorted(fold.validation.glob("*")) if fold.validation.is_dir() else ():
            case = cases.get(stem_of(predicted)) if suffix_of(predicted) else None
            if case is not None:
                found = case.case()
                files[case.id] = CaseFiles(CodedCase(found, record.rule), predicted, found.images)
    return Material(
        name=record.name,
        scores=_together([Scores.read(fold.scores) for fold in validated]),
        files=files,
        plan=Plan.read(run.plan) if run.plan.is_file() else None,
        histories=_histories(run, read_history),
        trained_on={f.path.name: len(Split.read(f.split).train) for f in validated if f.split.is_file()},
        root=record.root,
        run=folder,
        check=CheckReport.read(run.check) if run.check.is_file() else None,
        card=read_archive(run.model)[0].card if run.model.is_file() else None,
    )


def _histories(
    run: RunFolder, read: Callable[[Path], tuple[HistoryRow, ...]]
) -> dict[str, tuple[HistoryRow, ...]]:
    found = {fold.path.name: read(fold.history) for fold in run.folds() if fold.history.is_file()}
    return {name: rows for name, rows in found.items() if rows}


def _together(scores: list[Scores]) -> Scores:
    """Folds validated on different cases, as one evaluation."""
    first = scores[0]
    if len(scores) == 1:
        return first
    if any(
        (s.labels, s.metrics, s.tolerance_mm) != (first.labels, first.metrics, first.tolerance_mm)
        for s in scores
    ):
        raise InputError("The folds of this run were not scored in the same way", fix="validate them again")
    failed: list[Failure] = [failure for s in scores for failure in s.findings.failed]
    return summarise(
        [case for s in scores for case in s.cases],
        first.labels,
        metrics=first.metrics,
        tolerance_mm=first.tolerance_mm,
        bootstrap=first.bootstrap,
        findings=Findings(
            missing=tuple(m for s in scores for m in s.findings.missing),
            unexpected=tuple(m for s in scores for m in s.findings.unexpected),
            failed=tuple(failed),
        ),
    )


def _masks(place: Path) -> dict[str, Path]:
    """Case -> mask, in any format that can be scored."""
    if not place.exists():
        raise ReadError("There is nothing here", where=place)
    return masks(place) if place.is_dir() else {stem_of(place): place}


def _scans(folder: Path) -> dict[str, Path]:
    """Case -> scan: files, and folders of DICOM."""
    if not folder.exists():
        raise ReadError("There is nothing here", where=folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    files = {stem_of(path): path for path in paths if suffix_of(path) and path.is_file()}
    return {path.name: path for path in paths if path.is_dir() and as_source(path) is not None} | files


def _scan(case: str, scans: Mapping[str, Path]) -> tuple[Path, ...]:
    """`case`, or the first channel of nnU-Net's naming, `case_0000`."""
    found = scans.get(case, scans.get(f"{case}_0000"))
    return () if found is None else (found,)
