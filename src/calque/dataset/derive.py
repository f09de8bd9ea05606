"""Channels and labels where nobody declares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calque.errors import DatasetError, InputError
from calque.io import read_header, read_labels
from calque.io.reading import derive_labels
from calque.labels import BACKGROUND, Labels, present_values
from calque.parallel import map_bounded


def channels_from_files(images: Sequence[Path], root: Path) -> tuple[str, ...]:
    """ "channel 1", ... for as many channels as the first readable image has.

    Raises:
        DatasetError: none is readable.
    """
    problem: InputError | None = None
    for path in images:
        try:
            count = read_header(path).channels
        except InputError as error:
            problem = problem or error  # this case is `check`'s to name; the next one tells as well
            continue
        return tuple(f"channel {k + 1}" for k in range(count))
    raise DatasetError("No image of this dataset can be read", where=root, got=problem)


def labels_from_masks(masks: Sequence[Path], root: Path) -> Labels:
    """A class "class N" for each value above 0 in any readable mask.

    Raises:
        DatasetError: no mask is readable, or all are empty.
    """
    found: set[int] = set()
    problems: list[Exception] = []
    for outcome in map_bounded(_values, masks):
        if outcome.error is None:
            found.update(outcome.unwrap())
        elif isinstance(outcome.error, InputError):
            problems.append(outcome.error)  # this case is `check`'s to name
        else:
            raise outcome.error
    if len(problems) == len(masks):
        raise DatasetError("No mask of this dataset can be read", where=root, got=problems[0])
    if not found - {BACKGROUND}:
        raise DatasetError("Every mask of this dataset is empty", where=root, expected="values above 0")
    return derive_labels(sorted(found), root)


def _values(mask: Path) -> tuple[int, ...]:
    return present_values(read_labels(mask).array)
