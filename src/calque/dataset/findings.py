"""What `check` can say: `Finding`, `CheckReport`, and the table of kinds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calque.value import Value

Severity = Literal["error", "warning"]


class Finding(Value):
    """One thing that is wrong, or looks so.

    Args:
        name: the kind, a key of `KINDS`.
        severity: an "error" stops training on the case; a "warning" asks for a look.
        what: the kind in words.
        case: its id; None for the dataset as a whole.
        file: which file.
        expected: what would have been right.
        got: what was found.
        fix: what to do.
    """

    name: str
    severity: Severity
    what: str
    case: str | None = None
    file: Path | None = None
    expected: str | None = None
    got: str | None = None
    fix: str | None = None


class CheckReport(Value):
    """All findings on a dataset.

    Args:
        dataset: its name.
        cases: ids of the cases that were looked at.
        findings: errors first, then in the order of cases.
    """

    dataset: str
    cases: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops training."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What asks for a look."""
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def summary(self) -> dict[str, int]:
        """Kind -> how many findings, the most frequent first."""
        return dict(Counter(f.name for f in self.findings).most_common())

    @property
    def failing(self) -> tuple[str, ...]:
        """Ids of the cases with an error, in the dataset's order."""
        named = {f.case for f in self.errors}
        return tuple(case for case in self.cases if case in named)


@dataclass(frozen=True)
class Kind:
    """What findings of one name have in common."""

    severity: Severity
    what: str
    fix: str | None


KINDS: dict[str, Kind] = {
    "image-missing": Kind(
        "error", "The image is not there", "restore the file, or take the case out of the list"
    ),
    "mask-missing": Kind("error", "The mask is not there", "restore the file, or take it out of the list"),
    "not-annotated": Kind("warning", "The case has no mask, so it is not trained on", "add a mask"),
    "truncated": Kind("error", "The file ends before its data do", "copy or download it again"),
    "unreadable": Kind("error", "The file cannot be read", "export it again"),
    "no-position": Kind("error", "The header gives no usable position in the patient", "mend the header"),
    "positions-disagree": Kind(
        "warning", "The header gives two different positions (sform and qform)", "see which is right"
    ),
    "grids-differ": Kind(
        "error", "Files of the case do not lie on the same grid", "resample one onto the grid of the other"
    ),
    "grids-nearly-equal": Kind(
        "error",
        "Grids of the case differ by a fraction of a voxel",
        "copy the image's header to the other file",
    ),
    "channels": Kind("error", "The case does not have the dataset's channels", "mend the list of channels"),
    "not-finite": Kind("error", "The image holds NaN or infinity", "replace these voxels"),
    "constant": Kind("error", "A channel has one value everywhere", "export the image again"),
    "labels-impossible": Kind("error", "The mask holds values that cannot be labels", "mend the mask"),
    "labels-undeclared": Kind(
        "error",
        "The mask holds values that are not declared",
        "declare them in the dataset's labels, or mend the mask",
    ),
    "labels-float": Kind(
        "warning",
        "The mask is stored as floats; all are whole and are read as integers",
        "export masks as integers: other programs refuse floats",
    ),
    "mask-empty": Kind("warning", "The mask is empty", "see whether nothing is there to be marked"),
    "class-absent": Kind("error", "No mask holds this class", "take it out of the labels, or annotate it"),
    "class-rare": Kind("warning", "Few patients have this class", "annotate more of it"),
    "orientation": Kind("warning", "The orientation is unlike the other cases'", "look at it in a viewer"),
    "spacing": Kind("warning", "The spacing is unlike the other cases'", "see whether its unit is right"),
    "duplicate": Kind(
        "warning", "Two cases have the same image", "remove one, or give both the same patient"
    ),
}
"""Name -> what it means and how bad it is."""


def finding(
    name: str,
    *,
    case: str | None = None,
    file: Path | None = None,
    expected: object = None,
    got: object = None,
    fix: str | None = None,
) -> Finding:
    """A finding of this kind; `fix` replaces the kind's own."""
    kind = KINDS[name]
    return Finding(
        name=name,
        severity=kind.severity,
        what=kind.what,
        case=case,
        file=file,
        expected=None if expected is None else str(expected),
        got=None if got is None else str(got),
        fix=fix or kind.fix,
    )
