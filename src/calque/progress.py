"""How a stage tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move on by `amount`; `note` is a few words beside the bar (a case, a loss)."""


class Progress(Protocol):
    """Where stages report; the command line draws bars, the library is silent."""

    def task(self, name: str, total: float | None = None) -> AbstractContextManager[Task]:
        """Open a bar named `name` with `total` units (None: unknown)."""
        ...

    def say(self, message: str) -> None:
        """One line that stays on the screen."""


class _SilentTask:
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        pass


class Silent:
    """A `Progress` that shows nothing: the default of every stage."""

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:  # noqa: ARG002
        """A bar that nobody sees."""
        yield _SilentTask()

    def say(self, message: str) -> None:
        """Drop the line."""


SILENT = Silent()
