"""Two folders of masks, or two files, to `Scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from calque.dataset.layouts.manifest import MANIFEST_CSV, labels_beside, read_label_table
from calque.dataset.layouts.msd import MANIFEST, read_manifest_labels
from calque.dataset.model import PLAIN_RULE, MaskRule
from calque.errors import CalqueError, InputError
from calque.evaluation.case import score_case, targets, tolerance_by_target
from calque.evaluation.groups import with_groups
from calque.evaluation.matching import Job, match
from calque.evaluation.metrics import CALIBRATION, select
from calque.evaluation.probabilities import probabilities_of, read_probabilities
from calque.evaluation.reading import read_masks
from calque.evaluation.rules import PLAIN_RULES, Rules
from calque.evaluation.scale import with_scale
from calque.evaluation.scores import Bootstrap, CaseScore, Failure, Findings, Scores
from calque.evaluation.subjects import read_subjects
from calque.evaluation.summary import summarise
from calque.image import LabelMap
from calque.io import read_header
from calque.labels import Labels
from calque.ops.regrid import regrid_labels
from calque.ops.skeleton import skeleton
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress

_SMALL = 2**18
"""Voxels; with fewer, one thread is quicker than two (docs/log.md)."""

_Fact = TypeVar("_Fact")

_LOOKED_AT = 8  # pairs, of which the first readable one tells


@dataclass(frozen=True)
class _Scored:
    """What became of a pair."""

    case: CaseScore
    labels: Labels
    resampled: bool
    notes: tuple[str, ...]


def evaluate(  # noqa: PLR0913 - the options of the verb, one parameter each
    predicted: Path | str,
    truth: Path | str,
    rules: Rules = PLAIN_RULES,
    *,
    labels: Labels | None = None,
    patients: Mapping[str, str] | None = None,
    manifest: Path | str | None = None,
    groups: Path | str | None = None,
    bootstrap: Bootstrap | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score predicted masks against true ones, whatever model they come from.

    Files are matched by name without suffix, or by a manifest. Nothing is dropped silently: what has no
    partner, cannot be read or lies on another grid is named in `Scores.findings`, and the rest is scored.

    Args:
        predicted: a folder of masks, or one file.
        truth: the same kind.
        rules: metrics, tolerance, resampling, ...; their coding is of use with `labels` alone.
        labels: what the values mean; by default a `manifest.labels.csv` or a `dataset.json` in the folder of
            the truth or above it says so (the former also what the truth's files store), else each value N
            found is "class N".
        patients: case -> patient, for intervals by patient; others are a patient each.
        manifest: a CSV file with columns case, predicted, truth, and what `groups` may have.
        groups: a CSV file with a column case or patient; every further column makes subgroups, but annotated:
            the classes that were looked for in a case, with ; between them. Others are not scored there.
        bootstrap: how intervals are made.
        workers: cases at a time; memory holds two masks for each. None: `suited_workers`.
        progress: told of each case.

    Raises:
        InputError: a path is missing, nothing matches, or options contradict each other.
        CalqueError: no case at all could be scored; the first case's own error.
    """
    rules, labels = _settled(rules, labels, Path(truth))
    listed = None if manifest is None else read_subjects(manifest)
    subjects = listed if groups is None else read_subjects(groups)
    told = [table for table in (subjects, listed) if table is not None]  # what the latter says counts
    known = _joined([table.patients for table in told]) | dict(patients or {})
    looked = _joined([table.annotated for table in told])
    found = match(Path(predicted), Path(truth), known, listed)
    _require_known(looked, labels)
    scored, failed = _score_all(found.jobs, labels, rules, looked, workers, progress)
    scores = summarise(
        [one.case for one in scored],
        labels or _union([one.labels for one in scored]),
        metrics=rules.metrics,
        tolerance_mm=rules.tolerance_mm,
        bootstrap=bootstrap,
        findings=Findings(missing=found.missing, unexpected=found.unexpected, failed=failed),
    ).model_copy(update=_how(rules, scored))
    return scores if subjects is None else with_groups(scores, subjects)


def _settled(rules: Rules, labels: Labels | None, truth: Path) -> tuple[Rules, Labels | None]:
    """With what lies beside the truth, and the metrics that probabilities bring; possible, or an error."""
    if rules.probabilities is not None:
        rules = replace(rules, metrics=tuple(dict.fromkeys((*rules.metrics, *CALIBRATION))))
    if labels is None:
        labels, beside = _labels_beside(truth)
        rules = replace(rules, coding=beside.coding, priority=rules.priority or beside.priority)
    _require_sense(rules, labels)
    return rules, labels


def _joined(tables: Sequence[Mapping[str, _Fact]]) -> dict[str, _Fact]:
    return {case: fact for table in tables for case, fact in table.items()}


def _how(rules: Rules, scored: Sequence[_Scored]) -> dict[str, object]:
    """Fields of `Scores` that say how cases were scored."""
    return {
        "lesion_iou": rules.lesion_iou,
        "structures": rules.structures,
        "priority": rules.priority,
        "coding": rules.coding,
        "resampled": tuple(one.case.case for one in scored if one.resampled),
        "notes": {one.case.case: one.notes for one in scored if one.notes},
    }


def _require_sense(rules: Rules, labels: Labels | None) -> None:
    """Refuse what no case could satisfy, before the first is read."""
    wanted = {metric.needs for metric in select(rules.metrics)}
    if "probability" in wanted and rules.probabilities is None:
        raise InputError(
            "ECE and Brier need probabilities",
            got=", ".join(rules.metrics),
            fix="give probabilities, a folder",
        )
    if "skeletons" in wanted:
        skeleton(np.zeros((1, 1, 1), bool))  # says how to install what it needs
    if labels is not None:
        tolerance_by_target(rules.tolerance_mm, labels)


def _require_known(looked: Mapping[str, Sequence[str]], labels: Labels | None) -> None:
    """Refuse classes that no label has: they would leave out others in silence."""
    if not looked:
        return
    if labels is None:
        raise InputError(
            "Which classes were annotated can be told only where classes have names",
            got=next(iter(looked.values())),
            fix="put a manifest.labels.csv or a dataset.json beside the truth",
        )
    unknown = {name for names in looked.values() for name in names} - set(labels.names)
    if unknown:
        raise InputError(
            "The column annotated names classes that do not exist",
            expected=", ".join(labels.names),
            got=", ".join(sorted(unknown)),
        )


def suited_workers(jobs: Sequence[Job]) -> int | None:
    """1 where masks are small, after the first one that can be read; None, a thread for each processor, else.

    Most of the work on a small mask is Python's own, and threads only take the interpreter from each other.
    """
    for job in jobs[:_LOOKED_AT]:
        try:
            return 1 if read_header(job.truth).grid.voxels < _SMALL else None
        except InputError:
            continue  # it is named when it is scored
    return None


def _score_all(
    jobs: Sequence[Job],
    labels: Labels | None,
    rules: Rules,
    looked: Mapping[str, Sequence[str]],
    workers: int | None,
    progress: Progress,
) -> tuple[list[_Scored], tuple[Failure, ...]]:
    """Every pair, on threads; raises the first error where all failed."""
    workers = workers or suited_workers(jobs)
    scored: list[_Scored] = []
    failed: list[Failure] = []
    first: CalqueError | None = None
    with progress.task("evaluate", total=len(jobs)) as task:
        for outcome in map_bounded(
            lambda job: _score(job, labels, rules, looked.get(job.case)), jobs, workers
        ):
            if isinstance(outcome.error, CalqueError):
                first = first or outcome.error
                failed.append(Failure(case=outcome.item.case, error=str(outcome.error)))
            else:
                scored.append(outcome.unwrap())
            task.advance(note=outcome.item.case)
    if first is not None and not scored:
        raise first
    return scored, tuple(failed)


def _score(job: Job, labels: Labels | None, rules: Rules, annotated: Sequence[str] | None) -> _Scored:
    masks = read_masks(job, labels, rules)
    truth, predicted = masks.truth, masks.predicted
    holding = [one.labels for one in (truth, predicted) if one.array.any()]  # an empty mask names no class
    shared = labels or _union(holding or [truth.labels])
    tolerance = rules.tolerance_mm
    if isinstance(tolerance, Mapping):  # derived labels: this case may hold some of the classes only
        tolerance = {name: tolerance[name] for name in targets(shared) if name in tolerance}
    moved = rules.resample and not predicted.grid.isclose(truth.grid)
    soft = None
    if rules.probabilities is not None:
        soft = read_probabilities(probabilities_of(job.case, rules.probabilities))
    case = score_case(
        regrid_labels(predicted, truth.grid) if moved else predicted,
        LabelMap(truth.array, truth.grid, shared),
        replace(rules, tolerance_mm=tolerance),
        case=job.case,
        patient=job.patient,
        probabilities=soft,
        annotated=_looked_for(annotated, masks.unknown, shared),
    )
    return _Scored(with_scale(case, job.truth), shared, moved, masks.notes)


def _looked_for(
    annotated: Sequence[str] | None, unknown: Sequence[str], labels: Labels
) -> Sequence[str] | None:
    """Of the classes, those that are known: as a table says, else those that the truth has; None: all."""
    if annotated is not None or not unknown:
        return annotated
    return [name for name in labels.names if name not in unknown]


def _union(found: Sequence[Labels]) -> Labels:
    """The classes of all, of which a value has the same name everywhere."""
    return Labels.from_names({label.name: label.value for labels in found for label in labels.classes})


def _labels_beside(truth: Path) -> tuple[Labels | None, MaskRule]:
    """From a manifest's table of labels or a `dataset.json`, where one is; and what the truth stores."""
    folder = truth if truth.is_dir() else truth.parent
    for place in (folder, folder.parent):
        if labels_beside(place / MANIFEST_CSV).is_file():
            return read_label_table(place / MANIFEST_CSV)
        if (place / MANIFEST).is_file():
            return read_manifest_labels(place / MANIFEST), PLAIN_RULE
    return None, PLAIN_RULE
