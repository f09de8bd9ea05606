"""What every benchmark uses: repeats, peak memory, the machine, and a line of JSON for each figure.

A benchmark is a file `bench_NAME.py` beside this one with a function `run(record)`; it calls
`record(figure, measure(function))`. Ours and the peer's run in one process, so that the machine's moods
strike both. `python benchmarks/harness.py [NAME ...]` runs those named, or all.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """Seconds of repeated runs, and the process's peak memory after them."""

    median: float
    fastest: float
    slowest: float
    repeats: int
    peak_mb: float


def measure(function: Callable[[], object], repeats: int = 5, warmup: int = 1) -> Figure:
    """Run `function` `warmup` times unseen, then `repeats` times under the clock."""
    for _ in range(warmup):
        function()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figure(statistics.median(seconds), min(seconds), max(seconds), repeats, round(peak, 1))


def machine() -> dict[str, object]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {name: importlib.import_module(name).__version__ for name in ("numpy", "torch", "calque")}
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def main(wanted: list[str]) -> int:
    """Run the benchmarks and print one line of JSON for each figure."""
    files = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    unknown = set(wanted) - set(files)
    if unknown or not files:
        print(f"no such benchmark: {sorted(unknown)}; there are: {sorted(files)}", file=sys.stderr)
        return 2
    print(json.dumps({"machine": machine()}), flush=True)
    for name in wanted or files:
        specification = importlib.util.spec_from_file_location(f"bench_{name}", files[name])
        if specification is None or specification.loader is None:
            raise ImportError(files[name])
        module = importlib.util.module_from_spec(specification)
        sys.modules["harness"] = sys.modules[__name__]  # so that benchmarks import this very module
        sys.modules[specification.name] = module  # dataclasses look their module up
        specification.loader.exec_module(module)
        module.run(
            lambda figure, value, name=name: print(
                json.dumps({"benchmark": name, "figure": figure, **asdict(value)}), flush=True
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
