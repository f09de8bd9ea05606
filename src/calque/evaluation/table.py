"""Scores as CSV, for spreadsheets and statistics programs: one row per case and class."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from calque.errors import InputError, ReadError
from calque.evaluation.scores import CaseScore, ClassScore, Scores
from calque.io.atomic import write_text_atomic

_FIXED = ("case", "patient", "class", "state")


def write_csv(scores: Scores, path: Path | str) -> None:
    """Columns case, patient, class, state and one per metric; a missing value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_FIXED, *scores.metrics))
    for case in scores.cases:
        for name, score in case.classes.items():
            values = ("" if (v := score.values[m]) is None else repr(v) for m in scores.metrics)
            writer.writerow((case.case, case.patient, name, score.state, *values))
    write_text_atomic(Path(path), text.getvalue())


def read_csv(path: Path | str) -> tuple[CaseScore, ...]:
    """The cases of a file that `write_csv` wrote, every digit kept.

    Raises:
        ReadError: the file cannot be read.
        InputError: it is not such a table.
    """
    try:
        rows = list(csv.reader(Path(path).read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ReadError("Cannot read these scores", where=path, got=problem) from None
    if not rows or tuple(rows[0][: len(_FIXED)]) != _FIXED or any(len(r) != len(rows[0]) for r in rows):
        raise InputError("This is not a table of scores", where=path, expected=", ".join(_FIXED))
    metrics = rows[0][len(_FIXED) :]
    found: dict[tuple[str, str], dict[str, ClassScore]] = {}
    try:
        for case, patient, name, state, *cells in rows[1:]:
            values = {m: float(cell) if cell else None for m, cell in zip(metrics, cells, strict=True)}
            score = ClassScore.model_validate({"state": state, "values": values})
            found.setdefault((case, patient), {})[name] = score
    except ValueError as problem:
        raise InputError("This table of scores holds something else", where=path, got=problem) from None
    return tuple(CaseScore(case=c, patient=p, classes=classes) for (c, p), classes in found.items())
