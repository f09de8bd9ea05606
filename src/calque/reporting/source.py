"""What a report is made of, gathered from a run or from scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from calque.dataset import Case
from calque.dataset.doctor.findings import CheckReport
from calque.dataset.model import MaskRule
from calque.dataset.reading import read_mask, read_scan
from calque.errors import InputError, ReadError
from calque.evaluation import Scores, summarise
from calque.evaluation.matching import Job, masks
from calque.evaluation.reading import read_masks
from calque.evaluation.rules import PLAIN_RULES, Rules
from calque.evaluation.scores import Failure, Findings
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import read_labels, stem_of, suffix_of
from calque.io.dicom import read_stack
from calque.io.dicom.beside import series_beside, series_of
from calque.io.dicom.source import as_source, path_of
from calque.io.reading import is_structures
from calque.labels import Labels
from calque.planning import Plan

if TYPE_CHECKING:
    from calque.model.card import Card
    from calque.training.history import HistoryRow
    from calque.training.run import RunFolder


@dataclass(frozen=True)
class CodedCase:
    """A case of a dataset and how the masks of that dataset are read."""

    case: Case
    rule: MaskRule


@dataclass(frozen=True)
class CaseFiles:
    """Where the voxels of a case lie; images may be empty (a report without scans shows masks alone).

    Args:
        truth: the true mask.
        predicted: the predicted one.
        images: the scan.
        rules: how masks are read that are no case of a dataset: as they were when they were scored.
    """

    truth: Path | CodedCase
    predicted: Path
    images: tuple[Path, ...]
    rules: Rules = PLAIN_RULES

    def read(self, labels: Labels) -> tuple[LabelMap, LabelMap]:
        """The true mask and the predicted one.

        Raises:
            CalqueError: one of them cannot be read.
        """
        if isinstance(self.truth, Path):
            image = self.images[0] if self.images else None
            found = read_masks(Job("", "", self.predicted, self.truth, image), labels, self.rules)
            return found.truth, found.predicted
        truth = read_mask(self.truth.case, labels, self.truth.rule)
        return truth, read_labels(self.predicted, labels)

    def read_scan(self, grid: Grid) -> Image | None:
        """The scan; of a DICOM object for which none was given, the series beside it, where it is on `grid`.

        Raises:
            CalqueError: it cannot be read.
        """
        if self.images:
            return read_scan(self.images)
        if isinstance(self.truth, CodedCase) or not is_structures(self.truth):
            return None
        stack = series_beside(self.truth)
        return read_stack(stack, suv=False) if stack is not None and stack.grid.isclose(grid) else None


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
    files = {}
    if truth is not None and predicted is not None:
        files = _files_of(scores, truth, predicted, images)
    name = source.stem if isinstance(source, Path) else "scores"
    return Material(name=name, scores=scores, files=files)


def _files_of(scores: Scores, truth: Path, predicted: Path, images: Path | None) -> dict[str, CaseFiles]:
    """By case, of folders or of single files, as `evaluate` pairs them."""
    wanted, guessed = _masks(truth), _masks(predicted)
    if not truth.is_dir() and not predicted.is_dir():
        guessed = {stem_of(truth): predicted}
    rules = Rules(coding=scores.coding, structures=scores.structures, priority=scores.priority)
    scans = {} if images is None else _scans(images)
    return {
        case: CaseFiles(wanted[case], guessed[case], _scan(case, wanted[case], images, scans), rules)
        for case in (c.case for c in scores.cases)
        if case in wanted and case in guessed
    }


def from_run(folder: Path) -> Material:
    """From a run: scores of all validated folds, curves, plan, data check, files.

    Raises:
        InputError: no fold has been validated yet.
        ReadError: a file of the run is missing or damaged.
    """
    from calque.model.archive import read as read_archive  # torch comes with these
    from calque.training.history import read_history
    from calque.training.run import DatasetRecord, RunFolder, Split

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
        card=read_archive(run.model, len)[0].card if run.model.is_file() else None,
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


def _scans(place: Path) -> dict[str, Path]:
    """Case -> scan: files, and folders of DICOM."""
    if not place.exists():
        if as_source(place) is not None:  # "ct@2"
            return {}
        raise ReadError("There is nothing here", where=place)
    paths = sorted(place.iterdir()) if place.is_dir() else [place]
    files = {stem_of(path): path for path in paths if suffix_of(path) and path.is_file()}
    return {path.name: path for path in paths if path.is_dir() and as_source(path) is not None} | files


def _scan(case: str, truth: Path, place: Path | None, scans: Mapping[str, Path]) -> tuple[Path, ...]:
    """`case`, or the first channel of nnU-Net's naming, `case_0000`, or the series that a truth refers to."""
    found = scans.get(case, scans.get(f"{case}_0000"))
    if found is None and place is not None and as_source(place) is not None and is_structures(truth):
        found = path_of(series_of(truth, place), place)
    return () if found is None else (found,)
