"""`plan`: from a dataset and a budget to every decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from calque.dataset import Dataset
from calque.errors import PlanError
from calque.nets import NetworkConfig, is_unet
from calque.planning.looking import fingerprint
from calque.planning.machine import Machine, usable_memory
from calque.planning.model import Forecast, Plan
from calque.planning.probe import Mode, capable_mode, require_patch, step_seconds, time_modes
from calque.planning.reasons import mode_reason, normalisation_reason, reasons
from calque.planning.rules import Geometry, choose_geometry, choose_normalisation
from calque.planning.schedule import Schedule
from calque.planning.search import LADDER, Choice, Limits, Rung, choose
from calque.planning.size import prepared_bytes
from calque.planning.speed import Timing, machine_speed
from calque.planning.stages import plan_stages
from calque.planning.variation import choose_augmentation
from calque.planning.wishes import SLICES, Wishes, choose_objective, rare_classes
from calque.progress import SILENT, Progress

DEFAULT_BUDGET = 30 * 60.0
TRAINING_SHARE = (
    0.8  # of a time budget that steps can be expected to get; the rest reads, prepares, validates
)
PROBING_SHARE = 0.03  # of a time budget that comparing precisions may take

_OVERHEAD = 1.15  # of a real step over a probed one: augmentation, optimiser, moving average
_NOMINAL = {"cpu": 1e11, "cuda": 1e13}  # operations per second, where nothing is timed
_NOMINAL_STEP = {"cpu": 6e11, "cuda": 2e13}  # operations, where steps are counted and not seconds
_SAMPLE_STEP = 6e10  # operations of the step on which precisions are compared
_PROBES = 3


@dataclass(frozen=True)
class Budget:
    """How long to train.

    Args:
        seconds: for everything; None when steps are counted.
        steps: to make; None when time rules.
        memory: bytes; None: what the machine has.
    """

    seconds: float | None = None
    steps: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and self.steps is not None:
            raise PlanError(
                "Give either a time or a number of steps", got=f"{self.seconds} s and {self.steps} steps"
            )
        for name in ("seconds", "steps", "memory"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e15:
                raise PlanError(f"The budget's {name} must be above zero", got=value)

    def part(self, share: float) -> Budget:
        """A share of the length, in the same memory."""
        steps = None if self.steps is None else max(1, round(self.steps * share))
        return Budget(None if self.seconds is None else self.seconds * share, steps, self.memory)


def plan(
    dataset: Dataset,
    *,
    budget: float | None = None,
    steps: int | None = None,
    wishes: Wishes | None = None,
    timing: Timing | None = None,
    progress: Progress = SILENT,
) -> Plan:
    """Decide how to train on `dataset`.

    Args:
        dataset: its annotated cases are read once.
        budget: seconds for everything, preparation and validation included; 30 minutes by default.
        steps: a number of training steps instead; nothing that is timed then influences the plan.
        wishes: what a person has decided, memory among it.
        timing: how it learns what a step takes; by default real steps are timed on this machine.
        progress: who listens.

    Raises:
        DatasetError: nothing is annotated, or cases cannot be read.
        LabelError: regions are asked for, and classes cannot be told from them.
        PlanError: the budget contradicts itself, or there is no such network.
        ResourceError: not even the smallest training fits the memory.
    """
    if budget is None and steps is None:
        budget = DEFAULT_BUDGET
    wishes, timing = wishes or Wishes(), timing or Timing()
    limits = Budget(budget, steps, wishes.memory)
    wishes.heads(dataset.labels)  # before time is spent
    seen = fingerprint(dataset, progress=progress)
    full = choose_geometry(seen, SLICES.get(wishes.kind) if wishes.kind else None)

    def plan_on(geometry: Geometry, share: float) -> Plan:
        return decide(dataset, geometry, limits.part(share), wishes, timing, progress)

    return plan_stages(full, wishes.kind, plan_on, limits.seconds)


def decide(
    dataset: Dataset,
    geometry: Geometry,
    budget: Budget,
    wishes: Wishes,
    timing: Timing,
    progress: Progress = SILENT,
) -> Plan:
    """`plan` on a grid, from a fingerprint that is already known; voxels are not read."""
    counted, machine = budget.steps is not None, timing.machine
    room = budget.memory or usable_memory(machine, steady=counted)
    search = _Search(dataset, geometry, budget, machine, room, wishes)
    mode, why_mode = capable_mode(machine), "the processor computes it in hardware, as it says itself"
    if counted or not timing.probe:
        choice = search.choose(mode, _NOMINAL[machine.device])
        pace = search.foretell(choice, mode, timing.cache) if timing.probe else None
    else:
        with progress.task("Timing training steps", 1 + _PROBES) as bar:
            mode, rate, why_mode = search.probe_modes()
            bar.advance(note=mode[0])
            choice, seconds = search.settle(mode, rate)
            pace = Pace(seconds, "timed on this machine")
            bar.advance(_PROBES)
    return _assemble(search, choice, mode, pace, why_mode)


class Pace(NamedTuple):
    """Seconds of a training step, and how they are known."""

    seconds: float
    known: str


@dataclass(frozen=True)
class _Search:
    """What a choice is made from."""

    dataset: Dataset
    geometry: Geometry
    budget: Budget
    machine: Machine
    memory: int
    wishes: Wishes

    def choose(self, mode: Mode, rate: float) -> Choice:
        """The best that suits the budget at `rate` operations per second."""
        if self.budget.steps is not None:
            return self.within(mode, self._counted)
        usable = (self.budget.seconds or DEFAULT_BUDGET) * TRAINING_SHARE
        return self.within(mode, lambda rung: rate * usable / rung.steps)

    def _counted(self, rung: Rung) -> float:
        enough = (self.budget.steps or 0) >= rung.steps or rung is LADDER[-1]
        return _NOMINAL_STEP[self.machine.device] if enough else 0.0

    def within(self, mode: Mode, flops: Callable[[Rung], float]) -> Choice:
        """The best with at most `flops` operations per step."""
        counted = self.budget.steps is not None
        limits = Limits(self.memory, mode[0], self.machine.device, flops, shrink=counted)
        heads, geometry = self.wishes.heads(self.dataset.labels), self.geometry
        outputs = len(heads) or self.dataset.labels.outputs
        found = choose(geometry, len(self.dataset.channels), outputs, limits)
        wished = replace(self._deep(found), network=self._wished(found.network))
        if not is_unet(wished.network):
            require_patch(wished.network, wished.topology.patch)
        return wished

    def _deep(self, found: Choice) -> Choice:
        """With several slices in a patch, where a network looks at neighbours; the batch is smaller."""
        if self.geometry.slices == 1:
            return found
        depth = min(2 * self.geometry.slices - 1, max(1, self.geometry.shape[0]))
        patch = (depth, *found.topology.patch[1:])
        batch = max(1, round(found.batch / depth))
        return replace(found, topology=replace(found.topology, patch=patch), batch=batch)

    def _wished(self, network: NetworkConfig) -> NetworkConfig:
        changes = {"slices": self.geometry.slices, "options": self.wishes.network_options}
        if self.wishes.network is not None:
            changes["kind"] = self.wishes.network
        return network.model_copy(update=changes)

    def measure(self, choice: Choice, mode: Mode) -> float:
        """Seconds of a whole training step."""
        patch = choice.topology.patch
        return _OVERHEAD * step_seconds(choice.network, patch, choice.batch, mode, self.machine.device)

    def foretell(self, choice: Choice, mode: Mode, cache: Path | None) -> Pace:
        """A step from its operations and the processor's speed; timed where those do not tell."""
        if self.machine.device != "cpu" or not is_unet(choice.network):
            return Pace(self.measure(choice, mode), "timed on this machine")
        speed = machine_speed(self.machine, choice.network.dimensions, mode, cache)
        seconds = _OVERHEAD * choice.flops / speed.flops
        return Pace(seconds, f"roughly, from its operations and a timing of this machine on {speed.timed}")

    def probe_modes(self) -> tuple[Mode, float, str]:
        """The fastest precision and layout, operations per second with it, and the timings in words."""
        sample = self.within(("f32", False), lambda rung: _SAMPLE_STEP if rung is LADDER[-1] else 0.0)
        allowance = PROBING_SHARE * (self.budget.seconds or DEFAULT_BUDGET)
        times = time_modes(sample.network, sample.topology.patch, sample.batch, self.machine, allowance)
        mode = min(times, key=lambda key: times[key])
        return mode, sample.flops / (times[mode] * _OVERHEAD), mode_reason(times)

    def settle(self, mode: Mode, rate: float) -> tuple[Choice, float]:
        """Choose, time the choice, and choose again at the rate it showed, until the choice stays."""
        choice = self.choose(mode, rate)
        seconds = self.measure(choice, mode)
        for _ in range(_PROBES - 1):
            again = self.choose(mode, choice.flops / seconds)
            if again == choice:
                break
            choice, seconds = again, self.measure(again, mode)
        return choice, seconds


def _assemble(search: _Search, choice: Choice, mode: Mode, pace: Pace | None, why_mode: str) -> Plan:
    geometry, dataset, budget = search.geometry, search.dataset, search.budget
    rare = rare_classes(geometry.fingerprint, dataset.labels)
    objective, why_loss = choose_objective(search.wishes, rare)
    schedule = _schedule(budget)
    normalisation = choose_normalisation(geometry.fingerprint, dataset.channels)
    forecast = None if pace is None else _forecast(search, choice, mode, pace.seconds)
    known = {} if pace is None else {"forecast": pace.known}
    try:
        return Plan(
            dataset=dataset.name,
            channels=dataset.channels,
            labels=dataset.labels,
            heads=search.wishes.heads(dataset.labels),
            orientation=geometry.orientation,
            spacing=geometry.spacing,
            separate_z=geometry.separate_z,
            normalisation=normalisation,
            patch=choice.topology.patch,
            batch=choice.batch,
            foreground_by="class" if rare else "case",
            network=choice.network,
            augmentation=choose_augmentation(geometry),
            objective=objective,
            schedule=schedule,
            precision=mode[0],
            channels_last=mode[1],
            fingerprint=geometry.fingerprint,
            forecast=forecast,
            reasons={
                **reasons(geometry, choice, schedule),
                "normalisation": normalisation_reason(normalisation),
                "objective": why_loss,
                "precision": why_mode,
                "channels_last": why_mode,
                **known,
            },
        )
    except ValidationError as problem:
        raise PlanError("No plan can be made from this dataset", where=dataset.root, got=problem) from problem


def _schedule(budget: Budget) -> Schedule:
    if budget.steps is not None:
        return Schedule(steps=budget.steps)
    return Schedule(seconds=budget.seconds or DEFAULT_BUDGET)


def _forecast(search: _Search, choice: Choice, mode: Mode, seconds: float) -> Forecast:
    geometry, budget = search.geometry, search.budget
    one = prepared_bytes(geometry.fingerprint, geometry.spacing, len(search.dataset.channels))
    usable = (budget.seconds or DEFAULT_BUDGET) * TRAINING_SHARE
    return Forecast(
        machine=search.machine.name,
        step_seconds=seconds,
        steps=budget.steps or max(1, round(usable / seconds)),
        train_memory_bytes=choice.memory(mode[0]),
        store_bytes=one * geometry.fingerprint.cases,
    )
