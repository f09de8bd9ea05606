"""What is asked of the files of a case, their grids and the scan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calque.dataset.doctor.facts import CaseFacts, FileFacts
from calque.dataset.doctor.findings import Finding, finding
from calque.dataset.model import Dataset
from calque.dataset.reading import overlaps
from calque.errors import GeometryError, TruncatedError
from calque.geometry import Grid
from calque.io import FORMATS

NEARLY = 0.1
"""Grids closer than this part of a voxel were meant to be equal; `Grid.isclose` says which are."""

SKEWED = 1e-4
"""Cosine between two axes from which they are not at right angles: headers round at about 1e-6."""

TINY_SKEW = 0.02
"""Up to this cosine it is noise of rounding or export; beyond, a gantry was tilted."""

SPACINGS = (1e-3, 100.0)
"""Millimetres that a voxel's edge can have in medicine, microscopes included."""

LONGEST = 3000.0
"""Millimetres: nobody is scanned over a greater length."""


def missing(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Listed files that are not there, and cases that list no mask."""
    for file in facts.images:
        if file.missing:
            yield finding("image-missing", case=facts.case.id, file=file.path)
    for file in facts.masks:
        if file.missing:
            yield finding("mask-missing", case=facts.case.id, file=file.path)
    if not facts.masks and facts.case.split != "test":
        yield finding("not-annotated", case=facts.case.id)


def unreadable(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Files that no reader makes sense of, or whose name says another format than their content."""
    for file in facts.files:
        if file.belied is not None:
            yield finding(
                "wrong-suffix",
                case=facts.case.id,
                file=file.path,
                expected=f"the content of {file.path.name}",
                got=f"the content of a {file.belied} file",
                fix=f"give it the suffix {file.belied}",
                repairable=file.belied in FORMATS,
            )
        elif file.problem is not None and file.header is None:
            yield _unreadable(facts, file)


def _unreadable(facts: CaseFacts, file: FileFacts) -> Finding:
    problem = file.problem
    assert problem is not None  # noqa: S101 - told by the caller
    name = "unreadable"
    if isinstance(problem, TruncatedError):
        name = "truncated"
    elif isinstance(problem, GeometryError):
        name = "no-position"
    return finding(
        name,
        case=facts.case.id,
        file=file.path,
        expected=problem.expected,
        got=problem.what if problem.got is None else f"{problem.what}: {problem.got}",
        fix=problem.fix,
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
                repairable=True,
            )


def directions(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Axes at right angles: many programs, ITK among them, refuse others."""
    seen: list[Grid] = []
    for file in facts.files:
        if file.header is None or (skew := skew_of(file.header.grid)) <= SKEWED:
            continue
        if any(file.header.grid.isclose(grid) for grid in seen):
            continue  # the mask has the image's fault: said once
        seen.append(file.header.grid)
        yield finding(
            "direction-skewed",
            case=facts.case.id,
            file=file.path,
            expected="right angles",
            got=f"{90 - np.degrees(np.arcsin(skew)):.3f} degrees between two axes",
            repairable=skew <= TINY_SKEW,
        )


def skew_of(grid: Grid) -> float:
    """The largest cosine between two axes of the array; 0 where all are at right angles."""
    product = grid.direction.T @ grid.direction
    return float(np.abs(product - np.diag(np.diag(product))).max())


def spacings(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Sizes of voxels and scans that can be: metres or micrometres taken for millimetres are not."""
    for file in facts.images:
        if file.header is not None and absurd(file.header.grid):
            spacing = " x ".join(f"{s:.4g}" for s in file.header.grid.spacing)
            yield finding(
                "spacing-absurd",
                case=facts.case.id,
                file=file.path,
                expected=f"{SPACINGS[0]:g} to {SPACINGS[1]:g} mm, and at most {LONGEST:g} mm along an axis",
                got=f"{file.header.grid.shape} voxels of {spacing} mm",
            )


def absurd(grid: Grid) -> bool:
    """Whether voxels or extent are of a size that no scan has; pictures may be of any extent."""
    spacing = np.array(grid.spacing)
    wrong = (spacing < SPACINGS[0]) | (spacing > SPACINGS[1])
    extent = spacing * grid.shape
    return bool(wrong.any() or (min(grid.shape) > 1 and extent.max() > LONGEST))


def grids(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Images and mask of a case share one grid."""
    readable = [(file, file.header.grid) for file in facts.files if file.header is not None]
    for file, grid in readable[1:]:
        first, reference = readable[0]
        if grid.isclose(reference):
            continue
        near = grid.isclose(reference, NEARLY)
        name = "grids-nearly-equal" if near else "grids-differ"
        if not near and file in facts.images and overlaps(grid, reference):
            name = "channels-resampled"
        yield finding(
            name,
            case=facts.case.id,
            file=file.path,
            expected=f"as {first.path.name}: {_describe(reference)}",
            got=_describe(grid),
            repairable=near,
        )


def _describe(grid: Grid) -> str:
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
    """Images of numbers, of more than one, and without letters."""
    for file in facts.images:
        scan = file.scan
        if scan is None:
            continue
        if scan.not_finite:
            inside = scan.not_finite_inside
            where = "" if inside is None else f", {inside} of them in the mask"
            yield finding(
                "not-finite",
                case=facts.case.id,
                file=file.path,
                expected="numbers",
                got=f"{scan.not_finite} voxels{where}",
                repairable=inside == 0,
            )
        if scan.constant:
            names = dataset.channels if len(facts.images) == 1 else (file.path.name,)
            got = ", ".join(names[k] if k < len(names) else f"channel {k + 1}" for k in scan.constant)
            yield finding("constant", case=facts.case.id, file=file.path, expected="varied values", got=got)
        if scan.lettered:
            yield finding("burned-in-text", case=facts.case.id, file=file.path, expected="no letters")
