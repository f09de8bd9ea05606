"""Looking for what is wrong with a dataset, before hours are spent on it.

Every file is read once, cases in parallel; what is kept of each is small (`CaseFacts`), and every rule
is a function of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from calque.dataset.doctor.cohort import COHORT_RULES
from calque.dataset.doctor.facts import CaseFacts, inspect
from calque.dataset.doctor.findings import CheckReport, Finding
from calque.dataset.doctor.image_rules import (
    channels,
    directions,
    grids,
    intensities,
    missing,
    positions,
    spacings,
    unreadable,
)
from calque.dataset.doctor.mask_rules import mask
from calque.dataset.doctor.structure_rules import structures
from calque.dataset.model import Dataset
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress


def check(dataset: Dataset, *, workers: int | None = None, progress: Progress = SILENT) -> CheckReport:
    """Read every file once and report what is wrong with it, with its case or with the whole.

    Args:
        dataset: as from `open_dataset`.
        workers: threads; by default one per processor. Each holds the voxels of one mask and one image.
        progress: where to report.
    """
    look = partial(inspect, dataset=dataset)
    findings: list[Finding] = []
    seen: list[CaseFacts] = []
    with progress.task("check", total=len(dataset.cases)) as task:
        for outcome in map_bounded(look, dataset.cases, workers):
            facts = outcome.unwrap()
            findings += case_findings(facts, dataset)
            seen.append(facts)
            task.advance(note=facts.case.id)
    for cohort_rule in COHORT_RULES:
        findings += cohort_rule(seen, dataset)
    place = {case.id: k for k, case in enumerate(dataset.cases)}
    findings.sort(key=lambda f: (f.severity, -1 if f.case is None else place[f.case]))
    return CheckReport(
        dataset=dataset.name, cases=tuple(case.id for case in dataset.cases), findings=tuple(findings)
    )


def case_findings(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with one case by itself."""
    for rule in CASE_RULES:
        yield from rule(facts, dataset)


CASE_RULES: Sequence[Callable[[CaseFacts, Dataset], Iterator[Finding]]] = (
    missing,
    unreadable,
    positions,
    directions,
    spacings,
    grids,
    channels,
    intensities,
    mask,
    structures,
)
"""What is asked of every case by itself."""
