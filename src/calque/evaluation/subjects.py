"""A table about cases or patients: who belongs together, and which files belong together."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calque.errors import InputError, ReadError

CASE, PATIENT, PREDICTED, TRUTH, ANNOTATED = "case", "patient", "predicted", "truth", "annotated"
IMAGE = "image"
NOT_GIVEN = "not given"
"""The subgroup of cases that have no row, or an empty cell."""

_MOST = 24  # values of a column that are subgroups; more must be numbers, or mean something else
_FEW = 6  # distinct numbers that stay as they are; more are cut at their thirds


@dataclass(frozen=True)
class Subjects:
    """Rows of a CSV file.

    Args:
        path: of the file.
        columns: names, as in its first row.
        rows: by column.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    @property
    def patients(self) -> dict[str, str]:
        """Case -> patient, where the table has both columns."""
        if not {CASE, PATIENT} <= set(self.columns):
            return {}
        return {row[CASE]: row[PATIENT] for row in self.rows if row[PATIENT]}

    @property
    def annotated(self) -> dict[str, tuple[str, ...]]:
        """Case -> the classes that were looked for (with ; between them), where these are not all."""
        if not {CASE, ANNOTATED} <= set(self.columns):
            return {}
        found = {
            row[CASE]: tuple(n.strip() for n in row[ANNOTATED].split(";") if n.strip()) for row in self.rows
        }
        return {case: names for case, names in found.items() if names}

    def groups(self, cases: Sequence[tuple[str, str]]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Column -> value -> names of cases, for every column that is no name and no file.

        Numbers of more than six values are cut at their thirds.

        Args:
            cases: (case, patient) of each.

        Raises:
            InputError: the table knows none of the cases, or a column has too many values.
        """
        key = CASE if CASE in self.columns else PATIENT
        rows = {row[key]: row for row in self.rows}
        own = {case: rows.get(case if key == CASE else patient) for case, patient in cases}
        if not any(row is not None for row in own.values()):
            raise InputError(
                f"The table names none of the {key}s that were scored",
                where=self.path,
                expected=", ".join(dict.fromkeys(c if key == CASE else p for c, p in cases[:3])) + ", ...",
                got=", ".join(list(rows)[:3]) + ", ...",
            )
        found = {}
        for column in self.columns:
            if not _names(column):
                cells = {case: "" if row is None else row[column] for case, row in own.items()}
                found[column] = self._split(column, cells)
        return found

    def _split(self, column: str, cells: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        values = {cell for cell in cells.values() if cell}
        names = {value: value for value in values}
        if len(values) > _FEW and (thirds := _thirds(values, list(cells.values()))):
            names = thirds
        elif len(values) > _MOST:
            raise InputError(
                "This column has too many values for subgroups",
                where=f"{self.path}, column {column}",
                got=f"{len(values)} values",
                expected=f"numbers, or at most {_MOST} values",
                fix="leave the column out",
            )
        groups: dict[str, list[str]] = {
            name: [] for name in dict.fromkeys(names[v] for v in sorted(values, key=_rank))
        }
        for case, cell in cells.items():
            groups.setdefault(names.get(cell, NOT_GIVEN), []).append(case)
        return {name: tuple(members) for name, members in groups.items() if members}


def read_subjects(path: Path | str) -> Subjects:
    """Read a CSV file with a header; commas, semicolons or tabs between cells.

    Raises:
        ReadError: it cannot be read.
        InputError: it has neither a column "case" nor "patient", a name twice, or rows of another length.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ReadError("Cannot read this table", where=path, got=problem) from None
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator) if any(row)]
    columns = tuple(cells[0]) if cells else ()
    if not {CASE, PATIENT} & set(columns) or len(set(columns)) != len(columns):
        raise InputError(
            "A table about cases has a column case or patient, and each column once",
            where=path,
            got=", ".join(columns) or "nothing",
        )
    wrong = [number for number, row in enumerate(cells, start=1) if len(row) != len(columns)]
    if wrong:
        raise InputError("A row has more or fewer cells than the header", where=f"{path}, row {wrong[0]}")
    rows = tuple(dict(zip(columns, row, strict=True)) for row in cells[1:])
    key = CASE if CASE in columns else PATIENT
    twice = {row[key] for row in rows if sum(other[key] == row[key] for other in rows) > 1}
    if twice:
        raise InputError(f"A {key} stands twice in this table", where=path, got=sorted(twice)[0])
    return Subjects(path, columns, rows)


def _names(column: str) -> bool:
    """Whether it names cases, files or classes, as in a dataset's manifest, and makes no subgroups."""
    known = (CASE, PATIENT, PREDICTED, TRUTH, ANNOTATED, IMAGE, "label")
    return column in known or column.startswith(("image:", "label:"))


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _rank(cell: str) -> tuple[float, str]:
    """Numbers by size, then words by alphabet."""
    value = _number(cell)
    return (np.inf if value is None else value, cell)


def _thirds(values: set[str], cells: Sequence[str]) -> dict[str, str] | None:
    """Cell -> "up to A", "A to B", "above B"; None where a cell is no number, or thirds coincide."""
    numbers = {cell: _number(cell) for cell in values}
    known = [v for cell in cells if cell and (v := numbers[cell]) is not None]
    if any(v is None for v in numbers.values()):
        return None
    low, high = (float(q) for q in np.quantile(known, (1 / 3, 2 / 3), method="inverted_cdf"))
    if low == high:
        return None
    names = (f"≤ {low:g}", f"> {low:g}, ≤ {high:g}", f"> {high:g}")
    return {
        cell: names[0 if v <= low else 1 if v <= high else 2] for cell, v in numbers.items() if v is not None
    }
