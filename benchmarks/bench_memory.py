"""Peak memory of predicting long scans: 512x512 voxels a slice, 3 and 1.5 mm, 25 and 118 classes.

Each figure is a process of its own that loads a model, reads a scan from disk, predicts and writes; the
network is light and random, for memory depends on windows, classes, slices and features (32, as nnU-Net's),
and not on what was learned.
The forecast that Calque made before it began stands beside what the system measured (`ru_maxrss`).

    python benchmarks/bench_memory.py SLICES SPACING CLASSES    one figure, as JSON
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CASES = (
    (1000, 3.0, 25),
    (2000, 3.0, 25),
    (1000, 3.0, 118),
    (1000, 1.5, 25),
    (2000, 1.5, 25),
    (1000, 1.5, 118),
    (2000, 1.5, 118),
)
LIMITS = {3.0: 4 * 2**30, 1.5: 8 * 2**30}  # for 1000 slices; image and labels grow with longer scans
PLANE, VOXEL = (512, 512), (1.0, 0.75, 0.75)


def run(record: Callable[[str, object], None]) -> None:
    from harness import Figure

    for slices, spacing, classes in CASES:
        found = in_process(slices, spacing, classes)
        seconds = found["seconds"]
        name = f"{slices} slices, {spacing} mm, {classes} classes, forecast {found['forecast_gb']} GB"
        record(name, Figure(seconds, seconds, seconds, 1, found["peak_gb"] * 1024))


def in_process(slices: int, spacing: float, classes: int) -> dict[str, float]:
    arguments = [sys.executable, __file__, str(slices), str(spacing), str(classes)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(folder: Path, slices: int, spacing: float, classes: int) -> tuple[Path, Path]:
    """A scan with a body in it, and a model."""
    from calque.geometry import Grid
    from calque.image import Image
    from calque.io import write_image
    from calque.labels import Labels
    from calque.model import Card, Model
    from calque.nets import NetworkConfig, build
    from calque.planning import Fingerprint, Intensity, Normalisation, Plan, Schedule

    rng = np.random.default_rng(0)
    y, x = np.ogrid[: PLANE[0], : PLANE[1]]
    body = ((y - 256) / 180) ** 2 + ((x - 256) / 230) ** 2 < 1
    plane = np.where(body, rng.integers(-100, 200, PLANE), -1000).astype(np.int16)
    array = np.empty((1, slices, *PLANE), np.int16)
    for number in range(slices):
        array[0, number] = np.roll(plane, number % 40, axis=0)
    write_image(Image(array, Grid.from_parts((slices, *PLANE), VOXEL), ("CT",)), folder / "scan.nii.gz")
    network = NetworkConfig(
        kind="plain", inputs=1, outputs=classes, features=(32,) * 3, strides=((1, 1, 1), *((2, 2, 2),) * 2),
        kernels=((1, 1, 1), *((3, 3, 3),) * 2), blocks=(1,) * 3, decoder_blocks=(1,) * 2,
    )  # fmt: skip
    fingerprint = Fingerprint(
        cases=1, spacings=((spacing,) * 3,), shapes=((300, 128, 128),), orientations={"SPL": 1},
        intensities=(Intensity(mean=0, std=100, low=-900, median=0, high=900),),
        class_fractions=(0.01,) * (classes - 1), cases_with_class=(1,) * (classes - 1),
    )  # fmt: skip
    plan = Plan(
        dataset="phantom", channels=("CT",), orientation="SPL", spacing=(spacing,) * 3, crop="none",
        labels=Labels.from_names({f"class {k}": k for k in range(1, classes)}),
        normalisation=(Normalisation(scheme="ct", low=-900, high=900, mean=0, std=100),),
        patch=(128, 128, 128), batch=1, network=network, schedule=Schedule(steps=1), fingerprint=fingerprint,
    )  # fmt: skip
    card = Card(created="2026-01-01", calque="0", torch="0", dataset="phantom", cases=1)
    Model(plan, (build(network).state_dict(),), card).save(folder / "model.calque")
    return folder / "model.calque", folder / "scan.nii.gz"


def predict(model: Path, scan: Path, limit: int) -> dict[str, float]:
    """What `calque predict --memory` does, and what it took."""
    from calque.io import read_header
    from calque.model import Model
    from calque.prediction import PredictOptions
    from calque.prediction import predict as predict_files

    begin = time.perf_counter()
    options = PredictOptions(memory=limit, precision="f32", mirror="off", cache=scan.parent)
    predictor = Model.load(model).predictor(options)
    forecast = predictor.forecast(read_header(scan).grid, 2)
    result = predict_files(predictor, scan, scan.parent / "out")
    if result.failed:
        raise SystemExit(result.failed[0].error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "peak_gb": round(peak / 2**30, 2),
        "forecast_gb": round(forecast.memory_bytes / 2**30, 2),
        "image_and_labels_gb": round((forecast.parts["image"] + forecast.parts["labels"]) / 2**30, 2),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def main(slices: int, spacing: float, classes: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        what = f"pathlib.Path({place!r}), {slices}, {spacing}, {classes}"
        maker = f"import bench_memory, pathlib; bench_memory.make({what})"
        subprocess.run([sys.executable, "-c", maker], check=True, cwd=Path(__file__).parent)
        limit = LIMITS[spacing] + 3 * max(0, slices - 1000) * PLANE[0] * PLANE[1]
        found = predict(folder / "model.calque", folder / "scan.nii.gz", limit)
    print(json.dumps({"slices": slices, "spacing": spacing, "classes": classes, **found}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
