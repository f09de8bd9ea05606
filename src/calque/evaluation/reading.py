"""The two masks of a case, on one grid.

A DICOM SEG or RTSTRUCT lies on the grid of the scan on which it was drawn, and a SEG stores no more of it
than the slices that hold something. So it is placed, exactly and never by resampling, on

1. the grid of the other mask, where that is no such object;
2. the series that is given (`Rules.reference`, or the column image of a manifest);
3. the series that lies beside it and fits by reference, or by patient and frame of reference;
4. for two SEGs without a series: the grid of the truth's own frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calque.evaluation.matching import Job
from calque.evaluation.rules import Rules
from calque.image import LabelMap
from calque.io import read_labels
from calque.io.dicom.beside import series_beside, series_of
from calque.io.dicom.label_files import read_structure_labels
from calque.io.dicom.labelling import Choice, Labelled
from calque.io.dicom.source import as_source
from calque.io.dicom.structures import Reference
from calque.io.reading import as_reference, is_structures
from calque.labels import PLAIN, Coding, Labels


@dataclass(frozen=True, eq=False)
class Masks:
    """What is compared.

    Args:
        truth: the reference.
        predicted: on the grid of `truth`, if it is a DICOM object or if it was made on the same scan.
        unknown: classes for which the truth, a DICOM object, has no structure: nobody knows where they are.
        notes: how DICOM objects were placed and understood.
    """

    truth: LabelMap
    predicted: LabelMap
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_masks(job: Job, labels: Labels | None, rules: Rules) -> Masks:
    """Truth and prediction of a case.

    Args:
        job: its files.
        labels: what the values mean; None: what the truth says, else each value is "class N".
        rules: coding, structures, priority and reference.

    Raises:
        CalqueError: one of them cannot be read, or not be placed.
    """
    drawn = is_structures(job.truth), is_structures(job.predicted)
    if not any(drawn):
        truth = read_labels(job.truth, labels, rules.coding)
        return Masks(truth, read_labels(job.predicted, labels))
    choice = Choice(rules.structures, rules.priority)
    if not drawn[0]:
        truth = read_labels(job.truth, labels, rules.coding)
        found = _placed(job.predicted, Reference(truth.grid), labels, PLAIN, choice)
        notes = [_on("the truth", "the prediction"), *_said(found)]
        return Masks(truth, found.require_decided(job.predicted), notes=tuple(notes))
    return _with_drawn_truth(job, labels, rules, choice, drawn[1])


def _with_drawn_truth(job: Job, labels: Labels | None, rules: Rules, choice: Choice, both: bool) -> Masks:
    if both:
        reference, note = _series(job, rules)
    else:
        reference, note = as_reference(job.predicted), _on("the prediction", "the truth")
    found = _placed(job.truth, reference, labels, rules.coding, choice)
    truth = found.require_decided(job.truth)
    notes = [note, *_said(found)]
    if found.missing:
        notes.append(f"the truth has no structure {', '.join(found.missing)}")
    if both:
        second = _placed(job.predicted, reference or Reference(truth.grid), truth.labels, PLAIN, choice)
        notes += [f"prediction: {text}" for text in _said(second)]
        predicted = second.require_decided(job.predicted)
    else:
        predicted = read_labels(job.predicted, truth.labels)
        if labels is None:
            named = ", ".join(f"{c.value} {c.name}" for c in truth.labels.classes)
            notes.append(f"the prediction's values are taken for the truth's structures: {named}")
    return Masks(truth, predicted, found.missing, tuple(notes))


def _placed(
    path: Path, reference: Reference | None, labels: Labels | None, coding: Coding, choice: Choice
) -> Labelled:
    return read_structure_labels(path, reference, labels, coding, choice)


def _said(found: Labelled) -> list[str]:
    return [note.what for note in found.notes]


def _on(one: str, other: str) -> str:
    return f"{other} was placed on the grid of {one}"


def _series(job: Job, rules: Rules) -> tuple[Reference | None, str]:
    """Where truth and prediction, both DICOM objects, lie; and what to say of it."""
    given = job.image or rules.reference
    if given is not None and as_source(given) is None:
        return as_reference(given), f"both were placed on {given.name}"
    stack = series_beside(job.truth) if given is None else series_of(job.truth, given)
    if stack is None:
        return None, "no series lies beside the truth: both were placed on the grid of its own frames"
    name = f" {stack.name}" if stack.name else ""
    folder = stack.slices[0].path.parent
    return Reference(stack.grid, stack), f"both were placed on the series{name} in {folder}"
