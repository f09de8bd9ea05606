"""Channels and labels where nobody declares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calque.dataset.model import Case
from calque.errors import DatasetError, InputError
from calque.io import label_values, read_header, read_mask_volume
from calque.io.coding import colours_of, hex_colour
from calque.io.dicom.labelling import key_of
from calque.io.dicom.ties import Tie, read_tie
from calque.io.reading import derive_labels, is_structures
from calque.labels import (
    BACKGROUND,
    PLAIN,
    Coding,
    Colour,
    Label,
    Labels,
    default_colour,
    present_values,
)
from calque.parallel import map_bounded

_MOST_COLOURS = 64  # more are a photograph, or edges that were smoothed
_BLACK = (0, 0, 0)


def channels_from_files(images: Sequence[Path], root: Path) -> tuple[str, ...]:
    """The first readable image's own names, or "channel 1", ... for as many channels as it has.

    Raises:
        DatasetError: none is readable.
    """
    problem: InputError | None = None
    for path in images:
        try:
            header = read_header(path)
        except InputError as error:
            problem = problem or error  # this case is `check`'s to name; the next one tells as well
            continue
        return header.names or tuple(f"channel {k + 1}" for k in range(header.channels))
    raise DatasetError("No image of this dataset can be read", where=root, got=problem)


def labels_from_cases(cases: Sequence[Case], root: Path) -> tuple[Labels, Coding]:
    """A class for each value, colour or named mask, and what stands for what.

    Values stay as they are: what a class "class 255" is called can be said in a manifest. Colours become
    classes 1, 2, ... named after their colour.

    Raises:
        DatasetError: no mask is readable, or all are empty.
    """
    named = dict.fromkeys(name for case in cases for name, _ in case.parts)
    if named:
        return Labels.from_names({name: k for k, name in enumerate(named, start=1)}), PLAIN
    masks = [case.label for case in cases if case.label]
    drawn = [path for path in masks if is_structures(path)]
    if drawn and len(drawn) == len(masks):
        return labels_of([read_tie(path) for path in drawn]), PLAIN
    if drawn:
        raise DatasetError(
            "Some masks are DICOM structures, and others are not, so names and values have to be declared",
            where=root,
            fix="write a table of labels beside the manifest",
        )
    return labels_from_masks(masks, root)


def labels_of(ties: Sequence[Tie]) -> Labels:
    """A class for each name, in the order in which they occur; case and spaces do not tell names apart.

    Raises:
        DatasetError: there is no structure.
    """
    named: dict[str, Label] = {}
    for tie in ties:
        for name, colour, code in zip(tie.names, tie.colours, tie.codes, strict=True):
            if key_of(name) not in named:
                value = len(named) + 1
                named[key_of(name)] = Label(
                    name=name, value=value, colour=colour or default_colour(value - 1), code=code
                )
    if not named:
        raise DatasetError("The SEG and RTSTRUCT hold no structure", where=ties[0].path)
    return Labels(classes=tuple(named.values()))


def labels_from_masks(masks: Sequence[Path], root: Path) -> tuple[Labels, Coding]:
    """As `labels_from_cases`, of masks that hold all classes."""
    values: set[int] = set()
    colours: set[Colour] = set()
    problems: list[Exception] = []
    for outcome in map_bounded(_found, masks):
        if outcome.error is None:
            here, shown = outcome.unwrap()
            values.update(here)
            colours.update(shown)
        elif isinstance(outcome.error, InputError):
            problems.append(outcome.error)  # this case is `check`'s to name
        else:
            raise outcome.error
    if len(problems) == len(masks):
        first = problems[0] if problems else None
        raise DatasetError("No mask of this dataset can be read", where=root, got=first)
    if colours:
        return _coloured(colours | {(v, v, v) for v in values}, root)
    if not values - {BACKGROUND}:
        raise DatasetError("Every mask of this dataset is empty", where=root, expected="values above 0")
    return derive_labels(sorted(values), root), PLAIN


def _coloured(colours: set[Colour], root: Path) -> tuple[Labels, Coding]:
    shown = sorted(colours - {_BLACK})
    if len(shown) > _MOST_COLOURS:
        raise DatasetError(
            "The masks hold too many colours to be classes",
            where=root,
            expected=f"at most {_MOST_COLOURS}",
            got=len(shown),
            fix="masks must not be scaled with smoothing or saved as JPEG; or declare colours in a manifest",
        )
    classes = tuple(Label(name=hex_colour(c), value=k, colour=c) for k, c in enumerate(shown, start=1))
    coding = Coding(colours=tuple((label.colour, label.value) for label in classes))
    return Labels(classes=classes), coding


def _found(mask: Path) -> tuple[tuple[int, ...], tuple[Colour, ...]]:
    """The values, or else the colours."""
    volume = read_mask_volume(mask)
    array = volume.array
    if len(array) == 3 and array.dtype == np.uint8 and not (array == array[:1]).all():
        colours = colours_of(array)
        return (), colours[: _MOST_COLOURS + 2]
    return present_values(label_values(volume, mask)), ()
