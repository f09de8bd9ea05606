"""What happens after the last step, and the time to keep for it.

Every validation case is predicted and scored. Some of them then teach the model about its predictions, which
is optional and so takes up what the load of the machine leaves or takes: a run ends on time although nobody
can know at its last step how busy the machine will be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from calque.planning import Plan
from calque.training.pace import Clock

STUDIED_CASES = 20
FEWEST_STUDIED = 3
"""One or two cases teach nothing."""
STUDY_SHARE = 0.05
"""Of a budget in seconds."""
REHEARSAL_SHARE = 0.02
"""Of a budget in seconds that measuring again may take."""
MARKS = (0.5, 0.8, 0.92, 0.97)
"""Shares of the schedule at which it is measured again."""
MOST_MEASURED = 5
"""Cases at a mark."""
QUICK_CASES = 20
"""Cases of a quick validation, at most; more would take time from training and change the picture little."""
FEWEST_QUICK = 4
LOOKS = 12
"""Quick validations in a run, at most."""
JUDGED_LOOKS = 30
"""Where they decide when the run ends."""
QUICK_SHARE = 0.04
"""Of the time, for all quick validations."""
FEWEST_VALIDATED = 10
"""Cases of the final validation that are scored even when the time is up."""
GRACE = 0.01
"""Of a budget in seconds, by which it may be overdrawn before cases are left out."""
MARGIN = 1.05
CLOSING = 0.5
"""Seconds for the card and the file of the model."""


PARITY_RUNS = 12
"""Predictions that comparing precisions takes, f32 counted as three."""


def study_runs(plan: Plan) -> int:
    """How many predictions it takes to study a case: once as it is, once calibrated; interleaved and full."""
    return 2 + 9 * any(plan.augmentation.mirror)


class Rehearsal:
    """What a whole validation case takes on this machine, measured from time to time.

    Measuring before training also proves that the whole way to the end works while nothing is lost yet.

    Args:
        score: predicts and scores the case of this name.
        sizes: voxels of each validation case, prepared; time goes with them.
        budget: seconds; None: without end.
    """

    def __init__(
        self, score: Callable[[str], object], sizes: Mapping[str, int], budget: float | None
    ) -> None:
        self._score, self._sizes, self._budget = score, dict(sizes), budget
        names = list(sizes)
        self._order = [name for pair in zip(names, reversed(names), strict=True) for name in pair]
        self._rate = 0.0
        self._cost = 0.0
        self._mark = 0

    def begin(self) -> None:
        """Measure for the first time; the very first call is slower (memory, kernels) and not counted."""
        if self._sizes:
            self._measure()
            self._cost = 0.0
            self._measure()

    def follow(self, progress: float) -> bool:
        """Measure again where a mark was passed and time allows; whether it was done."""
        marks = sum(progress >= mark for mark in MARKS)
        due, self._mark = marks > self._mark, marks
        if not due or not self._sizes or self._budget is None:
            return False
        room = REHEARSAL_SHARE * self._budget - self._cost
        if self._rate * max(self._sizes.values()) > room:
            return False
        self._measure(room / len(MARKS))
        return True

    @property
    def validation(self) -> float:
        """Seconds that the validation of all cases would take now."""
        return MARGIN * self._rate * sum(self._sizes.values())

    @property
    def each(self) -> float:
        """Seconds of a mean case."""
        return self._rate * sum(self._sizes.values()) / max(1, len(self._sizes))

    def _measure(self, seconds: float = 0.0) -> None:
        """A few cases, for about as long as that, at least one."""
        begin, voxels, spent = time.monotonic(), 0, 0.0
        for _ in range(min(MOST_MEASURED, len(self._sizes))):
            name = self._order.pop(0)
            self._order.append(name)
            self._score(name)
            voxels += self._sizes[name]
            spent = time.monotonic() - begin
            if spent >= seconds:
                break
        self._cost += spent
        self._rate = spent / voxels


def reserve(plan: Plan, rehearsal: Rehearsal, cases: int, *, study: bool = True) -> float:
    """Seconds to keep for validation, for studying and for writing the model."""
    if not study:
        return rehearsal.validation + CLOSING
    wished = study_runs(plan) * rehearsal.each
    number = studied(cases, wished, STUDY_SHARE * (plan.schedule.seconds or 0.0))
    studying = wished * number + PARITY_RUNS * rehearsal.each if number else 0.0
    return rehearsal.validation + studying + CLOSING


def studied(cases: int, each: float, seconds: float | None) -> int:
    """How many of `cases` are studied if one takes `each` and all of them at most `seconds`; 0: too few."""
    number = min(cases, STUDIED_CASES)
    if seconds is not None and each > 0:
        number = min(number, int(seconds / each))
    return number if number >= FEWEST_STUDIED else 0


def quick_cases(plan: Plan, rehearsal: Rehearsal) -> int:
    """How many cases quick validations look at, to keep within their share of a budget."""
    if plan.schedule.seconds is None or rehearsal.each == 0:
        return QUICK_CASES
    number = int(QUICK_SHARE * plan.schedule.seconds / LOOKS / rehearsal.each)
    return min(max(number, FEWEST_QUICK), QUICK_CASES)


class Validation:
    """How many cases the final validation still has time for: all of them, unless the load has grown.

    Args:
        clock: of all sittings.
        seconds: the budget; None: steps rule, and nothing that is timed has a say.
    """

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock, self._seconds, self.begun = clock, seconds, 0
        self._started = clock.seconds()

    def enough(self) -> bool:
        """Asked before each case: whether the time is up."""
        if self._seconds is not None and self.begun >= FEWEST_VALIDATED:
            now = self._clock.seconds()
            each = (now - self._started) / self.begun
            if now + each + CLOSING > (1 + GRACE) * self._seconds:
                return True
        self.begun += 1
        return False


class Rest:
    """What is left of a budget after validation: cases are studied until it is used up.

    Args:
        clock: of all sittings.
        end: seconds at which to stop; None: steps rule, and nothing that is timed has a say.
        each: seconds of a prediction, as validation showed.
        runs: predictions that studying a case takes.
    """

    def __init__(self, clock: Clock, end: float | None, each: float, runs: int) -> None:
        self._clock, self._end, self.begun = clock, end, 0
        self._first = (runs + PARITY_RUNS / FEWEST_STUDIED) * each
        self._later = runs * each
        self._last = clock.seconds()

    def cases(self, there: int) -> int:
        """How many of the cases that are there to begin with; 0: there is no time for enough of them."""
        if self._end is None:
            return studied(there, 0.0, None)
        left = self._end - self._clock.seconds()
        return there if there >= FEWEST_STUDIED and left >= FEWEST_STUDIED * self._first else 0

    def enough(self) -> bool:
        """Asked before each case: whether the next one would last too long."""
        now = self._clock.seconds()
        if self.begun > FEWEST_STUDIED:
            self._later = now - self._last
        self._last = now
        expected = self._first if self.begun < FEWEST_STUDIED else self._later
        if self._end is not None and now + expected > self._end:
            return True
        self.begun += 1
        return False
