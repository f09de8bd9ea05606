"""What a watcher wants to know, in a few words beside the bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from calque.training.curves import mean_dice
from calque.training.history import HistoryRow

MOST_CLASSES = 8


def line(
    step: int,
    loss: float,
    step_seconds: float | None,
    left: float | None,
    rows: Sequence[HistoryRow],
) -> str:
    """Step, loss, speed, time that is left and memory; on lines beneath, the last Dice of each class."""
    words = [f"step {step}", f"loss {loss:.3f}"]
    if step_seconds:
        words.append(f"{1 / step_seconds:.1f} steps/s" if step_seconds < 1 else f"{step_seconds:.1f} s/step")
    if left is not None:
        words.append(f"{clock_time(left)} left")
    peak = peak_memory()
    if peak is not None:
        words.append(f"{peak / 2**30:.1f} GB")
    seen = next((row for row in reversed(rows) if row.dice), None)
    if seen is None or seen.dice is None:
        return ", ".join(words)
    each = [f"{name} {value:.3f}" for name, value in list(seen.dice.items())[:MOST_CLASSES]]
    return ", ".join(words) + f"\nDice {mean_dice(seen):.3f} at step {seen.step}: " + ", ".join(each)


def clock_time(seconds: float) -> str:
    """ "1:05:09" or "4:30"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def peak_memory() -> int | None:
    """Bytes that this process held at its peak, with what a GPU held; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
