"""The 200 hippocampus pairs with all default metrics, against nnU-Net's counts and MONAI's distances for the
same.

The truth is that of the Medical Segmentation Decathlon in the folder that CALQUE_DATA names; predictions are
the truth moved by a voxel and eroded or dilated. The peer reads each file with nibabel, counts as
`nnUNetv2_evaluate_folder` does (true and false positives and negatives of each class) and lets MONAI make
HD95, ASSD and NSD: less than what nnU-Net's own program does. Both on one thread.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np
from harness import measure
from scipy import ndimage

from calque.evaluation import evaluate
from calque.image import LabelMap
from calque.io import read_labels, write_labels

CLASSES = (1, 2)


def predictions(truth: Path, folder: Path) -> None:
    """One for each truth."""
    for k, path in enumerate(sorted(truth.glob("hippocampus_*.nii.gz"))):
        known = read_labels(path)
        moved = np.roll(known.array, k % 3 - 1, axis=k % 2)
        change = (ndimage.grey_erosion, ndimage.grey_dilation)[k % 2]
        write_labels(LabelMap(change(moved, 3), known.grid, known.labels), folder / path.name)


def peer(predicted: Path, truth: Path) -> None:
    """nnU-Net's counts and MONAI's distances."""
    import torch
    from monai import metrics

    for path in sorted(predicted.glob("*.nii.gz")):
        files = [nibabel.load(folder / path.name) for folder in (predicted, truth)]
        arrays = [np.asarray(file.dataobj) for file in files]
        for value in CLASSES:
            here, there = (array == value for array in arrays)
            for one, other in ((here, there), (here, ~there), (~here, there), (~here, ~there)):
                np.sum(one & other)
        given = [torch.from_numpy(np.stack([a == v for v in CLASSES])[None]) for a in arrays]
        spacing = [float(s) for s in files[1].header.get_zooms()]
        options = {"include_background": True, "spacing": spacing}
        metrics.compute_hausdorff_distance(*given, percentile=95, **options)
        metrics.compute_average_surface_distance(*given, symmetric=True, **options)
        metrics.compute_surface_dice(*given, class_thresholds=[1.0] * len(CLASSES), **options)


def run(record) -> None:
    """Each three times, reading included."""
    warnings.simplefilter("ignore")
    truth = Path(os.environ["CALQUE_DATA"]) / "hippocampus" / "labelsTr"
    with tempfile.TemporaryDirectory() as place:
        predictions(truth, Path(place))
        record("calque", measure(lambda: evaluate(place, truth, workers=1), repeats=3))
        record("nnU-Net's counts and MONAI", measure(lambda: peer(Path(place), truth), repeats=3))
