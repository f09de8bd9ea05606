"""The 200 hippocampus pairs with all default metrics, against the real nnU-Net and MONAI: whole processes.

    CALQUE_NNUNET=PEER/bin/python python benchmarks/harness.py hippocampus

The truth is that of the Medical Segmentation Decathlon in the folder that CALQUE_DATA names; predictions are
the truth moved by a voxel and eroded or dilated. The peer is `nnUNetv2_evaluate_folder` (Dice, IoU and
counts; with its default number of processes, and with two) and, for what it lacks, a process in which MONAI
makes HD95, ASSD and NSD of the same files. Calque is `calque evaluate` with its nineteen default metrics,
intervals, CSV and JSON. Runs take turns, so that the machine's moods strike all.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Figure
from peer_nnunet import Taken, peer, timed

CLASSES = (1, 2)
REPEATS = 3
_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")  # it wants them to be named


def predictions(truth: Path, folder: Path) -> None:
    """One for each truth."""
    from scipy import ndimage

    from calque.image import LabelMap
    from calque.io import read_labels, write_labels

    for k, path in enumerate(sorted(truth.glob("hippocampus_*.nii.gz"))):
        known = read_labels(path)
        moved = np.roll(known.array, k % 3 - 1, axis=k % 2)
        change = (ndimage.grey_erosion, ndimage.grey_dilation)[k % 2]
        write_labels(LabelMap(change(moved, 3), known.grid, known.labels), folder / path.name)


def distances(predicted: Path, truth: Path) -> None:
    """MONAI's HD95, ASSD and NSD of every class."""
    import nibabel
    import torch
    from monai import metrics

    warnings.simplefilter("ignore")
    for path in sorted(predicted.glob("*.nii.gz")):
        files = [nibabel.load(folder / path.name) for folder in (predicted, truth)]
        arrays = [np.asarray(file.dataobj) for file in files]
        given = [torch.from_numpy(np.stack([a == v for v in CLASSES])[None]) for a in arrays]
        spacing = [float(s) for s in files[1].header.get_zooms()]
        options = {"include_background": True, "spacing": spacing}
        metrics.compute_hausdorff_distance(*given, percentile=95, **options)
        metrics.compute_average_surface_distance(*given, symmetric=True, **options)
        metrics.compute_surface_dice(*given, class_thresholds=[1.0] * len(CLASSES), **options)


def run(record: Callable[[str, Figure], None]) -> None:
    """Each three times, in turn; one unseen round first."""
    root = Path(os.environ["CALQUE_DATA"])
    truth, results = root / "hippocampus" / "labelsTr", root / "nnunet-model" / "results"
    with tempfile.TemporaryDirectory() as place:
        guessed, out = Path(place) / "predicted", Path(place) / "out"
        guessed.mkdir()
        out.mkdir()
        predictions(truth, guessed)
        commands = _commands(truth, guessed, results, out)
        taken: dict[str, list[Taken]] = {name: [] for name in commands}
        for turn in range(REPEATS + 1):
            for name, command in commands.items():
                found = timed(
                    command, {"nnUNet_raw": place, "nnUNet_preprocessed": place, "nnUNet_results": place}
                )
                if turn:
                    taken[name].append(found)
        for name, runs in taken.items():
            seconds = [one.seconds for one in runs]
            peak = round(max(one.peak_mb for one in runs), 1)
            record(name, Figure(statistics.median(seconds), min(seconds), max(seconds), REPEATS, peak))


def _commands(truth: Path, guessed: Path, results: Path, out: Path) -> dict[str, list[str]]:
    calque = [sys.executable, "-m", "calque.cli", "evaluate", str(guessed), str(truth)]
    written = ["--json", str(out / "scores.json"), "--csv", str(out / "scores.csv")]
    found = {
        "calque": [*calque, *written],
        "calque, one worker": [*calque, *written, "--workers", "1"],
        "MONAI's distances": [sys.executable, __file__, str(guessed), str(truth)],
    }
    python = peer()
    if python is not None:
        tool = [str(python.parent / "nnUNetv2_evaluate_folder"), str(truth), str(guessed)]
        tool += ["-djfile", str(results / "dataset.json"), "-pfile", str(results / "plans.json")]
        tool += ["-o", str(out / "summary.json")]
        found["nnU-Net, its 8 processes"] = tool
        found["nnU-Net, 2 processes"] = [*tool, "-np", "2"]
    return found


if __name__ == "__main__":
    distances(Path(sys.argv[1]), Path(sys.argv[2]))
