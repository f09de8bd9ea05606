"""The loop: batch, step, average, and from time to time a look at how it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calque.errors import ResourceError, TrainingError
from calque.nets.half import half_precision
from calque.planning import Plan
from calque.training.augment import augment, collate, known_classes, with_previous
from calque.training.losses import Target, deep_loss, make_loss
from calque.training.pace import Pace
from calque.training.sampler import Sample, Sampler
from calque.training.schedule import ema_decay, rate_factor
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
        try:
            return self._waiting.pop(step).result()
        except Exception as problem:
            problem.add_note(
                f"while reading the batch of step {step}: {', '.join(self._sampler.names(step))}"
            )
            raise

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class DivergedError(TrainingError):
    """The loss left the numbers; the weights may still be good."""


def train_step(
    state: TrainingState, plan: Plan, images: Tensor, target: Target, rate: float, chunks: int = 1
) -> Tensor:
    """One forward and backward pass and a step of the optimiser.

    Args:
        state: changed in place.
        plan: loss, precision, layout, clipping.
        images: (b, c, z, y, x) float32.
        target: the truth.
        rate: the learning rate of this step.
        chunks: parts of the batch that are computed one after the other; their gradients are added up.

    Returns:
        The loss, a scalar still on the device.

    Raises:
        DivergedError: the gradient is no number; the weights are as before.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.optimiser.zero_grad(set_to_none=True)
    parts = zip(images.chunk(chunks), target.chunk(chunks), strict=True)
    losses = [_gradients(state, plan, *part, share=len(part[0]) / len(images)) for part in parts]
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), plan.optimiser.clip, foreach=True)
    check_finite(norm, state.step)  # a loss that is no number shows here too, and the weights are still good
    state.optimiser.step()
    state.step += 1
    state.update_average(ema_decay(plan.schedule, state.step))
    return torch.stack(losses).sum()


def _gradients(state: TrainingState, plan: Plan, images: Tensor, target: Target, share: float) -> Tensor:
    """Add the gradients of this part of a batch; returns its part of the loss."""
    if plan.channels_last and plan.network.dimensions == 3:
        images = images.contiguous(memory_format=torch.channels_last_3d)
    with half_precision(images.device.type, plan.precision == "bf16"):
        logits = state.network(images)
    loss = deep_loss(make_loss(plan), logits, target) * share
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


@dataclass
class Hooks:
    """What happens around the steps; each is called with the loop's own values.

    Args:
        after_step: with the loss, the rate and the share of the budget that is spent.
        before_decay: once, before the rate begins to fall, or at the end where it never does.
        event: with a sentence for the history and the user.
    """

    after_step: Callable[[Tensor, float, float], None]
    before_decay: Callable[[], None]
    event: Callable[[str], None]


def run_loop(state: TrainingState, sampler: Sampler, plan: Plan, seed: int, pace: Pace, hooks: Hooks) -> None:
    """Train until the pace says that it is done.

    Raises:
        DivergedError: the gradient is not a number.
        ResourceError: the memory does not hold a single patch.
    """
    device = next(state.network.parameters()).device
    reader = Prefetcher(sampler, state.step)
    falling = state.step > 0 and pace.falling(state.step - 1)
    try:
        while not pace.done(state.step):
            if not falling and pace.falling(state.step):
                hooks.before_decay()
                falling = True
            step, started = state.step, time.monotonic()
            samples = reader.get(step)
            images, labels = collate(samples, plan.patch, device)
            rng = np.random.default_rng((seed, step, AUGMENTATION_STREAM))
            images, labels = with_previous(*augment(images, labels, plan.augmentation, rng))
            rate = plan.optimiser.rate * rate_factor(pace.progress(step), plan.schedule)
            rate *= pace.knot(step).factor
            batch = (images, Target(labels, known_classes(samples, device)))
            loss = _step_within_memory(state, plan, batch, rate, pace, hooks)
            state.seconds = pace.clock.seconds()
            pace.stepped(state.step, time.monotonic() - started)
            hooks.after_step(loss, rate, pace.progress(state.step))
        if not falling and state.step > 0:  # it ended first: a busy machine, or a schedule that has no decay
            hooks.before_decay()
    finally:
        reader.close()


def _step_within_memory(
    state: TrainingState, plan: Plan, batch: tuple[Tensor, Target], rate: float, pace: Pace, hooks: Hooks
) -> Tensor:
    """A step; where the memory does not suffice the batch is halved, and stays so."""
    while True:
        chunks = pace.knot(state.step).chunks
        try:
            return train_step(state, plan, *batch, rate, chunks)
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem):
                raise
            reason = str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__
        if chunks >= len(batch[0]):
            raise ResourceError(
                "The memory does not hold the training of a single patch",
                where=f"step {state.step}",
                got=reason,
                fix="plan with a smaller --memory, or end other programs, and train anew",
            )
        state.optimiser.zero_grad(set_to_none=True)
        pace.turn(state.step, chunks=min(2 * chunks, len(batch[0])))
        if batch[0].is_cuda:
            torch.cuda.empty_cache()
        hooks.event(
            f"The memory ran out at step {state.step} ({reason}): each batch of {len(batch[0])} is now "
            f"computed in {pace.knot(state.step).chunks} parts, with the same gradients but for rounding"
        )


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an allocator of torch or of Python says so."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(problem, RuntimeError) and "DefaultCPUAllocator" in str(problem)


def check_finite(norm: Tensor, step: int) -> None:
    """Stop a run whose gradient is no number, before its weights are spoilt.

    Raises:
        DivergedError: the norm is NaN or infinite.
    """
    value = float(norm)
    if not math.isfinite(value):
        raise diverged(f"step {step}, norm of the gradient", value)


def diverged(where: str, got: object) -> DivergedError:
    """The error for a run that left the numbers."""
    return DivergedError(
        "The loss is not a number any more",
        where=where,
        got=got,
        fix="lower optimiser.rate in the plan, or set its precision to f32, and resume",
    )
