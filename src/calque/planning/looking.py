"""What the data look like: one pass over the annotated cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.dataset import Case, Dataset
from calque.dataset.failures import each_case, failure
from calque.dataset.reading import read_mask, read_scan, spacing_known
from calque.errors import DatasetError, GeometryError, InputError
from calque.geometry import Grid, Shape, Spacing
from calque.image import Image, LabelMap
from calque.ops.crop import nonzero_box
from calque.planning.seen import Fingerprint, Intensity
from calque.planning.upright import Thumbnail, thumbnail, upright
from calque.progress import SILENT, Progress

_SAMPLES = 10_000  # foreground voxels per case, as in nnU-Net


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """What one case tells.

    Args:
        grid: after cropping to what is not zero, in the file's own orientation.
        voxels: before cropping.
        counts: voxels per class, background not among them.
        samples: (channel, n) intensities of some foreground voxels.
        small: a picture's thumbnail; None for volumes, whose files say how they stand.
    """

    grid: Grid
    voxels: int
    counts: NDArray[np.int64]
    samples: NDArray[np.float32]
    small: Thumbnail | None = None


def fingerprint(
    dataset: Dataset, *, seed: int = 0, workers: int | None = None, progress: Progress = SILENT
) -> Fingerprint:
    """Read every annotated case once and sum up spacings, shapes, intensities and classes.

    Args:
        dataset: its annotated cases are read.
        seed: of the choice of foreground voxels.
        workers: threads.
        progress: who listens.

    Returns:
        Spacings and shapes are in the orientation that most cases have.

    Raises:
        DatasetError: there is nothing annotated, or some cases cannot be read; all of them are named.
    """
    cases = dataset.annotated
    if not cases:
        raise DatasetError("No case has a mask to learn from", where=dataset.root)
    position = {case.id: number for number, case in enumerate(cases)}
    with progress.task("Looking at the data", len(cases)) as bar:
        facts, failed = each_case(
            lambda case: look(case, dataset, np.random.default_rng([seed, position[case.id]])),
            cases,
            workers,
            bar,
        )
    if failed:
        raise failure("read", dataset, failed)
    return summarise(list(facts.values()), dataset)


def look(case: Case, dataset: Dataset, generator: np.random.Generator) -> CaseFacts:
    """Read one case.

    Raises:
        InputError: it cannot be used.
    """
    image = read_scan(case.images, dataset.channels)
    index, classes = _mask(read_mask(case, dataset.labels, dataset.rule), image), len(dataset.labels.classes)
    counts = np.bincount(index.ravel(), minlength=classes + 1)[1 : classes + 1]
    places = np.flatnonzero((index > 0) & (index <= classes))
    if len(places) > _SAMPLES:
        places = generator.choice(places, _SAMPLES, replace=False)
    at = np.unravel_index(places, index.shape)
    samples = np.stack([channel[at] for channel in image.array]).astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError("The image holds voxels that are not numbers (NaN or infinite)", where=case.id)
    flat = image.array.shape[1] == 1
    small = thumbnail(case.patient, image.array, index, classes) if flat else None
    return CaseFacts(image.grid.cropped(nonzero_box(image.array)), image.grid.voxels, counts, samples, small)


def summarise(facts: Sequence[CaseFacts], dataset: Dataset) -> Fingerprint:
    """Many cases' facts as one fingerprint.

    Raises:
        DatasetError: no mask holds any class.
    """
    counts = np.sum([fact.counts for fact in facts], axis=0)
    if counts.sum() == 0:
        raise DatasetError(
            "No mask holds any class",
            where=dataset.root,
            expected=f"one of {', '.join(dataset.labels.names)}",
        )
    orientations = Counter(fact.grid.orientation for fact in facts)
    codes = most_common(orientations)
    grids = [fact.grid.reorientation(codes).grid(fact.grid) for fact in facts]
    spacings: list[Spacing] = [(g.spacing[0], g.spacing[1], g.spacing[2]) for g in grids]
    shapes: list[Shape] = [g.shape for g in grids]
    total = sum(fact.voxels for fact in facts)
    return Fingerprint(
        cases=len(facts),
        spacings=tuple(spacings),
        shapes=tuple(shapes),
        orientations=dict(orientations),
        intensities=tuple(_intensity(row) for row in np.concatenate([f.samples for f in facts], axis=1)),
        class_fractions=tuple(float(c / total) for c in counts),
        cases_with_class=tuple(int(n) for n in np.sum([f.counts > 0 for f in facts], axis=0)),
        upright=upright([fact.small for fact in facts if fact.small]) if len(orientations) == 1 else None,
        sized=spacing_known(dataset),
    )


def most_common(orientations: dict[str, int]) -> str:
    """The orientation that most cases have; of several, the first in the alphabet."""
    return min(orientations, key=lambda codes: (-orientations[codes], codes))


def _mask(label_map: LabelMap, image: Image) -> NDArray[np.integer]:
    turned = label_map.reoriented(label_map.grid.reorientation(image.grid.orientation))
    if turned.array.shape != image.grid.shape:
        raise GeometryError(
            "The mask and its image differ in shape", expected=image.grid.shape, got=label_map.grid.shape
        )
    return label_map.labels.to_index(turned.array)


def _intensity(values: NDArray[np.float32]) -> Intensity:
    low, median, high = (float(v) for v in np.percentile(values, (0.5, 50, 99.5)))
    mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return Intensity(mean=float(mean), std=float(std), low=low, median=median, high=high)
