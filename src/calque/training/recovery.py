"""Going on after what need not end a run: a loss that is no number, a prepared case that is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calque.errors import ReadError, TrainingError
from calque.planning import Plan
from calque.training.loop import DivergedError, run_loop
from calque.training.pace import Pace, TimedPace
from calque.training.run import FoldFolder
from calque.training.sampler import Sampler
from calque.training.state import TrainingState, load_state, start_again
from calque.training.watch import Watch

TRIES = 5
FACTOR = 0.5
"""Of the learning rate, each time."""


@dataclass(frozen=True)
class Rescue:
    """What is needed to go back, and on.

    Args:
        plan: of the run.
        seed: of the run.
        folder: of the fold: its checkpoint is the last good state.
        prepare: makes prepared cases that are gone or damaged again, from their files.
    """

    plan: Plan
    seed: int
    folder: FoldFolder
    prepare: Callable[[], None]


def run_to_end(state: TrainingState, sampler: Sampler, pace: Pace, rescue: Rescue, watch: Watch) -> None:
    """`run_loop`, again where something happened that can be mended.

    After a loss that is no number training goes on from the last checkpoint with half the rate, five times at
    most; a prepared case that cannot be read is prepared again.

    Raises:
        TrainingError: the loss is no number again and again, or images hold values that are none.
        CalqueError: a case cannot be prepared again; it says why.
        ResourceError: the memory does not hold a single patch.
    """
    tries, mended = 0, -1
    while True:
        try:
            run_loop(state, sampler, rescue.plan, rescue.seed, pace, watch.hooks)
        except DivergedError as problem:
            _require_sound_images(sampler, state.step)
            tries += 1
            if tries > TRIES:
                raise _hopeless(problem, pace.knot(state.step).factor) from problem
            _go_back(state, pace, rescue, watch, problem)
        except ReadError as problem:
            if mended == state.step:  # it has been prepared, and still cannot be read
                raise
            mended = state.step
            watch.event(f"A prepared case cannot be read ({problem.where}): it is prepared again")
            rescue.prepare()
        else:
            return


def _go_back(state: TrainingState, pace: Pace, rescue: Rescue, watch: Watch, problem: DivergedError) -> None:
    failed, schedule, story = state.step, state.schedule, list(state.story)
    factor = FACTOR * pace.knot(failed).factor
    spent = pace.progress(failed) if isinstance(pace, TimedPace) else None  # time does not come back
    if rescue.folder.checkpoint.exists():
        load_state(state, rescue.folder.checkpoint)
    else:
        start_again(state, rescue.plan, rescue.seed)
    state.schedule, state.story[:], state.seconds = schedule, story, pace.clock.seconds()
    pace.turn(state.step, progress=spent, factor=factor)
    watch.rewound(
        f"The loss was not a number ({problem.where}): training goes back to step {state.step} "
        f"and on with {factor:g} times the learning rate"
    )


def _require_sound_images(sampler: Sampler, step: int) -> None:
    """Raises a TrainingError that names cases with voxels that are no numbers: no rate would help."""
    pairs = zip(sampler.names(step), sampler.batch(step), strict=True)
    sick = sorted({name for name, sample in pairs if not np.isfinite(sample.image).all()})
    if sick:
        raise TrainingError(
            "Prepared images hold values that are no numbers",
            where=f"step {step}",
            got=", ".join(sick),
            fix="look at these images with calque check, and delete the folder prepared/ of the run",
        )


def _hopeless(problem: DivergedError, factor: float) -> TrainingError:
    return TrainingError(
        "The loss is not a number any more, however low the learning rate",
        where=problem.where,
        got=f"{problem.got}, {TRIES} times; at last with {factor:g} times the rate of the plan",
        fix=problem.fix,
    )
