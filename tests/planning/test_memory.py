"""Freed memory is reused, or given back: the kernel's own counts show it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calque.planning.memory import give_back

FAULTS = """
import resource, sys
import torch
from calque.planning.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def work():
    for _ in range(20):
        torch.ones(16_000_000)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked; this is not Linux")
def test_blocks_that_are_freed_are_not_faulted_in_again() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("plain", "keep")
    }
    assert faults["plain"] > 5000
    assert faults["keep"] < faults["plain"] / 20


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says what is resident; this is not Linux")
def test_pages_of_a_mapped_file_are_given_back_and_come_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    np.arange(2**20, dtype=np.float32).tofile(path)
    mapped = np.memmap(path, np.float32, "r")
    total = float(mapped.sum())
    assert _resident(path) > 2**21
    give_back(path)
    assert _resident(path) == 0
    assert float(mapped.sum()) == total


def _resident(path: Path) -> int:
    """Bytes of a mapped file that are in memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if "-" in name:
            inside = line.endswith(str(path))
        elif inside and name == "Rss:":
            found += 1024 * int(rest[0])
    return found
