"""Preparing and training beside the real nnU-Net, on 200 hippocampus cases, in one run.

    CALQUE_NNUNET=PEER/bin/python CALQUE_DATA=DATA python benchmarks/bench_training.py prepare step

`prepare`: `calque prepare` against `nnUNetv2_plan_and_preprocess --verify_dataset_integrity`, the commands
that a user types, in turn, medians. Both check the data, look at them, plan and write every case down,
nnU-Net in two processes, Calque in threads. Neither times a step: Calque plans by steps here.
`step`: a step of the training loop, data loading and augmentation included, against that of nnU-Net's trainer
with its loaders, on nnU-Net's own network and patch, four patches a batch. Seconds of the processor
(`processor`, all of a side's processes) say something on a busy machine too.
See peer_nnunet.py for nnU-Net's environment.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peer_nnunet as peers
import peer_training as sides

BATCH = 4
COUNTS = (2, 8)  # steps unseen, steps timed
PARTS = ("prepare", "step")
REPEATS = 3
RUN = "run0"
_TIMING = 30.0  # seconds that comparing precisions may take


def run(record: Callable[[str, object], None]) -> None:
    """For harness.py: the same lines of JSON."""
    del record  # what is told here are ratios of whole processes
    if peers.peer() is None or "CALQUE_DATA" not in os.environ:
        print(json.dumps({"benchmark": "training", "left out": "CALQUE_NNUNET or CALQUE_DATA is not set"}))
        return
    main(list(PARTS))


def prepare(python: Path, data: Path, folder: Path) -> tuple[dict[str, str], dict[str, object]]:
    """nnU-Net's folders, and what both sides took."""
    places = sides.raw_dataset(data, folder)
    theirs, ours = [], []
    for number in range(REPEATS):
        shutil.rmtree(places["nnUNet_preprocessed"], ignore_errors=True)
        theirs.append(sides.nnunet_prepare(python, places))
        ours.append(sides.calque_prepare(data, folder / f"run{number}"))
    found: dict[str, object] = {}
    for name, side in (("nnU-Net", theirs), ("Calque", ours)):
        keys = ("seconds", "peak_mb", "tree_mb", "load")
        found[name] = [{key: vars(one)[key] for key in keys} for one in side]
    medians = [statistics.median(one.seconds for one in side) for side in (theirs, ours)]
    found["medians"] = medians
    found["times as fast"] = round(medians[0] / medians[1], 2)
    return places, found


def step(python: Path, places: dict[str, str], folder: Path) -> dict[str, object]:
    """Seconds a step and memory."""
    chosen = _same_network(places, folder)
    ours = sides.calque_steps(folder / "same.json", folder / RUN / "prepared", COUNTS[0])
    found: dict[str, object] = {"chosen": chosen, "Calque": _told(ours)}
    here = statistics.median(json.loads(ours.said)["seconds"])
    default = min(12, os.cpu_count() or 1)  # nnU-Net's rule, on a machine that it does not know by name
    for workers in sorted({default, 2}):
        theirs = sides.nnunet_steps(python, places, BATCH, COUNTS, workers)
        there = statistics.median(json.loads(theirs.said)["seconds"])
        found[f"nnU-Net, {workers} workers"] = _told(theirs)
        found[f"times as fast, {workers} workers"] = round(there / here, 2)
        work = json.loads(theirs.said)["processor"] / json.loads(ours.said)["processor"]
        found[f"times less of the processor, {workers} workers"] = round(work, 2)
        found[f"share of its main process, {workers} workers"] = round(ours.peak_mb / theirs.peak_mb, 3)
        found[f"share of its memory, {workers} workers"] = round(ours.tree_mb / theirs.tree_mb, 3)
    return found


def _told(watched: sides.Watched) -> dict[str, object]:
    said = json.loads(watched.said)
    taken = said.pop("seconds")
    numbers = {"median": statistics.median(taken), "fastest": min(taken), "slowest": max(taken)}
    rounded = {name: round(value, 3) for name, value in numbers.items()}
    return rounded | said | {key: vars(watched)[key] for key in ("peak_mb", "tree_mb", "load")}


def _same_network(places: dict[str, str], folder: Path) -> dict[str, object]:
    """Calque's plan with nnU-Net's network and patch, precision and layout as the planner's timing has it."""
    from calque.interop.architecture import network_config
    from calque.interop.foreign import configuration_of, read_plans
    from calque.planning import Plan, Schedule
    from calque.planning.machine import find_machine
    from calque.planning.probe import time_modes

    path = Path(places["nnUNet_preprocessed"]) / sides.NAME / "nnUNetPlans.json"
    theirs = configuration_of(read_plans(path), sides.CONFIGURATION, path)
    made = Plan.read(folder / RUN / "plan.json")
    outputs = (len(made.channels), made.decoder.outputs)
    network = network_config(theirs.architecture, 3, outputs, path)
    z, y, x = theirs.patch_size
    times = time_modes(network, (z, y, x), BATCH, find_machine(), _TIMING)
    precision, last = min(times, key=lambda mode: times[mode])
    changes = {
        "network": network, "patch": (z, y, x), "batch": BATCH, "precision": precision, "channels_last": last,
        "schedule": Schedule(steps=sum(COUNTS)),
    }  # fmt: skip
    (folder / "same.json").write_text(made.model_copy(update=changes).to_json())
    probed = {f"{mode[0]}{', channels last' if mode[1] else ''}": round(times[mode], 3) for mode in times}
    return {"features": network.features, "patch": (z, y, x), "batch": BATCH, "probed": probed}


def main(arguments: list[str]) -> None:
    """Print a line of JSON for each figure."""
    python = peers.peer()
    if python is None:
        raise SystemExit("CALQUE_NNUNET names the Python of an environment with nnunetv2: see peer_nnunet.py")
    wrong = set(arguments) - set(PARTS)
    if wrong or not arguments:
        raise SystemExit(f"say which: {' '.join(PARTS)}")
    data = Path(os.environ["CALQUE_DATA"]) / "hippocampus"
    with tempfile.TemporaryDirectory() as place:
        places, found = prepare(python, data, Path(place))  # steps need it, too
        if "prepare" in arguments:
            _show("prepare", found)
        if "step" in arguments:
            _show("step", step(python, places, Path(place)))


def _show(part: str, found: dict[str, object]) -> None:
    for name, value in found.items():
        print(json.dumps({"benchmark": "training", "part": part, name: value}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
