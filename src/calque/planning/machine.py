"""What the machine at hand can do."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from calque.errors import ResourceError
from calque.parallel import default_workers

_SHARE = 0.7  # of the available memory: the rest is for the system, readers and validation
_SHARE_OF_TOTAL = 0.5


@dataclass(frozen=True)
class Machine:
    """Where training will run.

    Args:
        device: torch's name.
        name: for people.
    """

    device: Literal["cpu", "cuda"]
    name: str


def find_machine() -> Machine:
    """The first GPU, else the processor."""
    if _built_for_gpus():
        import torch

        if torch.cuda.is_available():
            return Machine("cuda", torch.cuda.get_device_name(0))
    width = next((name for name in ("avx512f", "avx2") if name in _flags()), "")
    name = " ".join(part for part in (platform.machine(), width.upper().removesuffix("F")) if part)
    return Machine("cpu", f"{name}, {default_workers()} processors")


@lru_cache(maxsize=1)
def _built_for_gpus() -> bool:
    """Whether this torch knows any; asked of a file of it, since importing it takes a second."""
    found = find_spec("torch")
    path = None if found is None or found.origin is None else Path(found.origin).with_name("version.py")
    text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
    without = [re.search(rf"^{kind}\b[^=\n]*=\s*None", text, re.MULTILINE) for kind in ("cuda", "hip")]
    return not all(without)


def usable_memory(machine: Machine, *, steady: bool) -> int:
    """Bytes that training may take.

    Args:
        machine: its GPU's memory counts, or the system's.
        steady: take a share of all memory, which is the same from run to run, and not of what is free now.

    Raises:
        ResourceError: the system does not say.
    """
    if machine.device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(0)
    else:
        free, total = _system_memory()
    return round(total * _SHARE_OF_TOTAL if steady else free * _SHARE)


def fast_bf16(machine: Machine) -> bool:
    """Whether products in bfloat16 run in hardware."""
    if machine.device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _flags() & {"avx512_bf16", "amx_bf16", "bf16"} != set()


@lru_cache(maxsize=1)
def _flags() -> frozenset[str]:
    """What the processor says it can do; empty where the system has no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return frozenset()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((text for text in lines if text.lower().startswith(("flags", "features"))), "")
    return frozenset(line.partition(":")[2].split())


def _system_memory() -> tuple[int, int]:
    """Bytes available now, and in all; a container's limit counts."""
    facts = Path("/proc/meminfo")
    if facts.is_file():
        kib = {k: int(v.split()[0]) for k, _, v in (t.partition(":") for t in facts.read_text().splitlines())}
        free, total = kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        free = total
    else:
        raise ResourceError(
            "This system does not say how much memory it has", fix="give memory, such as 8 GB"
        )
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        most = int(limit.read_text())
        return min(free, most - int(used.read_text())), min(total, most)
    return free, total
