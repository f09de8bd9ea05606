"""What is asked of folders of DICOM, and of masks that are DICOM SEG or RTSTRUCT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from calque.dataset.doctor.facts import CaseFacts, FileFacts
from calque.dataset.doctor.findings import Finding, finding
from calque.dataset.layouts.dicom import MODALITY
from calque.dataset.model import Dataset
from calque.io.dicom.labelling import JOINED

_SHOWN = 8


def modalities(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    """Scans of one modality: the one channel of a series is normalised in one way."""
    if dataset.layout != "dicom":
        return
    seen = Counter(dict(fact.case.metadata).get(MODALITY, "none") for fact in facts)
    if len(seen) > 1:
        shown = ", ".join(f"{name}: {number} cases" for name, number in sorted(seen.items()))
        yield finding("modalities-mixed", expected="one modality", got=shown)


def structures(facts: CaseFacts, dataset: Dataset) -> Iterator[Finding]:
    """Structures that are all there, lie apart or have a rule, and were placed by reference."""
    for file in facts.masks:
        if file.drawn is None:
            continue
        case, path = facts.case.id, file.path
        yield from _overlaps(case, file)
        yield from _missing(facts, file, dataset)
        for name in dict.fromkeys(note.name for note in file.drawn.notes):
            said = [note.what for note in file.drawn.notes if note.name == name]
            yield finding(name, case=case, file=path, got="; ".join(said[:_SHOWN]))


def _missing(facts: CaseFacts, file: FileFacts, dataset: Dataset) -> Iterator[Finding]:
    """Classes without a structure, unless a manifest says that they were not looked for."""
    missing = () if file.drawn is None else file.drawn.missing
    looked_for = set(facts.case.annotated or dataset.labels.names)
    if not missing or (dataset.layout == "manifest" and not looked_for & set(missing)):
        return
    known = ", ".join(file.drawn.names[:_SHOWN]) if file.drawn is not None else ""
    lacking = ", ".join(missing[:_SHOWN])
    counted = "background" if looked_for & set(missing) else "unknown: neither trained on nor scored"
    yield finding(
        "structure-missing",
        case=facts.case.id,
        file=file.path,
        expected=lacking,
        got=f"no {lacking}, but {known or 'no structure'}; what is missing counts as {counted}",
    )


def _overlaps(case: str, file: FileFacts) -> Iterator[Finding]:
    undecided = () if file.drawn is None else file.drawn.undecided
    if undecided:
        yield finding(
            "structures-overlap",
            case=case,
            file=file.path,
            expected="a voxel has one label",
            got="; ".join(f"{' and '.join(o.names)}: {o.voxels} voxels" for o in undecided[:_SHOWN]),
            fix=f"in the manifest's table of labels, fill the column `priority`, or add a class "
            f'"{JOINED.join(undecided[0].names)}"',
        )
