"""Masks that each name one organ: do marginal and exclusion loss learn more than ignoring the rest does?

Phantoms of an abdomen. In each training case one class was annotated, in turn, and all else is background
that may be anything. Two plans that differ in `objective.partial` alone are trained with the same seed for
the same number of steps; Dice is taken on phantoms that are annotated whole and were never trained on.

    python benchmarks/partial_labels.py --steps 150 --seeds 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from calque.dataset import Dataset, open_dataset
from calque.dataset.reading import read_mask, read_scan
from calque.evaluation import score_case
from calque.image import LabelMap
from calque.io import write_labels
from calque.phantoms import write_phantoms
from calque.planning import Plan, Timing, plan
from calque.training import TrainOptions, train

KINDS = ("marginal", "ignore")
TESTED = 6
IGNORE = 255


def erase(dataset: Dataset, folder: Path) -> Dataset:
    """Leave one class in each mask, in turn, and say that it alone was looked for."""
    cases = []
    for number, case in enumerate(dataset.cases):
        name = dataset.labels.names[number % len(dataset.labels.names)]
        whole = read_mask(case, dataset.labels, dataset.rule)
        kept = np.where(
            whole.array == dataset.labels.values[dataset.labels.names.index(name)], whole.array, 0
        )
        path = folder / f"{case.id}.nii.gz"
        write_labels(LabelMap(kept.astype(whole.array.dtype), whole.grid, whole.labels), path)
        cases.append(replace(case, label=path, annotated=(name,)))
    labels = dataset.labels.model_copy(update={"ignore": IGNORE})
    return replace(dataset, cases=tuple(cases), labels=labels)


def small(made: Plan, kind: str) -> Plan:
    """A network for minutes on one core."""
    stages = len(made.network.features)
    features = tuple(8 * 2 ** min(k, 3) for k in range(stages))
    sizes = {"features": features, "blocks": (1,) * stages, "decoder_blocks": (1,) * (stages - 1)}
    objective = made.objective.model_copy(update={"partial": kind})
    network = made.network.model_copy(update=sizes)
    return made.model_copy(update={"network": network, "objective": objective})


def dice(model_file: Path, tested: Dataset) -> dict[str, float]:
    """Mean Dice per class on whole annotations."""
    from calque.model import Model

    model, found = Model.load(model_file), {name: [] for name in tested.labels.names}
    for case in tested.cases:
        guess = model.predict(read_scan(case.images, model.plan.channels), engine="torch", mirror="off")
        truth = read_mask(case, tested.labels, tested.rule)
        score = score_case(guess, truth, case=case.id, patient=case.patient)
        for name, values in score.classes.items():
            found[name].append(values.values["dice"])
    return {name: float(np.nanmean(np.array(values, float))) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cases", type=int, default=12)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_phantoms(
            folder / "data", "ct_abdomen", wanted.cases + TESTED, shape=(24, 40, 40), spacing=(8, 8, 8)
        )
        everything = open_dataset(source)
        tested = replace(everything, cases=everything.cases[wanted.cases :])
        partial = erase(replace(everything, cases=everything.cases[: wanted.cases]), folder / "erased")
        made = plan(partial, steps=wanted.steps, timing=Timing(probe=False))
        for seed in range(wanted.seeds):
            for kind in KINDS:
                run = folder / f"{kind}{seed}"
                train(partial, small(made, kind), run, TrainOptions(fold="all", seed=seed))
                each = dice(run / "model.calque", tested)
                row = {
                    "partial": kind,
                    "seed": seed,
                    "mean": float(np.mean(list(each.values()))),
                    "dice": each,
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
