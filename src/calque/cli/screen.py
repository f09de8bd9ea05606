"""What a verb writes to: the terminal, and JSON for machines."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from calque.cli.progress import Bars, Lines

_PLAIN_WIDTH = 132


class Screen:
    """The terminal of one verb.

    Args:
        json_file: where the result goes as JSON; "-" is stdout, and then people read stderr.
    """

    def __init__(self, json_file: str | None = None) -> None:
        self._json_file = json_file
        stream = sys.stderr if json_file == "-" else sys.stdout
        self.console = Console(file=stream, width=None if stream.isatty() else _PLAIN_WIDTH)
        self.progress: Bars | Lines = Bars(self.console) if self.console.is_terminal else Lines(self.console)

    def say(self, message: str = "") -> None:
        """One line, not broken in the middle of a path."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; numbers are for the caller to format."""
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in header:
            table.add_column(column, overflow="fold", style=None if column != header[0] else "bold")
        for row in rows:
            table.add_row(*(_escaped(cell) for cell in row))
        self.console.print(table)

    def json(self, result: object) -> None:
        """Write `result` if the user asked for JSON."""
        if self._json_file is None:
            return
        text = json.dumps(plain(result), indent=2, ensure_ascii=False, allow_nan=False)
        if self._json_file == "-":
            sys.stdout.write(text + "\n")
            return
        from calque.io.atomic import atomic_path

        with atomic_path(Path(self._json_file)) as path:
            path.write_text(text + "\n", encoding="utf-8")


def _escaped(cell: object) -> str:
    from rich.markup import escape

    return escape(str(cell))


def plain(value: Any) -> Any:
    """`value` in the types of JSON: dataclasses and pydantic models become objects, NaN becomes null."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif hasattr(value, "tolist"):  # numpy, without importing it
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, (Path, Exception)) else value
