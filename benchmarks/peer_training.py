"""Preparing and training beside nnU-Net: both sides' programs, and what a process and its children take.

nnU-Net's environment is that of peer_nnunet.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

NUMBER, NAME = 4, "Dataset004_Hippocampus"
CONFIGURATION = "3d_fullres"
_LOOK = 0.2  # seconds between two looks at the memory

# Its trainer as `nnUNetv2_train -device cpu` runs it: its threads, loaders and augmentation. The clock starts
# when its workers have filled their queues: then they make a batch for each that is taken, as in a long run.
_STEPS = """
import json, multiprocessing, os, sys, time
from unittest.mock import MagicMock
sys.modules.update({name: MagicMock() for name in ("timm", "timm.layers", "timm.models", "timm.models.eva")})
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

folder, configuration, batch, warm, number = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
plans = json.load(open(folder + "/nnUNetPlans.json"))
plans["continue_training"] = False
plans["configurations"][configuration]["batch_size"] = batch
dataset = json.load(open(folder + "/dataset.json"))
torch.set_num_threads(multiprocessing.cpu_count())
trainer = nnUNetTrainer(plans, configuration, 0, dataset, torch.device("cpu"))
trainer.initialize()
trainer.on_train_start()
trainer.on_epoch_start()
trainer.on_train_epoch_start()

def spent(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

waited, before = 0, -1.0
while waited < 60:
    now = sum(spent(child.pid) for child in multiprocessing.active_children())
    if now - before < 0.1:
        break
    waited, before = waited + 1, now
    time.sleep(1)
def processor():
    return time.process_time() + sum(spent(child.pid) for child in multiprocessing.active_children())

seconds = []
for step in range(warm + number):
    if step == warm:
        used = processor()
    begin = time.perf_counter()
    trainer.train_step(next(trainer.dataloader_train))
    seconds.append(time.perf_counter() - begin)
used = (processor() - used) / number
trainer.dataloader_train._finish()
trainer.dataloader_val._finish()
parameters = sum(p.numel() for p in trainer.network.parameters())
told = {"processor": used, "workers": get_allowed_n_proc_DA(), "parameters": parameters, "waited": waited}
print(json.dumps({"seconds": seconds[warm:], **told}), flush=True)
"""

# the loop of `calque train`: sampler, reader's thread, augmentation, step, moving average
_LOOP = """
import json, sys, time
from pathlib import Path
import torch
from calque.planning import Plan
from calque.preparation import Store
from calque.training.loop import Hooks, run_loop
from calque.planning.memory import keep_freed_memory
from calque.training.pace import Clock, CountedPace
from calque.training.sampler import Sampler
from calque.training.state import fresh_state
warm = int(sys.argv[3])
keep_freed_memory()
plan, store = Plan.read(Path(sys.argv[1])), Store(Path(sys.argv[2]))
state = fresh_state(plan, 0, torch.device("cpu"))
ends, used = [], []
def ended(*_):
    ends.append(time.perf_counter())
    used.append(time.process_time())
hooks = Hooks(ended, lambda: None, sys.stderr.write)
pace = CountedPace(plan.schedule, state.knots, Clock())
run_loop(state, Sampler(store, store.cases, plan, 0), plan, 0, pace, hooks)
seconds = [b - a for a, b in zip(ends[warm - 1:], ends[warm:])]
parameters = sum(p.numel() for p in state.network.parameters())
each = (used[-1] - used[warm - 1]) / len(seconds)
print(json.dumps({"seconds": seconds, "processor": each, "parameters": parameters}))
"""


@dataclass(frozen=True)
class Watched:
    """A process with its children.

    Args:
        seconds: from start to end.
        peak_mb: resident memory of the process itself.
        tree_mb: of it and its children, shared pages counted once.
        load: the machine's load average before it started.
        said: the last line of its output.
    """

    seconds: float
    peak_mb: float
    tree_mb: float
    load: float
    said: str


def watched(arguments: list[str], variables: dict[str, str] | None = None) -> Watched:
    """Run a command, and look at its memory until it ends."""
    load, peak, tree = os.getloadavg()[0], 0.0, 0.0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=out, stderr=err, env={**os.environ, **(variables or {})})
        while process.poll() is None:
            peak = max(peak, _field(process.pid, "status", "VmHWM"))
            tree = max(tree, sum(_field(pid, "smaps_rollup", "Pss") for pid in _family(process.pid)))
            try:
                process.wait(_LOOK)
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)[:300]}\n{out.read()[-1500:]}\n{err.read()[-3000:]}")
        lines = out.read().splitlines()
    return Watched(round(seconds, 2), round(peak), round(tree), round(load, 2), lines[-1] if lines else "")


def _family(pid: int) -> list[int]:
    """The process and all that came from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended since
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def _field(pid: int, file: str, name: str) -> float:
    """A size in MB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def raw_dataset(data: Path, folder: Path) -> dict[str, str]:
    """nnU-Net's raw folder, as links to Decathlon's; the variables that name nnU-Net's folders."""
    described = json.loads((data / "dataset.json").read_text())
    raw = folder / "raw" / NAME
    for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / kind).mkdir(parents=True)
        for path in (data / kind).glob("*.nii.gz"):
            (raw / kind / path.name.replace(".nii.gz", ending)).symlink_to(path.resolve())
    content = {
        "channel_names": described["modality"],
        "labels": {name: int(value) for value, name in described["labels"].items()},
        "numTraining": len(list((raw / "labelsTr").iterdir())), "file_ending": ".nii.gz",
    }  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(content))
    return {f"nnUNet_{kind}": str(folder / kind) for kind in ("raw", "preprocessed", "results")}


def nnunet_prepare(python: Path, places: dict[str, str]) -> Watched:
    """`nnUNetv2_plan_and_preprocess`, its check of the data included."""
    command = python.with_name("nnUNetv2_plan_and_preprocess")
    asked = ["-d", str(NUMBER), "-c", CONFIGURATION, "-np", "2", "--verify_dataset_integrity"]
    return watched([str(command), *asked], places)


def calque_prepare(data: Path, run: Path) -> Watched:
    """`calque prepare`: the same three things, as a user types it; its cache as it is."""
    calque = Path(sys.executable).with_name("calque")
    return watched([str(calque), "prepare", str(data), "-o", str(run), "--steps", "1000"])


def nnunet_steps(
    python: Path, places: dict[str, str], batch: int, counts: tuple[int, int], workers: int | None = None
) -> Watched:
    """Its trainer's steps: `counts` to warm up and to time; its own number of workers unless told."""
    folder = Path(places["nnUNet_preprocessed"]) / NAME
    asked = [str(folder), CONFIGURATION, *map(str, (batch, *counts))]
    told = {} if workers is None else {"nnUNet_n_proc_DA": str(workers)}
    return watched([str(python), "-c", _STEPS, *asked], places | told)


def calque_steps(plan: Path, store: Path, warm: int) -> Watched:
    """The steps of the plan, the first `warm` unseen."""
    return watched([sys.executable, "-c", _LOOP, str(plan), str(store), str(warm)])
