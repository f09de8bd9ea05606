"""What mends a finding: from the files of a case to new files, aside; the originals are never written to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from calque.dataset.doctor.checking import case_findings
from calque.dataset.doctor.facts import inspect
from calque.dataset.doctor.findings import Finding
from calque.dataset.doctor.remedies import MENDERS, Bench, in_words, mapped, written
from calque.dataset.model import Case
from calque.errors import DatasetError
from calque.io import (
    read_mask_volume,
)
from calque.io.reading import to_label_values
from calque.value import Value

_ROUNDS = 12
_BLOCK = 2**20


class Repair(Value):
    """One thing that was mended.

    Args:
        case: id.
        finding: what was wrong.
        file: the original file.
        before: what was found.
        after: what was done.
        sha256: of the original file.
        written: the file that replaces it; None where the case was left out.
        sha256_after: of that file, in the end.
    """

    case: str
    finding: str
    file: Path
    before: str
    after: str
    sha256: str
    written: Path | None = None
    sha256_after: str | None = None


@dataclass(frozen=True)
class Mended:
    """A case whose `case` lists the new files, and what was done to them."""

    case: Case
    repairs: tuple[Repair, ...] = ()


def mend(case: Case, bench: Bench) -> Mended:
    """Mend what can be mended in one case, one finding after the other, looking again after each.

    Raises:
        DatasetError: it does not come to an end, which is a fault of Calque.
    """
    made = Mended(case)
    for _ in range(_ROUNDS):
        facts = inspect(made.case, bench.dataset)
        found = [f for f in case_findings(facts, bench.dataset) if f.repairable]
        if not found:
            break
        first = min(found, key=lambda f: list(MENDERS).index(f.name))
        made = _noted(made, case, first, bench)
    else:
        raise DatasetError("This case cannot be mended", where=case.id, got=found[0].name)
    if bench.renumbered:
        made = _renumbered(made, case, bench)
    return replace(made, repairs=tuple(_sealed(repair) for repair in made.repairs))


def _noted(made: Mended, original: Case, found: Finding, bench: Bench) -> Mended:
    assert found.file is not None  # noqa: S101 - findings that are mended name a file
    new, what, written = MENDERS[found.name](made.case, found.file, bench)
    source = _origin(found.file, made.case, original)
    repair = Repair(
        case=original.id,
        finding=found.name,
        file=source,
        before=found.got or found.what,
        after=what,
        sha256=sha256(source),
        written=written,
    )
    # An earlier repair of the same file was written elsewhere if the suffix changed: all name the last one.
    earlier = [r.model_copy(update={"written": written}) if r.file == source else r for r in made.repairs]
    return Mended(new, (*earlier, repair))


def _origin(file: Path, case: Case, original: Case) -> Path:
    """The original of a file that may have been replaced already."""
    pairs = [*zip(case.images, original.images, strict=True), *zip(case.masks, original.masks, strict=True)]
    return dict(pairs)[file]


def _sealed(repair: Repair) -> Repair:
    after = None if repair.written is None else sha256(repair.written)
    return repair.model_copy(update={"sha256_after": after})


def sha256(path: Path) -> str:
    """Of the file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _renumbered(made: Mended, original: Case, bench: Bench) -> Mended:
    for file in made.case.masks:
        volume = read_mask_volume(file)
        values = mapped(to_label_values(volume.array, file), bench.renumbered)
        source = _origin(file, made.case, original)
        new, target = written(made.case, file, bench, values, volume.header.grid)
        repair = Repair(
            case=original.id,
            finding="labels-gaps",
            file=source,
            before=", ".join(map(str, bench.renumbered)),
            after=in_words(bench.renumbered),
            sha256=sha256(source),
            written=target,
        )
        made = Mended(new, (*made.repairs, repair))
    return made
