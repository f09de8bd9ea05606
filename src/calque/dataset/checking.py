"""Looking for what is wrong with a dataset, before hours are spent on it.

Every file is read once, cases in parallel; what is kept of each is small (`CaseFacts`), and every rule
is a function of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from calque.dataset.cohort import COHORT_RULES
from calque.dataset.facts import CaseFacts, FileFacts, inspect
from calque.dataset.findings import CheckReport, Finding, finding
from calque.dataset.model import Dataset
from calque.errors import GeometryError, TruncatedError
from calque.labels import BACKGROUND
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress

NEARLY = 0.1
"""Grids closer than this part of a voxel were meant to be equal; `Grid.isclose` says which are."""


def check(dataset: Dataset, *, workers: int | None = None, progress: Progress = SILENT) -> CheckReport:
    """Read every file once and report what is wrong with it, with its case or with the whole.

    Args:
        dataset: as from `open_dataset`.
        workers: threads; by default one per processor. Each holds one file's voxels at a time.
        progress: where to report.
    """
    findings: list[Finding] = []
    seen: list[CaseFacts] = []
    with progress.task("check", total=len(dataset.cases)) as task:
        for outcome in map_bounded(inspect, dataset.cases, workers):
            facts = outcome.unwrap()
            for rule in CASE_RULES:
                findings += rule(facts, dataset)
            seen.append(facts)
            task.advance(note=facts.case.id)
    for cohort_rule in COHORT_RULES:
        findings += cohort_rule(seen, dataset)
    place = {case.id: k for k, case in enumerate(dataset.cases)}
    findings.sort(key=lambda f: (f.severity, -1 if f.case is None else place[f.case]))
    return CheckReport(
        dataset=dataset.name, cases=tuple(case.id for case in dataset.cases), findings=tuple(findings)
    )


def missing(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Listed files that are not there, and cases that list no mask."""
    for file in facts.images:
        if file.missing:
            yield finding("image-missing", case=facts.case.id, file=file.path)
    if facts.mask is not None and facts.mask.missing:
        yield finding("mask-missing", case=facts.case.id, file=facts.mask.path)
    if facts.mask is None and facts.case.split != "test":
        yield finding("not-annotated", case=facts.case.id)


def unreadable(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Files that no reader makes sense of."""
    for file in facts.files:
        if file.problem is None or file.header is not None:
            continue
        name = "unreadable"
        if isinstance(file.problem, TruncatedError):
            name = "truncated"
        elif isinstance(file.problem, GeometryError):
            name = "no-position"
        got = file.problem.what if file.problem.got is None else f"{file.problem.what}: {file.problem.got}"
        yield finding(
            name,
            case=facts.case.id,
            file=file.path,
            expected=file.problem.expected,
            got=got,
            fix=file.problem.fix,
        )


def positions(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Headers that place the scan in two ways: programs differ in which they follow."""
    for file in facts.files:
        if file.header is not None and file.header.disagreement > NEARLY * min(file.header.grid.spacing):
            yield finding(
                "positions-disagree",
                case=facts.case.id,
                file=file.path,
                expected="equal",
                got=f"{file.header.disagreement:.3g} mm apart at a corner; Calque follows the sform",
            )


def grids(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Images and mask of a case share one grid."""
    readable = [(file, file.header.grid) for file in facts.files if file.header is not None]
    for file, grid in readable[1:]:
        first, reference = readable[0]
        if grid.isclose(reference):
            continue
        near = grid.isclose(reference, NEARLY)
        yield finding(
            "grids-nearly-equal" if near else "grids-differ",
            case=facts.case.id,
            file=file.path,
            expected=f"as {first.path.name}: {_describe(first)}",
            got=_describe(file),
        )


def _describe(file: FileFacts) -> str:
    if file.header is None:
        return "unknown"
    grid = file.header.grid
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    return f"{grid.shape} voxels of {spacing} mm, {grid.orientation}, from {grid.origin.round(3).tolist()}"


def channels(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """As many channels as the dataset names; of several files, each holds one."""
    headers = facts.headers
    if len(headers) < len(facts.images):
        return
    counts = [header.channels for header in headers]
    if sum(counts) != len(dataset.channels) or (len(counts) > 1 and max(counts) > 1):
        expected = f"{len(dataset.channels)}: {', '.join(dataset.channels)}"
        yield finding(
            "channels", case=facts.case.id, file=facts.images[0].path, expected=expected, got=sum(counts)
        )


def intensities(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """Images of numbers, and of more than one."""
    for file in facts.images:
        if file.not_finite:
            yield finding(
                "not-finite",
                case=facts.case.id,
                file=file.path,
                expected="numbers",
                got=f"{file.not_finite} voxels",
            )
        if file.constant:
            names = dataset.channels if len(facts.images) == 1 else (file.path.name,)
            got = ", ".join(names[k] if k < len(names) else f"channel {k + 1}" for k in file.constant)
            yield finding("constant", case=facts.case.id, file=file.path, expected="varied values", got=got)


def mask(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """Masks of whole, declared values, with something in them."""
    file = facts.mask
    if file is None or file.header is None:
        return
    case = facts.case.id
    if file.problem is not None:
        yield finding(
            "labels-impossible",
            case=case,
            file=file.path,
            expected="whole numbers from 0 to 65535",
            got=f"{file.problem.what}" + (f": {file.problem.got}" if file.problem.got is not None else ""),
            fix=file.problem.fix,
        )
        return
    if file.header.channels != 1:
        yield finding(
            "labels-impossible", case=case, file=file.path, expected="one channel", got=file.header.channels
        )
    known = {BACKGROUND, *dataset.labels.values, dataset.labels.ignore}
    if not known.issuperset(file.values):
        yield finding(
            "labels-undeclared",
            case=case,
            file=file.path,
            expected=f"0 and {list(dataset.labels.values)}",
            got=sorted(set(file.values) - known)[:20],
        )
    if file.header.dtype.kind == "f":
        yield finding(
            "labels-float", case=case, file=file.path, expected="an integer type", got=file.header.dtype
        )
    if file.values == (BACKGROUND,):
        yield finding("mask-empty", case=case, file=file.path, expected="some voxels above 0")


CASE_RULES: Sequence[Callable[[CaseFacts, Dataset], Iterator[Finding]]] = (
    missing,
    unreadable,
    positions,
    grids,
    channels,
    intensities,
    mask,
)
"""What is asked of every case by itself."""
