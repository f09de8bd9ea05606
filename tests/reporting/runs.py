"""A small run folder, as training leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calque.dataset.doctor.findings import CheckReport, finding
from calque.evaluation import score_case, summarise
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels, write_text_atomic
from calque.labels import Labels
from calque.nets import NetworkConfig
from calque.planning.model import Normalisation, Plan
from calque.planning.schedule import Schedule
from calque.planning.seen import Fingerprint, Intensity
from calque.training.history import History, HistoryRow
from calque.training.run import CaseRecord, DatasetRecord, RunFolder, Split

EVIL = 'é<script>alert(1)</script>&"'
LABELS = Labels.from_names({"organ": 1, "<b>lesion</b>": 2})
GRID = Grid.from_parts((10, 12, 14), (2.0, 1.0, 1.5))


def masks(shift: int) -> tuple[LabelMap, LabelMap]:
    """Prediction and truth; a prediction that is moved by `shift` voxels misses the lesion."""
    truth = np.zeros(GRID.shape, np.uint8)
    truth[3:7, 3:8, 3:9] = 1
    truth[4:6, 5:7, 5:7] = 2
    predicted = np.roll(truth, shift, axis=2)
    if shift:
        predicted[predicted == 2] = 1
    return LabelMap(predicted, GRID, LABELS), LabelMap(truth, GRID, LABELS)


def make_plan() -> Plan:
    network = NetworkConfig(
        kind="residual", inputs=1, outputs=3, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
        kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
    )  # fmt: skip
    intensity = Intensity(mean=0, std=1, low=-1, median=0, high=1)
    fingerprint = Fingerprint(
        cases=3, spacings=(GRID.spacing,) * 3, shapes=(GRID.shape,) * 3, orientations={"SPL": 3},
        intensities=(intensity,), class_fractions=(0.1, 0.01), cases_with_class=(3, 3),
    )  # fmt: skip
    return Plan(
        dataset="demo", channels=("MR",), labels=LABELS, orientation="SPL", spacing=(2.0, 1.0, 1.5),
        normalisation=(Normalisation(scheme="zscore"),), patch=(8, 8, 8), batch=2, network=network,
        schedule=Schedule(steps=20), fingerprint=fingerprint, reasons={"patch": "it <i>fits</i>"},
    )  # fmt: skip


def make_run(folder: Path, names: tuple[str, ...] = ("good", "fair", "poor"), folds: int = 1) -> Path:
    """A finished run; case k is predicted k voxels off."""
    run = RunFolder(folder / "run")
    records, scored = [], []
    for k, name in enumerate(names):
        predicted, truth = masks(k)
        scan = np.random.default_rng(k).normal(size=(1, *GRID.shape)).astype(np.float32)
        paths = folder / "data" / f"{name}_scan.nii.gz", folder / "data" / f"{name}.nii.gz"
        write_image(Image(scan, GRID, ("MR",)), paths[0])
        write_labels(truth, paths[1])
        write_labels(predicted, run.fold(k % folds).validation / f"{name}.nii.gz")
        records.append(CaseRecord(id=name, patient=name, images=(str(paths[0]),), label=str(paths[1])))
        scored.append(score_case(predicted, truth, case=name))
    record = DatasetRecord(
        name=EVIL,
        root=str(folder / "data"),
        layout="msd",
        channels=("MR",),
        labels=LABELS,
        cases=tuple(records),
    )
    write_text_atomic(run.dataset, record.to_json())
    write_text_atomic(run.plan, make_plan().to_json())
    report = CheckReport(dataset="demo", cases=names, findings=(finding("mask-empty", case=names[0]),))
    write_text_atomic(run.check, report.to_json())
    for fold in range(folds):
        part = tuple(names[fold::folds])
        summarise(scored[fold::folds], LABELS).write(run.fold(fold).scores)
        write_text_atomic(run.fold(fold).split, Split(train=("x",) * 7, validation=part).to_json())
        history = History(run.fold(fold).history)
        for step in range(1, 11):
            dice = {"organ": step / 10, "<b>lesion</b>": 0.5} if step % 5 == 0 else None
            history.add(HistoryRow(step=step, seconds=30.0 * step, loss=1 / step, rate=1e-3, dice=dice))
    return run.path
