"""How long a training lasts, and how its learning rate moves on the way, as data."""

from __future__ import annotations

from typing import Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from calque.value import Value


class Knot(Value):
    """What holds from a step on, until the next knot.

    Args:
        step: steps that were done before.
        progress: share of the schedule that is behind, 0 to 1.
        left: steps from here to the end, at which progress is 1.
        factor: of the learning rate; below 1 after a loss that was no number.
        chunks: parts in which a batch is computed; above 1 after memory ran out.
    """

    step: NonNegativeInt = 0
    progress: float = Field(default=0.0, ge=0, le=1)
    left: PositiveFloat
    factor: PositiveFloat = 1.0
    chunks: PositiveInt = 1


class Schedule(Value):
    """Warm-up, stable, decay, over a number of steps or a time.

    Args:
        seconds: the budget in wall-clock time, validation included; None when `steps` rules.
        steps: the number of steps; None when `seconds` rules.
        knots: with `steps`: how an earlier run went, which is to be repeated; see `training.pace`.
        warmup: share of the budget with a rising rate.
        decay: share of the budget, at its end, with a falling rate.
        ema: decay of the moving average of weights that is validated and kept.
    """

    seconds: PositiveFloat | None = None
    steps: PositiveInt | None = None
    knots: tuple[Knot, ...] = ()
    warmup: float = Field(default=0.03, ge=0, le=0.5)
    decay: float = Field(default=0.4, ge=0, le=1)
    ema: float = Field(default=0.99, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_ruler(self) -> Self:
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("give either seconds or steps")
        places = [knot.step for knot in self.knots]
        if places and (self.steps is None or places[0] != 0 or places != sorted(places)):
            raise ValueError("knots go with steps, and rise from step 0")
        return self
