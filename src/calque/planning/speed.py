"""How many operations a second this processor makes in training: timed once, and kept.

A run by steps is planned without timing anything that decides. What its steps will take is then told from
the operations of its network and this constant, which is coarse: a narrow network does less in a second
than a wide one, and the machine may be busier than it was.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import PositiveFloat

from calque.errors import ReadError
from calque.geometry import Shape
from calque.io import write_text_atomic
from calque.nets import NetworkConfig
from calque.planning.cost import step_flops
from calque.planning.machine import Machine, find_machine
from calque.planning.probe import Mode, step_seconds
from calque.value import Value

_BATCH = 2
_PATCH: dict[int, Shape] = {2: (1, 128, 128), 3: (32, 32, 32)}
_STEM: dict[int, tuple[int, ...]] = {2: (32, 64, 128), 3: (16, 32)}


@dataclass(frozen=True)
class Timing:
    """How a plan learns what a step takes.

    Args:
        probe: time real steps; else nominal speeds are assumed, and there is no forecast. Where steps are
            counted the forecast is told from the machine's speed, see `machine_speed`.
        cache: a folder that keeps the machine's speed; None: it is timed each time.
        machine: where training will run; this one, unless said otherwise.
    """

    probe: bool = True
    cache: Path | None = None
    machine: Machine = field(default_factory=find_machine)


class Speed(Value):
    """What was timed.

    Args:
        flops: operations per second of a small U-Net's training steps.
        timed: the day, in words for people.
    """

    flops: PositiveFloat
    timed: str


def machine_speed(machine: Machine, dimensions: int, mode: Mode, cache: Path | None = None) -> Speed:
    """From the cache, else timed now, which takes about a second, and kept there.

    Args:
        machine: a processor.
        dimensions: of the networks, 2 or 3.
        mode: precision and memory layout.
        cache: a folder; None: nothing is kept.
    """
    path = None if cache is None else cache / "speed" / f"{_key(machine, dimensions, mode)}.json"
    if path is not None:
        try:
            return Speed.read(path)
        except ReadError:
            pass  # not yet timed
    config, patch = _sample(dimensions), _PATCH[dimensions]
    seconds = step_seconds(config, patch, _BATCH, mode, machine.device)
    today = datetime.now(UTC).date().isoformat()
    found = Speed(flops=step_flops(config, patch, _BATCH) / seconds, timed=today)
    if path is not None:
        write_text_atomic(path, found.to_json())
    return found


def _sample(dimensions: int) -> NetworkConfig:
    features = _STEM[dimensions]
    flat = dimensions == 2
    stages, kernel = len(features), (1 if flat else 3, 3, 3)
    return NetworkConfig(
        kind="plain",
        dimensions=2 if flat else 3,
        inputs=1,
        outputs=2,
        features=features,
        strides=((1, 1, 1), *((1 if flat else 2, 2, 2),) * (stages - 1)),
        kernels=(kernel,) * stages,
        blocks=(2,) * stages,
        decoder_blocks=(2,) * (stages - 1),
    )


def _key(machine: Machine, dimensions: int, mode: Mode) -> str:
    parts = json.dumps([platform.node(), machine.name, version("torch"), dimensions, mode])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
