"""How far a run has come at each step, by count or by the clock.

Progress is a function of the step alone, in straight pieces: a knot says where a piece begins and how many
steps are left from there. With a number of steps there is one piece. With a time the clock places the next
knot, from the time that is left and from what a step takes at present, so that progress follows time whatever
else the machine does, without a jump. The knots are saved with the state: repeated, they give the same rates
and weights.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field

from calque.planning import Knot, Schedule

PIECES = 200
"""The clock is asked this often in a run; more often towards its end."""
_NEAR_END = 0.05  # of the time that is left passes between two knots
_AT_FIRST = 0.25  # of the time of this sitting
_MEMORY = 0.8  # of the mean of step times: the last five weigh two thirds
_SAME = 1e-9  # of two shares that differ by rounding


def _now() -> float:
    return time.monotonic()


@dataclass
class Clock:
    """Time that a run takes, all sittings together.

    Args:
        before: seconds of earlier sittings.
    """

    before: float = 0.0
    started: float = field(default_factory=_now)

    def seconds(self) -> float:
        """Seconds so far."""
        return self.before + time.monotonic() - self.started


class Pace(ABC):
    """Where a run stands.

    Args:
        schedule: the rules.
        knots: of the run so far; grows.
        clock: of all sittings.
        end: steps or seconds at which the run ends.
    """

    def __init__(self, schedule: Schedule, knots: list[Knot], clock: Clock, end: float) -> None:
        self.schedule, self.knots, self.clock, self.end = schedule, knots, clock, end
        self.step_seconds: float | None = None
        self._steps_seen = 0

    @abstractmethod
    def done(self, step: int) -> bool:
        """Whether `step` steps are all."""

    @abstractmethod
    def steps_left(self, step: int) -> float:
        """Steps from here to the end, at least one."""

    @abstractmethod
    def seconds_left(self, step: int) -> float | None:
        """Seconds until everything is done; None: not known yet."""

    @abstractmethod
    def shorten(self, step: int, share: float) -> None:
        """Set the end nearer: what is behind becomes `share` of the run."""

    def knot(self, step: int) -> Knot:
        """What holds at `step`."""
        return self.knots[max(0, bisect_right(self.knots, step, key=lambda knot: knot.step) - 1)]

    def progress(self, step: int) -> float:
        """Share of the schedule that is behind after `step` steps, 0 to 1."""
        knot = self.knot(step)
        return min(1.0, knot.progress + (1.0 - knot.progress) * (step - knot.step) / knot.left)

    def falling(self, step: int) -> bool:
        """Whether the rate falls after `step` steps."""
        return 1.0 - self.progress(step) < self.schedule.decay - _SAME

    def stepped(self, step: int, seconds: float) -> None:  # noqa: ARG002
        """Note that a step took `seconds`, and that `step` are done."""
        self._steps_seen += 1
        known = self.step_seconds if self._steps_seen > 2 else None  # the first is slower: memory, kernels
        self.step_seconds = seconds if known is None else _MEMORY * known + (1 - _MEMORY) * seconds

    def turn(self, step: int, progress: float | None = None, **changes: float) -> None:
        """Place a knot: from `step` on, what is in `changes` is otherwise; it leads to the end."""
        here = self.progress(step) if progress is None else progress
        kept = self.knot(step).model_dump(include={"factor", "chunks"})
        knot = Knot.model_validate(
            {**kept, "step": step, "progress": here, "left": self.steps_left(step), **changes}
        )
        self.knots[:] = [old for old in self.knots if old.step < step] + [knot]

    def fall(self, step: int) -> None:
        """Let the rate fall from here: the decay gets its share of the run that it ends."""
        share = 1.0 - self.schedule.decay
        self.shorten(step, share)
        self.turn(step, progress=max(share, self.progress(step)))

    def schedule_now(self) -> Schedule:
        """The schedule with the end as it is now; the knots are kept apart."""
        timed = self.schedule.seconds is not None
        end = {"seconds": self.end} if timed else {"steps": round(self.end)}
        return self.schedule.model_copy(update={**end, "knots": ()})

    def finish(self, step: int) -> None:
        """No step follows; a run that is resumed knows it."""
        self.turn(step, progress=1.0)


class CountedPace(Pace):
    """By steps; nothing that is timed has a say.

    Args:
        schedule: with `steps`, and the knots of the run that is repeated, if any.
        knots: of the run so far; empty: a new run.
        clock: for the record.
    """

    def __init__(self, schedule: Schedule, knots: list[Knot], clock: Clock) -> None:
        super().__init__(schedule, knots, clock, float(schedule.steps or 0))
        if not knots:
            knots.extend(schedule.knots or (Knot(left=self.end),))

    def done(self, step: int) -> bool:
        """Whether the steps are made."""
        return step >= self.end

    def steps_left(self, step: int) -> float:
        """Exactly."""
        return max(1.0, self.end - step)

    def seconds_left(self, step: int) -> float | None:
        """From what a step takes."""
        return None if self.step_seconds is None else self.step_seconds * (self.end - step)

    def shorten(self, step: int, share: float) -> None:
        """To a whole number of steps."""
        self.end = (
            min(self.end, step + max(1.0, float(round(step / share - step)))) if share > 0 else self.end
        )


class TimedPace(Pace):
    """By the clock.

    Args:
        schedule: with `seconds`.
        knots: of the run so far; empty: a new run.
        clock: of all sittings.
        reserve: seconds that follow the last step; may be set anew at any time.
        guess: seconds of a step, before one was made.
    """

    def __init__(
        self,
        schedule: Schedule,
        knots: list[Knot],
        clock: Clock,
        *,
        reserve: float = 0.0,
        guess: float = 1.0,
    ) -> None:
        super().__init__(schedule, knots, clock, schedule.seconds or 0.0)
        self.reserve, self._guess = reserve, guess
        self._begun = self._asked = clock.seconds()
        if not knots:
            knots.append(Knot(left=self.steps_left(0)))

    def training_left(self) -> float:
        """Seconds for steps."""
        return self.end - self.reserve - self.clock.seconds()

    def done(self, step: int) -> bool:  # noqa: ARG002
        """Whether the time is spent, to the nearest step."""
        return self.knots[-1].progress >= 1.0 or self.training_left() <= 0.5 * (self.step_seconds or 0.0)

    def steps_left(self, step: int) -> float:  # noqa: ARG002
        """As far as the last steps tell."""
        return max(1.0, self.training_left() / (self.step_seconds or self._guess))

    def seconds_left(self, step: int) -> float | None:  # noqa: ARG002
        """What the budget still has."""
        return max(0.0, self.end - self.clock.seconds())

    def stepped(self, step: int, seconds: float) -> None:
        """Also place a knot, where it is time."""
        super().stepped(step, seconds)
        now = self.clock.seconds()
        early, late = (now - self._begun) * _AT_FIRST, max(self.training_left(), 0.0) * _NEAR_END
        if now - self._asked >= min(self.end / PIECES, early, late):
            self._asked = now
            self.turn(step)

    def shorten(self, step: int, share: float) -> None:  # noqa: ARG002
        """Preparation counts as time that is behind."""
        now = self.clock.seconds()
        if share > 0:
            self.end = min(self.end, now / share + self.reserve)
