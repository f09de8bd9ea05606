"""From what a mask's file holds to label values, where the two differ: numbers, grey as RGB, colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.errors import LabelError
from calque.io.model import Volume
from calque.labels import BACKGROUND, Coding, Colour

_BLACK = (0, 0, 0)
_SHOWN = 8


def decode(volume: Volume, coding: Coding, where: Path) -> NDArray[np.generic]:
    """(z, y, x): label values, still in the file's own type where nothing stands for something else.

    Red, green and blue that are equal everywhere are grey values: nothing is lost by taking one of them.
    Colours are never guessed.

    Raises:
        LabelError: other numbers of channels, or values or colours that the coding does not list.
    """
    array = volume.array
    if len(array) == 3 and array.dtype == np.uint8:
        if coding.colours:
            return _from_colours(array, coding.colours, where)
        if not (array == array[:1]).all():
            raise LabelError(
                "This mask holds colours, and nothing says what they mean",
                where=where,
                got=", ".join(map(hex_colour, colours_of(array)[:_SHOWN])),
                fix="write a manifest with `calque dataset init`, and say there which colour is which class",
            )
    elif len(array) != 1:
        raise LabelError("A mask has one channel", where=where, got=f"{len(array)} channels")
    return _from_values(array[0], coding.values, where) if coding.values else array[0]


def colours_of(array: NDArray[np.generic]) -> tuple[Colour, ...]:
    """The colours of (3, z, y, x) uint8, ascending."""
    packed = np.unique(_packed(array))
    return tuple((int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in packed)


def hex_colour(colour: Colour) -> str:
    """ "#ff8000" for (255, 128, 0)."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _packed(array: NDArray[np.generic]) -> NDArray[np.uint32]:
    red, green, blue = array.astype(np.uint32)
    return np.asarray(red << 16 | green << 8 | blue)


def _from_colours(
    array: NDArray[np.generic], colours: Sequence[tuple[Colour, int]], where: Path
) -> NDArray[np.uint16]:
    table = {_BLACK: BACKGROUND, **dict(colours)}
    known = np.array([c[0] << 16 | c[1] << 8 | c[2] for c in table], dtype=np.uint32)
    order = np.argsort(known)
    packed = _packed(array)
    places = np.clip(np.searchsorted(known[order], packed), 0, len(known) - 1)
    wrong = known[order][places] != packed
    if wrong.any():
        found = [c for c in colours_of(array) if c not in table]
        raise LabelError(
            "The mask holds colours that are not declared",
            where=where,
            expected=", ".join(hex_colour(c) for c, _ in colours[:_SHOWN]),
            got=f"{', '.join(map(hex_colour, found[:_SHOWN]))} in {int(wrong.sum())} pixels",
            fix="declare them; masks must not be scaled with smoothing or saved as JPEG",
        )
    return np.array(list(table.values()), dtype=np.uint16)[order][places]


def _from_values(
    array: NDArray[np.generic], values: Sequence[tuple[int, int]], where: Path
) -> NDArray[np.uint16]:
    table = {BACKGROUND: BACKGROUND, **dict(values)}
    found = np.zeros(array.shape, dtype=np.uint16)
    seen = np.zeros(array.shape, dtype=bool)
    for stored, label in table.items():
        here = array == stored
        found[here] = label
        seen |= here
    if not seen.all():
        wrong = np.unique(array[~seen])
        raise LabelError(
            "The mask holds values that are not declared",
            where=where,
            expected=", ".join(map(str, table)),
            got=", ".join(f"{v:g}" for v in wrong[:_SHOWN]),
            fix="declare them, or mend the mask",
        )
    return found
