"""HD95, NSD and ASSD of five classes against DeepMind's surface-distance and MONAI: 256 x 256 x 128 voxels.

All three on one thread. `surface-distance` weighs by area where Calque and MONAI count border voxels.
"""

from __future__ import annotations

import warnings

import numpy as np
from harness import measure
from scipy import ndimage

from calque.evaluation import Rules, score_case
from calque.geometry import Grid
from calque.image import LabelMap
from calque.labels import Labels

SHAPE, SPACING, CLASSES = (128, 256, 256), (2.0, 0.8, 0.8), 5
METRICS = ("hd95", "nsd", "assd")


def phantom() -> tuple[LabelMap, LabelMap]:
    """Five organs of 12 to 45 mm; the prediction is off by a wavy voxel or two."""
    generator = np.random.default_rng(0)
    coordinates = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")).astype(np.float32)
    waves = [ndimage.zoom(generator.normal(0, 2.0, [n // 16 for n in SHAPE]), 16, order=1) for _ in range(3)]
    moved = coordinates + np.stack(waves).astype(np.float32)
    centres = [(40, 70, 70), (60, 180, 80), (80, 120, 180), (40, 200, 200), (100, 60, 200)]
    radii = [(15, 45, 40), (20, 40, 50), (12, 30, 30), (10, 20, 20), (8, 15, 15)]
    maps = []
    for places in (moved, coordinates):
        array = np.zeros(SHAPE, np.uint8)
        for value, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
            inside = sum(((p - c) / r) ** 2 for p, c, r in zip(places, centre, radius, strict=True))
            array[inside < 1] = value
        labels = Labels.from_names({f"organ {v}": v for v in range(1, CLASSES + 1)})
        maps.append(LabelMap(array, Grid.from_parts(SHAPE, SPACING), labels))
    return maps[0], maps[1]


def ours(predicted: LabelMap, truth: LabelMap) -> None:
    score_case(predicted, truth, Rules(METRICS))


def deepminds(predicted: LabelMap, truth: LabelMap) -> None:
    import surface_distance as sd

    for value in range(1, CLASSES + 1):
        found = sd.compute_surface_distances(truth.array == value, predicted.array == value, SPACING)
        sd.compute_robust_hausdorff(found, 95)
        sd.compute_average_surface_distance(found)
        sd.compute_surface_dice_at_tolerance(found, 1.0)


def monais(predicted: LabelMap, truth: LabelMap) -> None:
    import torch
    from monai import metrics

    given = [
        torch.from_numpy(np.stack([m.array == v for v in range(1, CLASSES + 1)])[None])
        for m in (predicted, truth)
    ]
    options = {"include_background": True, "spacing": SPACING}
    metrics.compute_hausdorff_distance(*given, percentile=95, **options)
    metrics.compute_average_surface_distance(*given, symmetric=True, **options)
    metrics.compute_surface_dice(*given, class_thresholds=[1.0] * CLASSES, **options)


def run(record) -> None:
    """Each program five times, in turn on the same masks."""
    warnings.simplefilter("ignore")
    pair = phantom()
    for name, function in (("calque", ours), ("surface-distance", deepminds), ("monai", monais)):
        record(name, measure(lambda function=function: function(*pair), repeats=5))
