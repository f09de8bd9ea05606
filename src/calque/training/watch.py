"""What goes on beside the steps: history, quick validation, checkpoints, curves, words to the user."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from torch import Tensor

from calque.errors import ModelError
from calque.labels import Labels
from calque.progress import Progress
from calque.training.curves import draw_curves, mean_dice, sparkline
from calque.training.loop import Hooks, diverged
from calque.training.run import FoldFolder, History, HistoryRow, read_history
from calque.training.state import TrainingState, save_state

CHECKPOINT_SECONDS = 60.0
LOOKS = 12
"""Quick validations in a run, at most."""
SHARE = 0.04
"""Share of the time that quick validations may take."""

Validator = Callable[[dict[str, Tensor]], dict[str, float]]


class Watch:
    """Stands beside the loop; as a context manager it saves the state however the loop ends.

    Args:
        state: what is trained.
        labels: names and colours of the curves.
        folder: of the fold.
        validate: the quick validation; it changes nothing in the state.
        progress: the bar and the lines.
    """

    def __init__(
        self,
        state: TrainingState,
        labels: Labels,
        folder: FoldFolder,
        validate: Validator,
        progress: Progress,
    ) -> None:
        self._state, self._labels, self._folder = state, labels, folder
        self._validate, self._progress = validate, progress
        self._history = History(folder.history, read_history(folder.history, until=state.step))
        self._losses: list[float] = []
        self._next_look = 0.5 / LOOKS
        self._look_cost = 0.0
        self._started = self._last_save = time.monotonic()
        self._spent = 0.0
        self._stack = ExitStack()

    @property
    def hooks(self) -> Hooks:
        """For `run_loop`."""
        return Hooks(self._after_step, self._before_decay)

    def __enter__(self) -> Self:
        self._bar = self._stack.enter_context(self._progress.task("training", 1.0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is None or issubclass(kind, KeyboardInterrupt):  # after an error the last good state stays
            save_state(self._state, self._folder.checkpoint)
        draw_curves(self._history.rows, self._labels, self._folder.curves)

    def _after_step(self, loss: Tensor, rate: float, spent: float) -> None:
        self._losses.append(float(loss))
        self._bar.advance(spent - self._spent, note=f"step {self._state.step}, loss {self._losses[-1]:.3f}")
        self._spent = spent
        if spent >= self._next_look and self._affordable():
            self._look(rate, spent)
        elif self._state.step % 10 == 0:
            self._add_row(rate, None)
        if time.monotonic() - self._last_save > CHECKPOINT_SECONDS:
            save_state(self._state, self._folder.checkpoint)
            self._last_save = time.monotonic()

    def _affordable(self) -> bool:
        return self._look_cost <= SHARE * (time.monotonic() - self._started)

    def _look(self, rate: float, spent: float) -> None:
        begin = time.monotonic()
        try:
            dice = self._validate(self._state.average)
        except ModelError as problem:  # weights beyond all bounds, though the last gradient was still finite
            raise diverged(f"validation at step {self._state.step}", problem.what) from problem
        self._look_cost += time.monotonic() - begin
        self._next_look = spent + 1.0 / LOOKS
        if not dice:
            return
        self._add_row(rate, dice)
        draw_curves(self._history.rows, self._labels, self._folder.curves)
        means = [m for row in self._history.rows if (m := mean_dice(row)) is not None]
        each = ", ".join(f"{name} {value:.3f}" for name, value in list(dice.items())[:8])
        self._progress.say(
            f"{spent:4.0%}  step {self._state.step}  Dice {means[-1]:.3f} {sparkline(means)}  ({each})"
        )

    def _add_row(self, rate: float, dice: dict[str, float] | None) -> None:
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        self._losses.clear()
        self._history.add(
            HistoryRow(step=self._state.step, seconds=self._state.seconds, loss=loss, rate=rate, dice=dice)
        )

    def _before_decay(self) -> None:
        save_state(self._state, self._folder.stable)
