"""The history of a run: a row from time to time, in a file that a kill leaves readable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt

from calque.errors import InputError, ResourceError
from calque.io import write_text_atomic
from calque.value import Value


class HistoryRow(Value):
    """One line of history.jsonl.

    Args:
        step: steps done.
        seconds: time that training has taken.
        loss: mean since the row before; None where it was not finite.
        rate: the learning rate.
        dice: on rows with a validation: Dice per class, overlap pooled over the validation cases.
        event: what happened: less memory, a lower rate, more cases, an early end.
    """

    step: NonNegativeInt
    seconds: NonNegativeFloat
    loss: float | None
    rate: NonNegativeFloat
    dice: dict[str, float] | None = None
    event: str | None = None


class History:
    """The rows of history.jsonl; each is written when it is added, so that a killed run keeps them."""

    def __init__(self, path: Path, rows: Iterable[HistoryRow] = ()) -> None:
        self._path = path
        self.rows = list(rows)
        self._whole = False
        self._rewrite()

    def add(self, row: HistoryRow) -> None:
        """Append a row, in memory and on disk.

        Raises:
            ResourceError: the disk is full; the row is kept, and written with the next one.
        """
        self.rows.append(row)
        if not self._whole:
            self._rewrite()
            return
        self._whole = False
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(row.model_dump_json() + "\n")
        except OSError as problem:
            raise ResourceError("The history cannot be written", where=self._path, got=problem) from problem
        self._whole = True

    def cut(self, step: int) -> None:
        """Forget the rows after `step`: the run goes on from there.

        Raises:
            ResourceError: the disk is full.
        """
        self.rows = [row for row in self.rows if row.step <= step]
        self._rewrite()

    def _rewrite(self) -> None:
        self._whole = False
        write_text_atomic(self._path, "".join(row.model_dump_json() + "\n" for row in self.rows))
        self._whole = True


def read_history(path: Path, until: int | None = None) -> tuple[HistoryRow, ...]:
    """Rows up to step `until`; a last line that was cut off by a kill is left out.

    Raises:
        InputError: another line is not a row.
    """
    return tuple(row for row in _rows(path) if until is None or row.step <= until)


def _rows(path: Path) -> Iterator[HistoryRow]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for line in lines:
        if line.endswith("\n"):
            yield HistoryRow.from_json(line, where=path, error=InputError)
