"""The voxels of a case: the one way from listed files to `Image` and `LabelMap`, wherever they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset.model import PLAIN_RULE, Case, Dataset, MaskRule
from calque.errors import DatasetError, GeometryError, InputError, LabelError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import (
    Header,
    Volume,
    label_values,
    read_header,
    read_image,
    read_labels,
    read_mask_volume,
    read_volume,
)
from calque.io.dicom.label_files import read_structures
from calque.io.dicom.labelling import Choice, label
from calque.io.reading import as_reference, grids_differ, is_structures
from calque.labels import BACKGROUND, Labels


def read_scan(paths: Path | str | Sequence[Path | str], channels: Sequence[str] | None = None) -> Image:
    """Read a scan from one file, or from several that hold one channel each, on the first one's grid.

    Channels on other grids are resampled linearly onto the first; where they do not reach, they get their
    lowest value. `check` says which cases this concerns. A picture whose red, green and blue are equal serves
    where one channel is asked for, and a grey one where three are: both are exact.

    Args:
        paths: a file with all channels, or a file per channel.
        channels: their names; by default the file's own.

    Raises:
        ReadError: a file is missing, damaged or of an unknown format.
        GeometryError: a grid is impossible, or a channel shows another part of space.
        InputError: there are not as many channels as names.
    """
    files = [Path(paths)] if isinstance(paths, Path | str) else [Path(p) for p in paths]
    if len(files) > 1:
        volumes = [read_volume(path) for path in files]
        if all(v.header.channels == 1 for v in volumes):
            return _on_first(volumes, files, channels)
        return read_image(files, channels)  # names the file that holds several channels
    if channels is None:
        return read_image(files, None)
    image = read_image(files)
    return _renamed(image, channels) or read_image(files, channels)


def _renamed(image: Image, channels: Sequence[str]) -> Image | None:
    """With these names, grey as three colours or the reverse where that is exact; None where it is not."""
    array, asked = image.array, len(channels)
    if len(array) == 1 and asked == 3 and array.shape[1] == 1 and array.dtype == np.uint8:
        array = np.repeat(array, 3, axis=0)
    elif len(array) == 3 and asked == 1 and image.channels == ("red", "green", "blue"):
        array = array[:1] if (array == array[:1]).all() else array
    return Image(array, image.grid, tuple(channels), image.placed) if len(array) == asked else None


def _on_first(volumes: Sequence[Volume], files: Sequence[Path], channels: Sequence[str] | None) -> Image:
    grid = volumes[0].header.grid
    arrays = [volumes[0].array]
    for volume, path in zip(volumes[1:], files[1:], strict=True):
        if volume.header.grid.isclose(grid):
            arrays.append(volume.array)
        else:
            arrays.append(_resampled(volume, volumes[0], path, files[0]))
    array = np.concatenate(arrays)
    names = tuple(channels) if channels is not None else tuple(f"channel {k + 1}" for k in range(len(array)))
    if len(names) != len(array):
        return read_image(files, channels)  # says which channels are missing
    return Image(array, grid, names, volumes[0].header.placed)


def _resampled(volume: Volume, first: Volume, path: Path, reference: Path) -> NDArray[np.float32]:
    """(1, z, y, x) on the grid of `first`.

    Raises:
        GeometryError: they share no part of space, or one of them does not say where it is.
    """
    grid, own = first.header.grid, volume.header.grid
    if not overlaps(own, grid) or not (first.header.placed and volume.header.placed):
        raise grids_differ(first.header, reference, volume.header, path)
    values = volume.array[0].astype(np.float32)
    change = own.index_from(grid)
    from scipy import ndimage  # slow to import, and seldom needed

    moved = ndimage.affine_transform(
        values,
        change[:3, :3],
        change[:3, 3],
        output_shape=grid.shape,
        order=1,
        mode="constant",
        cval=float(values.min()),
    )
    return np.asarray(moved, dtype=np.float32)[np.newaxis]


def spacing_known(dataset: Dataset) -> bool:
    """Whether the first readable image says how large its voxels are; if not, "mm" means pixels."""
    for case in dataset.cases:
        try:
            return read_header(case.images[0]).spacing_known
        except InputError:
            continue  # `check` names it
    return True


def overlaps(one: Grid, other: Grid) -> bool:
    """Whether boxes around two grids, in LPS mm, share some space."""
    low, high = zip(*(_bounds(grid) for grid in (one, other)), strict=True)
    return bool((np.maximum(*low) <= np.minimum(*high)).all())


def _bounds(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
    world = grid.to_world(corners)
    return world.min(axis=0), world.max(axis=0)


def read_mask(
    case: Case, labels: Labels, rule: MaskRule = PLAIN_RULE, *, keep_background: bool = False
) -> LabelMap:
    """Read the mask of a case: one file, or a file for each class.

    Where not every class was annotated, what is background may be one of the others: it becomes the ignore
    value, which is not scored.

    Args:
        case: it has a mask.
        labels: what the values mean.
        rule: what stored values stand for, and who wins where classes overlap.
        keep_background: leave it as it is, for those who know which classes were annotated.

    Raises:
        LabelError: values or colours that nobody declared, classes that overlap without a rule.
        DatasetError: the case has no mask.
        ReadError, GeometryError: a file cannot be read, or files lie on different grids.
    """
    if case.label is not None:
        found = read_labels(
            case.label, labels, rule.coding, reference=case.reference, choice=Choice(priority=rule.priority)
        )
    elif case.parts:
        found = _merged(case, labels, rule)
    else:
        raise DatasetError("This case has no mask", where=case.id)
    if keep_background or not case.is_partial(labels):
        return found
    if labels.ignore is None:
        raise LabelError(
            "Some classes of this case were not annotated, so its background is unknown",
            where=case.id,
            expected="an ignore value in the labels",
            got=f"annotated: {', '.join(case.annotated or ()) or 'none'}",
        )
    array = np.where(found.array == BACKGROUND, labels.ignore, found.array).astype(labels.dtype)
    return LabelMap(array, found.grid, labels)


def marked_by(name: str, path: Path, image: Path | None) -> tuple[NDArray[np.bool_], Header]:
    """(z, y, x): what the mask of one class marks, and its header.

    Of a SEG or RTSTRUCT that is the structure of the class's name, or the only one.

    Raises:
        LabelError: values that cannot be labels, or several structures of which none has the name.
        ReadError, GeometryError: it cannot be read, or not on the image.
    """
    if not is_structures(path):
        volume = read_mask_volume(path)
        return label_values(volume, path) > 0, volume.header
    structures = read_structures(path, None if image is None else as_reference(image))
    only = structures.names[0] if len(structures.names) == 1 else name
    found = label(structures, path, None, Choice(structures=(only,))).label_map
    return found.array > 0, Header(found.grid, 1, found.array.dtype)


def _merged(case: Case, labels: Labels, rule: MaskRule) -> LabelMap:
    """One label map of masks of single classes: what is above 0 is the class."""
    values = dict(zip(labels.names, labels.values, strict=True))
    order = {name: place for place, name in enumerate(rule.priority)}
    # The lowest priority first: the others paint over it.
    parts = sorted(case.parts, key=lambda part: -order.get(part[0], len(order)))
    array: NDArray[np.unsignedinteger] | None = None
    for name, path in parts:
        here, own = marked_by(name, path, case.reference)
        if array is None:
            first, header = path, own
            array = np.zeros(here.shape, dtype=labels.dtype)
        if not own.grid.isclose(header.grid):
            raise grids_differ(header, first, own, path)
        shared = int(np.count_nonzero(array[here]))
        if shared and name not in order:
            raise LabelError(
                "Two classes claim the same voxels",
                where=f"{case.id}: {path}",
                got=f"{shared} voxels of {name}",
                fix="say which class wins in the column `priority` of the manifest's labels",
            )
        array[here] = values[name]
    if array is None:
        raise GeometryError("This case has no mask", where=case.id)
    return LabelMap(array, header.grid, labels)
