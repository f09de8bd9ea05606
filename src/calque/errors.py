"""What can go wrong, as a tree.

CalqueError
├── InputError            something the user gave cannot be used
│   ├── ReadError         a file is missing, damaged or not what its name says
│   │   └── TruncatedError  it ends before its data do
│   ├── GeometryError     a grid is impossible, or two grids disagree
│   ├── LabelError        a mask holds values that nobody declared
│   └── DatasetError      a folder is not a dataset, or a case is incomplete
├── PlanError             a plan contradicts itself or the data
├── ModelError            a .calque file is damaged, unknown or does not fit the input
├── ResourceError         not enough memory, disk or time
├── TrainingError         training cannot go on
└── MissingExtraError     an optional part is not installed
"""

from __future__ import annotations


class CalqueError(Exception):
    """An error that says what, where, what was expected, what was found and how to mend it.

    Args:
        what: one sentence, without the details below.
        where: file, folder or case.
        expected: what would have been right.
        got: what was found instead.
        fix: what the user can do.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        details = {"where": self.where, "expected": self.expected, "got": self.got, "fix": self.fix}
        lines = [f"  {name}: {value}" for name, value in details.items() if value is not None]
        return "\n".join([self.what, *lines])


class InputError(CalqueError):
    """Something the user gave cannot be used."""


class ReadError(InputError):
    """A file is missing, damaged or not what its name says."""


class TruncatedError(ReadError):
    """A file ends before its data do: an interrupted copy or download."""


class GeometryError(InputError):
    """A grid is impossible, or two grids disagree."""


class LabelError(InputError):
    """A mask holds values that nobody declared, or labels contradict each other."""


class DatasetError(InputError):
    """A folder is not a dataset, or a case is incomplete."""


class PlanError(CalqueError):
    """A plan contradicts itself or the data."""


class ModelError(CalqueError):
    """A model file is damaged, of an unknown version, or does not fit the input."""


class ResourceError(CalqueError):
    """Not enough memory, disk or time."""


class TrainingError(CalqueError):
    """Training cannot go on."""


class MissingExtraError(CalqueError):
    """An optional part is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"{module} is needed for this and is not installed",
            fix=f'pip install "calque[{extra}]"',
        )
        self.module = module
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.module, self.extra)
