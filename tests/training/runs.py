"""A tiny data set and plans for it, for tests that train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tests.training.synthetic import make_plan

from calque.dataset import Dataset, open_dataset
from calque.model import Model
from calque.phantoms import write_phantoms
from calque.planning import Augmentation, Normalisation, Plan, Schedule
from calque.training import TrainOptions

STEPS = 8
TWO_FOLDS = TrainOptions(folds=2)


def two_folds(**changes: object) -> TrainOptions:
    return TWO_FOLDS.model_copy(update=changes)


def make_dataset(folder: Path, cases: int = 4, seed: int = 0) -> Dataset:
    return open_dataset(
        write_phantoms(
            folder, "mr_brain", cases, shape=(12, 20, 18), spacing=(8, 8, 8), varied=True, seed=seed
        )
    )


def plan_for(dataset: Dataset, **changes: object) -> Plan:
    base: dict[str, object] = {
        "channels": dataset.channels,
        "labels": dataset.labels,
        "spacing": (8.0, 8.0, 8.0),
        "normalisation": tuple(Normalisation(scheme="zscore") for _ in dataset.channels),
        "augmentation": Augmentation(),
        "schedule": Schedule(steps=STEPS, decay=0.5),
        "batch": 2,
    }
    network = make_plan().network.model_copy(
        update={"outputs": dataset.labels.outputs, "inputs": len(dataset.channels)}
    )
    return make_plan(**(base | {"network": network} | changes))


class Bar:
    """A task that shows nothing."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        pass


class StopAt:
    """A progress that interrupts, as Ctrl-C does, after a number of training steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[StopAt | Bar]:
        yield self if name == "training" else Bar()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        pass


class Heard:
    """A progress that remembers what was said, and the notes beside the bar of training."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Heard | Bar]:
        yield self if name == "training" else Bar()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.notes.append(note)

    def say(self, message: str) -> None:
        self.said.append(message)


def assert_same_weights(one: Model, two: Model) -> None:
    for a, b in zip(one.members, two.members, strict=True):
        assert set(a) == set(b)
        assert all(torch.equal(a[name], b[name]) for name in a)
