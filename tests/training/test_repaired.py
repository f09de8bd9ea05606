"""Training on a repaired copy gives what training on the originals gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from benchmarks.faults import DAMAGES
from tests.training.runs import TWO_FOLDS, assert_same_weights, plan_for

from calque.dataset import check, open_dataset
from calque.dataset.doctor.repair import repair
from calque.phantoms import write_phantoms
from calque.planning import Schedule
from calque.preparation import Store
from calque.training import train

EXACT = (
    "wrong-suffix",
    "positions-disagree",
    "labels-scaled",
    "labels-float",
    "mask-rgb",
    "grids-nearly-equal",
)
"""What is mended without changing a voxel that training sees; a case each."""


def test_what_is_repaired_trains_as_the_originals_do(tmp_path: Path) -> None:
    source = write_phantoms(
        tmp_path / "good", "mr_brain", len(EXACT), shape=(12, 20, 18), spacing=(8, 8, 8), varied=False
    )
    damaged = Path(shutil.copytree(source, tmp_path / "bad"))
    good, bad = open_dataset(source), open_dataset(damaged)
    random = np.random.default_rng(0)
    for case, kind in zip(bad.cases, EXACT, strict=True):
        assert case.label is not None
        DAMAGES[kind][0][1](case.images[0], case.label, random)
    assert {f.name for f in check(open_dataset(damaged)).repairable} == set(EXACT)

    mended = open_dataset(repair(open_dataset(damaged), tmp_path / "mended").folder)
    assert not check(mended).repairable
    plan = plan_for(good, schedule=Schedule(steps=3))
    models = [
        train(dataset, plan, tmp_path / name, TWO_FOLDS) for dataset, name in ((good, "one"), (mended, "two"))
    ]
    before, after = (Store(tmp_path / name / "prepared") for name in ("one", "two"))
    for case in good.cases:
        one, two = before.load(case.id), after.load(case.id)
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.labels, two.labels)
        assert one.placement.prepared.isclose(two.placement.prepared)
    assert_same_weights(*models)
