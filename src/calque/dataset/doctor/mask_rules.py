"""What is asked of the mask of a case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from calque.dataset.doctor.facts import CaseFacts, FileFacts
from calque.dataset.doctor.findings import Finding, finding
from calque.dataset.doctor.masks import MaskFacts
from calque.dataset.model import Dataset
from calque.labels import BACKGROUND

_WHITE = 255
_SHOWN = 20


def mask(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """Masks of whole, declared values in one channel, with something in them."""
    for file in facts.masks:
        if file.header is not None and file.mask is not None:
            yield from _mask(facts.case.id, file, file.mask, dataset)
    if facts.masks and all(f.mask and f.mask.values == (BACKGROUND,) for f in facts.masks):
        yield finding(
            "mask-empty", case=facts.case.id, file=facts.masks[0].path, expected="some voxels above 0"
        )


def _mask(case: str, file: FileFacts, found: MaskFacts, dataset: Dataset) -> Iterator[Finding]:
    coded = bool(dataset.rule.coding.colours)
    if file.header is not None and file.header.channels != 1 and not coded:
        yield _colours(case, file, found)
        if not found.grey:
            return
    if found.blurred:
        yield finding(
            "mask-blurred",
            case=case,
            file=file.path,
            expected="few values, each lying together",
            got=f"{found.strays} values scattered between {found.peaks} others",
        )
        return
    if file.problem is not None:
        yield finding(
            "mask-colours" if coded else "labels-impossible",
            case=case,
            file=file.path,
            expected="whole numbers from 0 to 65535",
            got=f"{file.problem.what}" + (f": {file.problem.got}" if file.problem.got is not None else ""),
            fix=file.problem.fix,
        )
        return
    yield from _values(case, file, found, dataset)


def _colours(case: str, file: FileFacts, found: MaskFacts) -> Finding:
    count = None if file.header is None else file.header.channels
    if found.grey:
        return finding(
            "mask-rgb",
            case=case,
            file=file.path,
            expected="one channel",
            got=f"{count} equal ones",
            repairable=True,
        )
    name = "mask-colours" if count in (3, 4) else "labels-impossible"
    return finding(name, case=case, file=file.path, expected="one channel", got=f"{count} that differ")


def _values(case: str, file: FileFacts, found: MaskFacts, dataset: Dataset) -> Iterator[Finding]:
    coding = dataset.rule.coding
    stored = tuple(value for value, _ in coding.values) or dataset.labels.values
    known = {BACKGROUND, *stored, dataset.labels.ignore}
    if file.stands_for is None and not known.issuperset(found.values):
        spread = None if coding.values else spread_map(found.values, dataset.labels.values)
        yield finding(
            "labels-undeclared" if spread is None else "labels-scaled",
            case=case,
            file=file.path,
            expected=f"0 and {list(stored)}",
            got=sorted(set(found.values) - known)[:_SHOWN],
            repairable=spread is not None,
        )
    if file.header is not None and file.header.dtype.kind == "f":
        yield finding(
            "labels-float",
            case=case,
            file=file.path,
            expected="an integer type",
            got=file.header.dtype,
            repairable=True,
        )


def spread_map(found: Sequence[int], declared: Sequence[int]) -> dict[int, int] | None:
    """Stored value -> declared value, where the stored ones are the classes spread evenly over 0 to 255.

    "Evenly" leaves room for how the spreading was rounded: 127, 127.5 and 128 are the middle. None where
    that does not explain every value, and where so many classes are declared that it would be a guess.
    """
    steps = len(declared)
    if not 1 <= steps <= 16 or tuple(sorted(declared)) != tuple(range(1, steps + 1)):
        return None
    mapping = {BACKGROUND: BACKGROUND}
    for value in found:
        number = round(value * steps / _WHITE)
        if abs(value - number * _WHITE / steps) > max(1.0, number) or (value and number < 1):
            return None
        mapping[value] = number
    injective = len(set(mapping.values())) == len(mapping)
    return mapping if injective and max(found) > max(declared) else None
