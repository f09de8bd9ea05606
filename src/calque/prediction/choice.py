"""Which engine: decided by a short probe on the machine, and remembered."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import nn

from calque.errors import ReadError
from calque.io import write_text_atomic
from calque.planning.machine import find_machine
from calque.planning.memory import give_back
from calque.prediction.devices import find_device
from calque.prediction.engines import Engine, EngineOptions, available_engines, make_engine
from calque.prediction.openvino_convert import FORM, openvino_is_there
from calque.prediction.options import Precision
from calque.value import Value

_WORTH = 1.15  # times: what a second window at a time must gain, for it takes as much memory again
_QUICK = 1.0  # seconds: a first run below that is repeated, for it is mostly warming up


class Choice(Value):
    """An engine, and why.

    Args:
        engine: its name.
        precision: of convolutions.
        streams: windows side by side.
        seconds: per window, of each candidate that was timed.
        reason: for people.
    """

    engine: str
    precision: Precision
    streams: int = 1
    seconds: dict[str, float] = Field(default_factory=dict)
    reason: str

    @property
    def window_seconds(self) -> float | None:
        """Of the chosen one, where it was timed."""
        return self.seconds.get(_name(self.engine, self.precision, self.streams))


def choose_engine(
    name: str,
    networks: Sequence[nn.Module],
    options: EngineOptions,
    shape: tuple[int, ...],
    *,
    precision: Precision,
    most_streams: int = 2,
) -> Choice:
    """Time one window on each engine that may be taken; the result is kept in the cache.

    Without a cache nothing is timed, and the engine is that which is usually the fastest.

    Args:
        name: of an engine, or "auto".
        networks: an ensemble.
        options: as for `make_engine`; precision and streams are those of the candidates.
        shape: of a window (c, z, y, x).
        precision: of all candidates.
        most_streams: windows side by side for which there is memory.

    Raises:
        MissingExtraError: the engine that was asked for is not installed.
    """
    names = available_engines(options.device) if name == "auto" else (name,)
    if options.cache is None:
        reason = "asked for" if name != "auto" else "usually the fastest; not probed, as there is no cache"
        return Choice(engine=names[0], precision=precision, reason=reason)
    threads = torch.get_num_threads()
    candidates = [(n, s) for n in names for s in _streams(n, min(most_streams, threads))]
    path = options.cache / "probes" / f"{_key(options, shape, precision, candidates)}.json"
    try:
        return Choice.read(path)
    except ReadError:
        pass  # not yet probed
    seconds: dict[str, float] = {}
    for engine, streams in candidates:
        told = replace(options, precision=precision, streams=streams)
        best = min(seconds.values(), default=float("inf"))
        spent = time_window(make_engine(engine, networks, told), shape, best)
        give_back()  # the next candidate, and the first scan, begin with as little as the first candidate
        seconds[_name(engine, precision, streams)] = round(spent, 4)
    pairs = zip(seconds.values(), candidates, strict=True)
    weighed = [s * (_WORTH if streams > 1 else 1.0) for s, (_, streams) in pairs]
    at = weighed.index(min(weighed))
    engine, streams = candidates[at]
    reason = "the fastest of " + ", ".join(f"{n} {s:.3g} s a window" for n, s in seconds.items())
    if name == "auto" and "openvino" not in names and find_device(options.device).type == "cpu":
        reason += "; OpenVINO is not installed"
    choice = Choice(engine=engine, precision=precision, streams=streams, seconds=seconds, reason=reason)
    write_text_atomic(path, choice.to_json())
    return choice


def time_window(engine: Engine, shape: tuple[int, ...], best: float = float("inf")) -> float:
    """Seconds per window (c, z, y, x), the faster of two runs; one, where the first is hopeless.

    Args:
        engine: to time.
        shape: of a window.
        best: seconds of another engine.
    """
    windows = torch.randn((engine.streams, *shape), generator=torch.Generator().manual_seed(0))
    seconds: list[float] = []
    while not seconds or (len(seconds) < 2 and (seconds[0] < _QUICK or seconds[0] < 2 * best)):
        begin = time.perf_counter()
        engine(windows)
        seconds.append((time.perf_counter() - begin) / engine.streams)
    return min(seconds)


def _streams(engine: str, most: int) -> list[int]:
    return [1] if engine != "openvino" or most < 2 else [1, most]


def _name(engine: str, precision: Precision, streams: int) -> str:
    return f"{engine} {precision}" + (f" x{streams}" if streams > 1 else "")


def _key(options: EngineOptions, shape: tuple[int, ...], precision: str, candidates: object) -> str:
    versions = (torch.__version__, _openvino_version())
    machine = (platform.node(), find_machine().name, torch.get_num_threads())
    parts = json.dumps(
        [options.key, options.split, options.device, shape, precision, candidates, versions, machine]
    )
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def _openvino_version() -> str:
    if not openvino_is_there():
        return ""
    from importlib.metadata import version

    return f"{version('openvino')}, {FORM}"
