"""`calque.progress.Progress` on a terminal: bars; plain lines where nobody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from calque.progress import Task

_PLAIN_SECONDS = 10.0  # at most one plain line per task in this time


class _Bar:
    def __init__(self, bars: Progress, identity: TaskID) -> None:
        self._bars, self._identity = bars, identity

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move the bar."""
        if note:
            self._bars.update(self._identity, advance=amount, note=note)
        else:
            self._bars.update(self._identity, advance=amount)


class _Bars(Progress):
    """Bars, and beneath them what tasks have to say, which has the whole width of the terminal there."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(task.fields["note"], style="dim")


class Bars:
    """A bar for each open task; closed ones leave one line with the time they took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._open = 0
        self._bars: Progress | None = None

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        """Show a bar until the block ends."""
        started = time.monotonic()
        bars = self._begin()
        identity = bars.add_task(name, total=total, note="")
        try:
            yield _Bar(bars, identity)
        except BaseException:
            bars.remove_task(identity)
            raise
        else:
            bars.remove_task(identity)
            _line(self._console, f"[green]done[/green] {name}, {time.monotonic() - started:.1f} s")
        finally:
            self._end()

    def say(self, message: str) -> None:
        """Print above the bars."""
        _line(self._console, message, markup=False)

    def _begin(self) -> Progress:
        with self._lock:
            if self._bars is None:
                self._bars = _Bars(
                    SpinnerColumn(),
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    TaskProgressColumn(),
                    TimeElapsedColumn(),
                    TimeRemainingColumn(),
                    console=self._console,
                    transient=True,
                )
                self._bars.start()
            self._open += 1
            return self._bars

    def _end(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0 and self._bars is not None:
                self._bars.stop()
                self._bars = None


class _Counter:
    """Prints how far a task is, no more often than `_PLAIN_SECONDS`; may be called from many threads."""

    def __init__(self, name: str, total: float | None, write: Callable[[str], None]) -> None:
        self._name, self._total, self._write = name, total, write
        self._done, self._last = 0.0, time.monotonic()
        self._lock = threading.Lock()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count, and print now and then."""
        with self._lock:
            self._done += amount
            now = time.monotonic()
            if now - self._last < _PLAIN_SECONDS:
                return
            self._last = now
            far = f"{100 * self._done / self._total:.0f} %" if self._total else f"{self._done:g}"
        self._write(f"{self._name}: {far}{' ' + note if note else ''}")


class Lines:
    """One line when a task begins, one when it ends, and one now and then between."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        """Announce, count and close."""
        started = time.monotonic()
        self.say(f"{name} ...")
        yield _Counter(name, total, self.say)
        self.say(f"{name}: done, {time.monotonic() - started:.1f} s")

    def say(self, message: str) -> None:
        """Print the line."""
        _line(self._console, message, markup=False)


def _line(console: Console, message: str, *, markup: bool = True) -> None:
    console.print(message, markup=markup, highlight=False, soft_wrap=True)
