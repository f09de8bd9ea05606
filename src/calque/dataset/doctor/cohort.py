"""What is asked of all cases of a dataset together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from calque.dataset.doctor.facts import CaseFacts
from calque.dataset.doctor.findings import Finding, finding
from calque.dataset.doctor.image_rules import absurd
from calque.dataset.doctor.placement import SUSPECT, suspicion
from calque.dataset.doctor.structure_rules import modalities
from calque.dataset.model import Dataset
from calque.labels import PLAIN

ENOUGH = 5
"""Fewer cases than this have no "rest" to differ from; a class in fewer patients than this is rare."""

USUAL = 0.9
"""An orientation that this part of the cases share is the usual one."""

FEW_VOXELS = 10
"""A class smaller than this in the median case is tiny."""

CUT_OFF = 0.01
"""More voxels than this part at the highest value were brighter once."""

VOID = 0.95
"""A mask with more than this part on the image's lowest value lies on nothing."""

FAR = 5.0
"""A case this many times as far from its neighbours as is usual is unlike the rest."""

UNLIKE = 3.0
"""A spacing or extent this many times larger or smaller than that of other cases stands out."""

OTHER_UNIT = 5.0
"""So does a spread of intensities this many times as wide."""

OFFSET = 1.0
"""And so do intensities moved by this part of their spread."""


def classes(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    """Every class is there, in patients enough that each of five folds can have one."""
    readable = [
        (f.case.patient, f.sizes(dataset))
        for f in facts
        if f.case.split != "test" and any(file.mask and file.mask.counts for file in f.masks)
    ]
    if not readable:
        return
    patients = {patient for patient, _ in readable}
    for label in dataset.labels.classes:
        sizes = {patient: counts[label.value] for patient, counts in readable if label.value in counts}
        having = set(sizes)
        if not having:
            yield finding(
                "class-absent", expected=f"{label.name} ({label.value}) in some mask", got="in none"
            )
        elif len(having) < min(ENOUGH, len(patients)):
            yield finding(
                "class-rare",
                expected=f"{label.name} ({label.value}) in at least {ENOUGH} patients",
                got=f"in {len(having)} of {len(patients)}",
            )
        if sizes and np.median(list(sizes.values())) < FEW_VOXELS:
            yield finding(
                "class-tiny",
                expected=f"{label.name} ({label.value}) in at least {FEW_VOXELS} voxels of a case",
                got=f"{np.median(list(sizes.values())):g} voxels in the median case that has it",
            )


def values(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    """Declared values 1, 2, 3, ...: Calque takes others, most programs do not."""
    declared = dataset.labels.values
    if sorted(declared) != list(range(1, len(declared) + 1)):
        yield finding(
            "labels-gaps",
            expected=list(range(1, len(declared) + 1)),
            got=list(declared),
            repairable=dataset.rule.coding == PLAIN and not any(fact.case.parts for fact in facts),
        )


def orientation(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """A case that lies otherwise than nearly all others may have a wrong header."""
    found = {f.case.id: (f, f.headers[0].grid.orientation) for f in facts if f.headers}
    if len(found) < ENOUGH:
        return
    ((usual, count),) = Counter(codes for _, codes in found.values()).most_common(1)
    if count < USUAL * len(found):
        return
    for case, (fact, codes) in found.items():
        if codes != usual:
            yield finding(
                "orientation",
                case=case,
                file=fact.images[0].path,
                expected=f"{usual}, as in {count} of {len(found)} cases",
                got=codes,
            )


def extents(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Voxels far finer or coarser than the others' may be in another unit, or none; else a volume far longer
    or shorter may show something else.
    """
    found = [f for f in facts if f.headers and not absurd(f.headers[0].grid)]
    if len(found) < ENOUGH:
        return
    grids = [f.headers[0].grid for f in found]
    # Sorted, since array axes may stand for other axes of the patient in another case.
    voxels = np.log([sorted(g.spacing) for g in grids])
    lengths = np.log([sorted(np.array(g.shape) * g.spacing) for g in grids])
    coarse = isolated(voxels, np.log(UNLIKE))
    volumes = np.sum(lengths, axis=1, keepdims=True)
    long = isolated(np.hstack([lengths, volumes]), np.log(UNLIKE)) & ~coarse
    for name, sizes, far in (("spacing", voxels, coarse), ("shape", lengths, long)):
        usual = np.exp(np.median(sizes, axis=0))
        for fact, size in ((f, s) for f, s, unlike in zip(found, sizes, far, strict=True) if unlike):
            yield finding(
                name,
                case=fact.case.id,
                file=fact.images[0].path,
                expected=f"about {_millimetres(usual)}",
                got=_millimetres(np.exp(size)),
            )


def _millimetres(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{s:.4g}" for s in sizes) + " mm, shortest first"


def intensity(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    """A scan whose values lie elsewhere, or are spread otherwise, may be in another unit."""
    count = len(dataset.channels)
    scans = [(f, [s for file in f.images if file.scan for s in file.scan.spreads]) for f in facts]
    found = [(f, spreads) for f, spreads in scans if len(spreads) == count and all(s.width for s in spreads)]
    if len(found) < ENOUGH:
        return
    middle = np.median([[s.middle for s in spreads] for _, spreads in found], axis=0)
    for k in range(count):
        widths = np.log([[spreads[k].width] for _, spreads in found])
        offsets = np.array([[spreads[k].middle / spreads[k].width] for _, spreads in found])
        far = isolated(widths, np.log(OTHER_UNIT)) | isolated(offsets, OFFSET)
        for fact, spreads in (pair for pair, unlike in zip(found, far, strict=True) if unlike):
            yield finding(
                "intensity",
                case=fact.case.id,
                file=fact.images[min(k, len(fact.images) - 1)].path,
                expected=f"{dataset.channels[k]} about {middle[k]:.4g}",
                got=f"{spreads[k].low:.4g} to {spreads[k].high:.4g}, median {spreads[k].middle:.4g}",
            )


def clipped(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Scans cut off at the top, unless all of them are: a white ground of pictures is no damage."""
    scans = [(f, file, file.scan) for f in facts for file in f.images if file.scan and not file.scan.constant]
    usual = float(np.percentile([scan.top for _, _, scan in scans], 75)) if len(scans) >= ENOUGH else 0.0
    for fact, file, scan in scans:
        certain = scan.top_is_end or len(scans) >= ENOUGH
        if certain and scan.top > max(CUT_OFF, 5 * usual):
            yield finding(
                "clipped",
                case=fact.case.id,
                file=file.path,
                expected=f"at most {CUT_OFF:.0%} of the voxels at the highest value",
                got=f"{scan.top:.1%}",
            )


def misplaced(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Masks that lie on the empty ground, or on other things than the rest do."""
    placed = [(f, f.placement) for f in facts if f.placement is not None]
    scores = suspicion([placement for _, placement in placed])
    for (fact, placement), score in zip(placed, scores, strict=True):
        if any(file.mask is not None and file.mask.blurred for file in fact.masks):
            continue  # its values mean nothing
        file = fact.masks[0].path
        if placement.void > VOID:
            got = f"{placement.void:.0%} of the mask where the image has its lowest value"
            yield finding("mask-misplaced", case=fact.case.id, file=file, got=got)
        elif score < SUSPECT:
            got = f"{-score:.1f} robust standard deviations away from the other masks"
            yield finding(
                "mask-misplaced", case=fact.case.id, file=file, expected=f"at most {-SUSPECT:g}", got=got
            )


def duplicates(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """The same voxels under two names: in training and in validation they would flatter the scores."""
    first: dict[tuple[bytes, ...], CaseFacts] = {}
    for fact in facts:
        key = tuple(file.scan.digest if file.scan else b"" for file in fact.images)
        if not all(key) or any(file.scan is None or file.scan.constant for file in fact.images):
            continue
        other = first.setdefault(key, fact)
        if other is fact:
            continue
        across = (other.case.split == "test") != (fact.case.split == "test")
        named, kept = (other, fact) if across and fact.case.split == "test" else (fact, other)
        yield finding(
            "duplicate-across-split" if across else "duplicate",
            case=named.case.id,
            file=named.images[0].path,
            expected="each image once",
            got=f"the voxels of {kept.case.id}",
            repairable=across or not named.masks or _mask_digests(named) == _mask_digests(kept),
        )


def _mask_digests(fact: CaseFacts) -> list[bytes | None]:
    return [None if file.mask is None else file.mask.digest for file in fact.masks]


def patients(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:  # noqa: ARG001
    """Nobody is trained on and tested on."""
    tested = {f.case.patient for f in facts if f.case.split == "test"}
    for fact in facts:
        if fact.case.split != "test" and fact.case.patient in tested:
            yield finding(
                "patient-across-split",
                case=fact.case.id,
                file=fact.images[0].path,
                expected=f"patient {fact.case.patient} on one side",
                got="in training and in test",
            )


def isolated(values: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """(case,) of (case, figure): who is far from the rest in some figure.

    A case is, where its k-th nearest neighbour (k: a twentieth of all, at least two) is farther away than
    `least` and than five times what is usual. So two scanners in one cohort are two groups and neither is
    wrong, and a long tail is not a crowd of outliers, as it would be by distances from the median.
    """
    count = len(values)
    k = min(max(2, count // 20), count - 1)
    found = np.zeros(count, dtype=bool)
    for column in values.T:
        order = np.argsort(column)
        x = column[order]
        nearest = np.full(count, np.inf)
        for left in range(k + 1):  # the window of k + 1 cases that has `left` cases on the left of this one
            i = np.arange(left, count - k + left)
            nearest[i] = np.minimum(nearest[i], np.maximum(x[i] - x[i - left], x[i - left + k] - x[i]))
        found[order] |= nearest > max(least, FAR * float(np.median(nearest)))
    return found


COHORT_RULES: Sequence[Callable[[Sequence[CaseFacts], Dataset], Iterator[Finding]]] = (
    classes,
    values,
    orientation,
    extents,
    intensity,
    clipped,
    misplaced,
    duplicates,
    patients,
    modalities,
)
"""What is asked of the dataset as a whole."""
