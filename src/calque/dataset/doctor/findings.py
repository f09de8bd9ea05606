"""What `check` can say: `Finding` and `CheckReport`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from calque.dataset.doctor.kinds import KINDS, Severity
from calque.value import Value


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
        repairable: whether `repair` can mend it without guessing.
    """

    name: str
    severity: Severity
    what: str
    case: str | None = None
    file: Path | None = None
    expected: str | None = None
    got: str | None = None
    fix: str | None = None
    repairable: bool = False


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
    def repairable(self) -> tuple[Finding, ...]:
        """What `repair` can mend."""
        return tuple(f for f in self.findings if f.repairable)

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


def finding(  # noqa: PLR0913 - the fields of a finding, by name
    name: str,
    *,
    case: str | None = None,
    file: Path | None = None,
    expected: object = None,
    got: object = None,
    fix: str | None = None,
    repairable: bool = False,
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
        repairable=repairable,
    )
