"""What goes on beside the steps: history, quick validation, checkpoints, curves, words to the user."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from torch import Tensor

from calque.errors import ModelError
from calque.labels import Labels
from calque.progress import Progress
from calque.training.curves import draw_curves, mean_dice, sparkline
from calque.training.ending import JUDGED_LOOKS, LOOKS, QUICK_SHARE
from calque.training.facts import line
from calque.training.history import History, HistoryRow, read_history
from calque.training.keeper import Keeper
from calque.training.loop import Hooks, diverged
from calque.training.pace import Pace
from calque.training.run import FoldFolder
from calque.training.state import save_state
from calque.training.track import Tracker

REDRAW_SECONDS = 10.0
"""Between two drawings of the curves, each of which takes as long as several small steps."""

Validator = Callable[[dict[str, Tensor]], dict[str, float]]


class Watch:
    """Stands beside the loop; as a context manager it saves the state however the loop ends.

    Args:
        keeper: of the state that is trained.
        labels: names and colours of the curves.
        folder: of the fold.
        validate: the quick validation; it changes nothing in the state.
        pace: where the run stands.
        progress: the bar and the lines.
    """

    def __init__(
        self,
        keeper: Keeper,
        labels: Labels,
        folder: FoldFolder,
        validate: Validator,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._state, self._labels, self._folder, self._pace = keeper.state, labels, folder, pace
        self._validate, self._progress = validate, progress
        self._history = History(folder.history, read_history(folder.history, until=self._state.step))
        self._keeper = keeper
        self._losses: list[float] = []
        self._look_cost = 0.0
        self._drawn = self._started = time.monotonic()
        self._spent = 0.0
        self._stack = ExitStack()
        self._followers: list[Callable[[float], None]] = []
        self.tracker: Tracker | None = None
        self.judge: Callable[[Sequence[HistoryRow]], str | None] | None = None
        """Asked after each quick validation; its answer is why the run ends early."""

    @property
    def hooks(self) -> Hooks:
        """For `run_loop`."""
        return Hooks(self._after_step, self._before_decay, self.event)

    def follow(self, follower: Callable[[float], None]) -> None:
        """Call this after every step with the share of the schedule that is behind."""
        self._followers.append(follower)

    def __enter__(self) -> Self:
        self._bar = self._stack.enter_context(self._progress.task("training", 1.0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self.tracker is not None:
            self.tracker.close()
        if kind is None:  # the model needs a quarter of the room: it may still find a place
            self._keeper.attempt(self._folder.checkpoint, self._keeper.save)
        elif issubclass(kind, KeyboardInterrupt):  # after an error the last good state stays
            self._keeper.save()
        self._draw()

    def event(self, sentence: str) -> None:
        """Something that the user, the history and the card should know."""
        self._state.story.append(sentence)
        self._progress.say(sentence)
        rate = self._history.rows[-1].rate if self._history.rows else 0.0
        self._add_row(rate, event=sentence)

    def rewound(self, sentence: str) -> None:
        """The state was brought back to an earlier step: so is the history; `sentence` says why."""
        self._losses.clear()
        self._keeper.attempt(self._folder.history, partial(self._history.cut, self._state.step))
        self.event(sentence)
        self._keeper.attempt(self._folder.checkpoint, self._keeper.save)

    def _after_step(self, loss: Tensor, rate: float, spent: float) -> None:
        step = self._state.step
        self._losses.append(float(loss))
        left = self._pace.seconds_left(step)
        note = line(step, self._losses[-1], self._pace.step_seconds, left, self._history.rows)
        self._bar.advance(spent - self._spent, note=note)
        before, self._spent = self._pace.progress(step - 1), spent
        looks = LOOKS if self.judge is None else JUDGED_LOOKS
        if marks_passed(spent, looks) > marks_passed(before, looks) and self._affordable():
            self._look(rate, spent)
        elif step % 10 == 0:
            self._add_row(rate)
        for follower in self._followers:
            follower(spent)
        self._keeper.after_step()

    def _affordable(self) -> bool:
        if self.judge is not None and self._pace.schedule.steps is not None:
            return True  # what is timed must not decide where a run by steps ends
        return self._look_cost <= QUICK_SHARE * (time.monotonic() - self._started)

    def _look(self, rate: float, spent: float) -> None:
        begin = time.monotonic()
        try:
            dice = self._validate(self._state.average)
        except ModelError as problem:  # weights beyond all bounds, though the last gradient was still finite
            raise diverged(f"validation at step {self._state.step}", problem.what) from problem
        self._look_cost += time.monotonic() - begin
        if not dice:
            return
        self._add_row(rate, dice=dice)
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._draw()
        means = [m for row in self._history.rows if (m := mean_dice(row)) is not None]
        each = ", ".join(f"{name} {value:.3f}" for name, value in list(dice.items())[:8])
        self._progress.say(
            f"{spent:4.0%}  step {self._state.step}  Dice {means[-1]:.3f} {sparkline(means)}  ({each})"
        )

        verdict = self.judge(self._history.rows) if self.judge is not None else None
        if verdict is not None:
            self.event(verdict)

    def _add_row(self, rate: float, dice: dict[str, float] | None = None, event: str | None = None) -> None:
        finite = [loss for loss in self._losses if math.isfinite(loss)]
        self._losses.clear()
        row = HistoryRow(
            step=self._state.step,
            seconds=self._state.seconds,
            loss=sum(finite) / len(finite) if finite else None,
            rate=rate,
            dice=dice,
            event=event,
        )
        self._keeper.attempt(self._folder.history, partial(self._history.add, row))
        if self.tracker is not None:
            self.tracker.add(row)

    def _draw(self) -> None:
        path = self._folder.curves
        self._keeper.attempt(path, partial(draw_curves, self._history.rows, self._labels, path))
        self._drawn = time.monotonic()

    def _before_decay(self) -> None:
        stable = self._folder.stable
        self._keeper.attempt(stable, partial(save_state, self._state, stable))


def marks_passed(share: float, marks: int) -> int:
    """How many of `marks` evenly spread ones lie at or before `share` of the way; the first at half a gap."""
    return math.floor(share * marks + 0.5)
