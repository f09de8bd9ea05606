"""A folder of phantoms in the layout of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from calque.errors import InputError
from calque.geometry import Grid, Shape, Spacing
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.io.atomic import atomic_path
from calque.labels import Labels
from calque.phantoms import ct, mr, picture
from calque.progress import SILENT, Progress

Draw = Callable[[np.random.Generator, Shape, Spacing], tuple[Image, LabelMap]]


@dataclass(frozen=True)
class Kind:
    """A sort of phantom.

    Args:
        draw: makes one case.
        channels: names of its channels.
        labels: its classes.
        shape: voxels (z, y, x) unless asked otherwise.
        spacing: mm (z, y, x) unless asked otherwise.
    """

    draw: Draw
    channels: tuple[str, ...]
    labels: Labels
    shape: Shape
    spacing: Spacing


KINDS: dict[str, Kind] = {
    "ct_abdomen": Kind(ct.ct_abdomen, ct.CHANNELS, ct.LABELS, (64, 96, 96), (5.0, 3.5, 3.5)),
    "mr_brain": Kind(mr.mr_brain, mr.CHANNELS, mr.LABELS, (64, 96, 96), (2.5, 2.0, 2.0)),
    "picture_2d": Kind(picture.picture_2d, picture.CHANNELS, picture.LABELS, (1, 128, 128), (1.0, 1.0, 1.0)),
}

# Array orders and directions in which scanners store volumes; the first is the one of most CT.
_ORDERS = ("SPL", "SAR", "IPL", "LPS", "RAS", "PSR")
_TILT_DEGREES = 12.0


def choose_kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
        InputError: there is none; the choices are listed.
    """
    if name not in KINDS:
        raise InputError("There is no such kind of phantom", got=name, expected=", ".join(KINDS))
    return KINDS[name]


def write_phantoms(  # noqa: PLR0913 - what a person may want to vary about a data set
    folder: Path,
    kind: str,
    cases: int,
    *,
    shape: Shape | None = None,
    spacing: Spacing | None = None,
    seed: int = 0,
    varied: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write `cases` patients as imagesTr, labelsTr and dataset.json; the same seed writes the same voxels.

    Args:
        folder: where; made if need be, and empty of a data set before.
        kind: a key of `KINDS`.
        cases: how many, at least 1.
        shape: voxels (z, y, x); the kind's own by default.
        spacing: mm (z, y, x); the kind's own by default.
        seed: each case has its own stream, so that more cases leave the first ones as they were.
        varied: spacing, order and direction of axes and tilt differ from case to case.
        progress: told of every case.

    Returns:
        `folder`.

    Raises:
        InputError: an unknown kind, no case, or a folder that already holds a data set.
    """
    chosen = choose_kind(kind)
    if cases < 1:
        raise InputError("A data set has at least one case", got=cases)
    if (folder / "dataset.json").exists():
        raise InputError("This folder already holds a data set", where=folder, fix="choose another folder")
    training = []
    with progress.task("drawing phantoms", total=cases) as task:
        for number in range(cases):
            name = f"{kind}_{number:03d}.nii.gz"
            generator = np.random.default_rng([seed, number])
            image, label_map = _draw(chosen, generator, shape, spacing, varied)
            entry = {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}
            for path in entry.values():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_image(image, folder / entry["image"])
            write_labels(label_map, folder / entry["label"])
            training.append(entry)
            task.advance(note=name)
    _write_description(folder, kind, chosen, training)
    return folder


def _draw(
    kind: Kind, generator: np.random.Generator, shape: Shape | None, spacing: Spacing | None, varied: bool
) -> tuple[Image, LabelMap]:
    shape, spacing = shape or kind.shape, spacing or kind.spacing
    if not varied:
        return kind.draw(generator, shape, spacing)
    z, y, x = (s * g for s, g in zip(spacing, generator.uniform(0.9, 1.1, 3), strict=True))
    image, label_map = kind.draw(generator, shape, (z, y, x))
    angles = generator.uniform(-_TILT_DEGREES, _TILT_DEGREES, 3)
    tilt = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    grid = Grid.from_parts(
        shape, image.grid.spacing, generator.uniform(-200, 200, 3).tolist(), tilt @ image.grid.direction
    )
    change = grid.reorientation(str(generator.choice(_ORDERS)))
    return (
        Image(image.array, grid, image.channels).reoriented(change),
        LabelMap(label_map.array, grid, label_map.labels).reoriented(change),
    )


def _write_description(folder: Path, name: str, kind: Kind, training: list[dict[str, str]]) -> None:
    description = {
        "name": name,
        "description": "Phantoms generated by Calque",
        "licence": "CC0-1.0",
        "tensorImageSize": "3D" if len(kind.channels) == 1 else "4D",
        "modality": {str(k): channel for k, channel in enumerate(kind.channels)},
        "labels": {"0": "background"} | {str(label.value): label.name for label in kind.labels.classes},
        "numTraining": len(training),
        "numTest": 0,
        "training": training,
        "test": [],
    }
    with atomic_path(folder / "dataset.json") as path:
        path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
