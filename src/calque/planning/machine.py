"""What the machine at hand can do."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from calque.errors import ResourceError

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
    if torch.cuda.is_available():
        return Machine("cuda", torch.cuda.get_device_name(0))
    capability = torch.backends.cpu.get_cpu_capability()
    return Machine("cpu", f"{platform.machine()} {capability}, {torch.get_num_threads()} threads")


def usable_memory(machine: Machine, *, steady: bool) -> int:
    """Bytes that training may take.

    Args:
        machine: its GPU's memory counts, or the system's.
        steady: take a share of all memory, which is the same from run to run, and not of what is free now.

    Raises:
        ResourceError: the system does not say.
    """
    if machine.device == "cuda":
        free, total = torch.cuda.mem_get_info(0)
    else:
        free, total = _system_memory()
    return round(total * _SHARE_OF_TOTAL if steady else free * _SHARE)


def fast_bf16(machine: Machine) -> bool:
    """Whether products in bfloat16 run in hardware."""
    if machine.device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _flags() & {"avx512_bf16", "amx_bf16", "bf16"} != set()


def _flags() -> set[str]:
    """What the processor says it can do; empty where the system has no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return set()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((text for text in lines if text.lower().startswith(("flags", "features"))), "")
    return set(line.partition(":")[2].split())


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
