"""Ending a run before its budget: at a Dice, or when the curve is flat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field

from calque.errors import InputError
from calque.value import Value

if TYPE_CHECKING:
    from calque.training.history import HistoryRow
    from calque.training.pace import Pace
    from calque.training.state import TrainingState

FEWEST_LOOKS = 6
FLAT_SHARE = 1 / 3
"""Of the steps so far that must have brought nothing."""
FLAT_GAIN = 0.002
"""Of Dice: less is nothing."""


class Until(Value):
    """When a run is good enough; when its curve is flat it ends, too.

    Args:
        dice: of the quick validation: the moving average of the weights on a few whole cases, overlap pooled
            over them, before the decay, which usually adds to it. None: only a flat curve ends the run.
        label: name of the class that must reach it; None: the mean over classes.
    """

    dice: float | None = Field(default=None, gt=0, le=1)
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "dice 0.88", "dice liver 0.9" or "flat".

        Raises:
            InputError: it says something else.
        """
        if text.strip().lower() == "flat":
            return cls()
        found = re.fullmatch(
            r"dice\s+(?:(?P<label>\S.*?)\s+)?(?P<value>\d*\.?\d+)(?P<percent>\s*%)?", text.strip()
        )
        value = float(found["value"]) if found else 0.0
        if found is None or found["percent"] or not 0 < value <= 1:
            raise InputError(
                "This is no condition on which training could end",
                expected='"dice 0.88", "dice CLASS 0.88" or "flat", with a Dice above 0 and up to 1',
                got=f'"{text}"',
                fix='--until "dice 0.88"',
            )
        return cls(dice=value, label=found["label"])

    def require_label(self, names: Sequence[str]) -> None:
        """Raises an InputError where the class that it names is none of these."""
        if self.label is not None and self.label not in names:
            raise InputError(
                "--until names a class that there is not", expected=", ".join(names), got=self.label
            )

    def value_of(self, dice: dict[str, float]) -> float | None:
        """The figure that is looked at; None where no validation case has the class."""
        return dice.get(self.label) if self.label is not None else sum(dice.values()) / len(dice)


class Judge:
    """Looks at the history after each quick validation, and lets the rate fall when it is time.

    Args:
        until: the condition.
        state: is given the nearer end, so that it survives a kill.
        pace: is shortened.
    """

    def __init__(self, until: Until, state: TrainingState, pace: Pace) -> None:
        self._until, self._state, self._pace = until, state, pace

    def __call__(self, rows: Sequence[HistoryRow]) -> str | None:
        """Why the run now draws to its end; None: it goes on."""
        step = self._state.step
        if self._pace.falling(step):
            return None
        seen = [
            (row.step, v) for row in rows if row.dice and (v := self._until.value_of(row.dice)) is not None
        ]
        reason = self._reason(seen)
        if reason is None:
            return None
        before = self._left(step)
        self._pace.fall(step)
        self._state.schedule = self._pace.schedule_now()
        rest = self._rest(step, before)
        return f"{reason} at step {step}: the learning rate falls now, and then training ends. {rest}"

    def _reason(self, seen: Sequence[tuple[int, float]]) -> str | None:
        what = f"Dice {self._until.label}" if self._until.label else "Dice"
        if seen and self._until.dice is not None and seen[-1][1] >= self._until.dice:
            return f"{what} {seen[-1][1]:.3f} reaches {self._until.dice:g}"
        if not is_flat(seen):
            return None
        reason = f"The curve is flat: {what} {max(v for _, v in seen):.3f}"
        return f"{reason}, {self._until.dice:g} is not in sight," if self._until.dice is not None else reason

    def _left(self, step: int) -> float:
        """Seconds or steps to the end."""
        timed = self._pace.schedule.seconds is not None
        return self._pace.end - (self._pace.clock.seconds() if timed else step)

    def _rest(self, step: int, before: float) -> str:
        saved = before - self._left(step)
        if self._pace.schedule.seconds is not None:
            amount, option = f"{saved / 60:.1f} minutes of the budget", f"{max(1, round(saved / 60))}m"
        else:
            amount, option = f"{saved:.0f} steps", f"{saved:.0f}steps"
        return f"That leaves {amount}; to use them: calque train --from RUN --extend {option}"


def is_flat(seen: Sequence[tuple[int, float]]) -> bool:
    """Whether the last third of the steps brought less than 0.002 over the best before.

    Args:
        seen: steps and figures of the looks so far.
    """
    if len(seen) < FEWEST_LOOKS:
        return False
    border = (1 - FLAT_SHARE) * seen[-1][0]
    before = [value for step, value in seen if step <= border]
    late = [value for step, value in seen if step > border]
    return len(late) >= 2 and len(before) >= 2 and max(late) < max(before) + FLAT_GAIN
