"""The loop: batch, step, average, and from time to time a look at how it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from calque.errors import TrainingError
from calque.planning import Plan, Schedule
from calque.training.augment import augment, collate
from calque.training.losses import deep_loss
from calque.training.sampler import Sample, Sampler
from calque.training.schedule import ema_decay, progress_of, rate_factor
from calque.training.state import TrainingState

AUGMENTATION_STREAM = 7
"""Keeps the random numbers of the augmentation apart from those of the sampler."""


class Prefetcher:
    """Reads the next batches on a thread; their order and content do not depend on it."""

    def __init__(self, sampler: Sampler, first: int, ahead: int = 2) -> None:
        self._sampler = sampler
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="calque-reader")
        self._ahead = ahead
        self._next = first
        self._waiting: dict[int, Future[list[Sample]]] = {}

    def get(self, step: int) -> list[Sample]:
        """The samples of `step`; steps are asked for in order. Raises what reading raised."""
        while self._next <= step + self._ahead:
            self._waiting[self._next] = self._pool.submit(self._sampler.batch, self._next)
            self._next += 1
        return self._waiting.pop(step).result()

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class Clock:
    """Time that training takes: it goes on from what earlier sittings took."""

    before: float
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Seconds so far, all sittings together."""
        return self.before + time.monotonic() - self.started


def train_step(state: TrainingState, plan: Plan, images: Tensor, labels: Tensor, rate: float) -> Tensor:
    """One forward and backward pass and a step of the optimiser.

    Args:
        state: changed in place.
        plan: precision, layout, clipping.
        images: (b, c, z, y, x) float32.
        labels: (b, z, y, x) class numbers.
        rate: the learning rate of this step.

    Returns:
        The loss, a scalar still on the device.

    Raises:
        TrainingError: the gradient is no number; the weights are as before.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    if plan.channels_last and plan.network.dimensions == 3:
        images = images.contiguous(memory_format=torch.channels_last_3d)
    ignore = plan.labels.outputs if plan.labels.ignore is not None else None
    with torch.autocast(images.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
        logits = state.network(images)
    loss = deep_loss(logits, labels, ignore)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), plan.optimiser.clip, foreach=True)
    check_finite(norm, state.step)  # a loss that is no number shows here too, and the weights are still good
    state.optimiser.step()
    state.step += 1
    state.update_average(ema_decay(plan.schedule, state.step))
    return loss.detach()


@dataclass
class Hooks:
    """What happens around the steps; each is called with the loop's own values.

    Args:
        after_step: with the loss, the rate and the share of the budget that is spent.
        before_decay: once, before the rate begins to fall.
    """

    after_step: Callable[[Tensor, float, float], None]
    before_decay: Callable[[], None]


def run_loop(
    state: TrainingState, sampler: Sampler, plan: Plan, seed: int, clock: Clock, hooks: Hooks
) -> None:
    """Train until the schedule's steps or seconds are spent.

    Raises:
        TrainingError: the loss is not a number.
    """
    device = next(state.network.parameters()).device
    reader = Prefetcher(sampler, state.step)
    spent = progress_of(plan.schedule, state.step, clock.seconds())
    falling = _is_falling(plan.schedule, spent)
    try:
        while spent < 1.0:
            if not falling and _is_falling(plan.schedule, spent):
                hooks.before_decay()
                falling = True
            step = state.step
            images, labels = collate(reader.get(step), plan.patch, device)
            rng = np.random.default_rng((seed, step, AUGMENTATION_STREAM))
            images, labels = augment(images, labels, plan.augmentation, rng)
            rate = plan.optimiser.rate * rate_factor(spent, plan.schedule)
            loss = train_step(state, plan, images, labels, rate)
            state.seconds = clock.seconds()
            spent = progress_of(plan.schedule, state.step, state.seconds)
            hooks.after_step(loss, rate, spent)
    finally:
        reader.close()


def _is_falling(schedule: Schedule, spent: float) -> bool:
    return 1.0 - spent < schedule.decay


def check_finite(norm: Tensor, step: int) -> None:
    """Stop a run whose gradient is no number, before its weights are spoilt.

    Raises:
        TrainingError: the norm is NaN or infinite.
    """
    value = float(norm)
    if not math.isfinite(value):
        raise diverged(f"step {step}, norm of the gradient", value)


def diverged(where: str, got: object) -> TrainingError:
    """The error for a run that left the numbers."""
    return TrainingError(
        "The loss is not a number any more",
        where=where,
        got=got,
        fix="lower optimiser.rate in the plan, or set its precision to f32, and resume",
    )
