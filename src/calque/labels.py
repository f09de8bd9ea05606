"""What the values of a label map mean: names, values, colours, regions."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from calque.errors import LabelError
from calque.terminology import Code
from calque.value import Value

Channel = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Channel, Channel, Channel]
"""Red, green, blue, 0 to 255."""

BACKGROUND = 0

_FEW = 8  # values that are quicker looked for one by one

# Okabe and Ito's palette, told apart by colour-blind readers too; black is left out, it is the scan's.
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip


def default_colour(position: int) -> Colour:
    """A colour for class number `position` (from 0), the same every time."""
    if position < len(_PALETTE):
        return _PALETTE[position]
    hue = (0.11 + 0.618034 * position) % 1.0  # golden ratio: neighbours in the list lie far apart
    light = (0.95, 0.75, 0.6)[position % 3]
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.8, light))
    return red, green, blue


def present_values(array: NDArray[np.integer]) -> tuple[int, ...]:
    """The distinct values, ascending; for types of up to 16 bits without sorting the voxels."""
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        return tuple(int(v) for v in np.unique(array))
    if int(array.max(initial=0)) < _FEW:
        return tuple(value for value in range(_FEW) if (array == value).any())
    seen = np.zeros(np.iinfo(array.dtype).max + 1, dtype=bool)
    for part in array:  # slice by slice: indexing widens its part to 64 bits
        seen[part] = True
    return tuple(int(v) for v in np.flatnonzero(seen))


class Label(Value):
    """One class.

    Args:
        name: unique among the labels.
        value: in label maps, above 0.
        colour: for pictures.
        code: what it is, for readers that do not know the name; None: not said, and left out of JSON.
    """

    name: str = Field(min_length=1)
    value: int = Field(ge=1, le=65535)
    colour: Colour
    code: Code | None = None

    @model_serializer(mode="wrap")
    def _without_missing_code(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {k: v for k, v in fields.items() if k != "code" or v is not None}


class Coding(Value):
    """What masks hold in place of label values: other numbers, or colours.

    Args:
        values: (stored, label value); what is not listed is undeclared, but for 0.
        colours: (red, green and blue, label value); black is background unless it is listed.
        names: (name of a structure of a DICOM SEG or RTSTRUCT, label value); others are left out.
    """

    values: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[Colour, int], ...] = ()
    names: tuple[tuple[str, int], ...] = ()

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        kinds: tuple[list[object], ...] = (
            [stored for stored, _ in self.values],
            [colour for colour, _ in self.colours],
            [name for name, _ in self.names],
        )
        for stored in kinds:
            if len(set(stored)) != len(stored):
                raise ValueError(f"each stored value, colour or name stands for one label, got {stored}")
        return self


PLAIN = Coding()
"""Masks that hold label values themselves."""


class Region(Value):
    """A union of classes that is scored, and may be predicted, as one: "whole tumour"."""

    name: str = Field(min_length=1)
    values: tuple[int, ...] = Field(min_length=1)


class Labels(Value):
    """The classes of a label map; 0 is background and is not listed.

    Args:
        classes: in the order in which networks number them, from 1.
        regions: unions of classes.
        ignore: a value that is neither trained on nor scored.
    """

    classes: tuple[Label, ...] = Field(min_length=1)
    regions: tuple[Region, ...] = ()
    ignore: int | None = Field(default=None, ge=1, le=65535)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, items in (
            ("class names", self.names),
            ("class values", self.values),
            ("region names", tuple(region.name for region in self.regions)),
        ):
            if len(set(items)) != len(items):
                raise ValueError(f"{what} must be unique, got {items}")
        if self.ignore is not None and self.ignore in (*self.values, BACKGROUND):
            raise ValueError(f"the ignore value {self.ignore} is also a class")
        unknown = {v for r in self.regions for v in r.values} - set(self.values)
        if unknown:
            raise ValueError(f"regions name values that are no class: {sorted(unknown)}")
        return self

    @classmethod
    def from_names(cls, names: dict[str, int], ignore: int | None = None) -> Self:
        """From name -> value; an entry with value 0 is background; colours are chosen.

        Raises:
            LabelError: no class, an empty name, a value twice or out of range.
        """
        pairs = sorted(((v, n) for n, v in names.items() if v != BACKGROUND))
        try:
            classes = tuple(
                Label(name=n, value=v, colour=default_colour(k)) for k, (v, n) in enumerate(pairs)
            )
            return cls(classes=classes, ignore=ignore)
        except ValidationError as problem:
            wrong = "; ".join(item["msg"] for item in problem.errors())
            raise LabelError(
                "These cannot be classes",
                expected="unique names with unique values from 1 to 65535",
                got=f"{names}, ignore {ignore}: {wrong}",
            ) from None

    def with_codes(self, codes: Mapping[str, Code]) -> Self:
        """The same classes; those that are named in `codes` mean that from now on.

        Raises:
            LabelError: a name that is no class.
        """
        strange = sorted(set(codes) - set(self.names))
        if strange:
            raise LabelError("There is no such class", expected=", ".join(self.names), got=", ".join(strange))
        classes = tuple(c.model_copy(update={"code": codes.get(c.name, c.code)}) for c in self.classes)
        return self.model_copy(update={"classes": classes})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, background not among them."""
        return tuple(label.name for label in self.classes)

    @property
    def values(self) -> tuple[int, ...]:
        """Values of the classes, background not among them."""
        return tuple(label.value for label in self.classes)

    @property
    def outputs(self) -> int:
        """How many channels a network with softmax has: background and the classes."""
        return 1 + len(self.classes)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned type that holds every value."""
        return np.dtype(np.uint8 if max((*self.values, self.ignore or 0)) < 256 else np.uint16)

    def undeclared(self, array: NDArray[np.integer]) -> tuple[int, ...]:
        """Values of `array` that are neither background, a class nor ignore."""
        known = {BACKGROUND, *self.values, *([] if self.ignore is None else [self.ignore])}
        return tuple(sorted(set(present_values(array)) - known))

    def require_declared(self, array: NDArray[np.integer], where: object = None) -> None:
        """Refuse values that are neither background, a class nor ignore.

        Raises:
            LabelError: there are such values; it names `where` and them.
        """
        wrong = self.undeclared(array)
        if wrong:
            raise LabelError(
                "The mask holds values that are not declared",
                where=where,
                expected=f"0 and {list(self.values)}",
                got=list(wrong[:20]),
                fix="declare them in the dataset's labels, or mend the mask",
            )

    def to_index(self, array: NDArray[np.integer]) -> NDArray[np.integer]:
        """Values -> class numbers: 0 background, 1.. in order, and `outputs` for ignore.

        Raises:
            LabelError: a value that is not declared.
        """
        self.require_declared(array)
        table = np.zeros(
            int(max((*self.values, self.ignore or 0))) + 1, np.uint8 if self.outputs < 255 else np.uint16
        )
        for number, value in enumerate(self.values, start=1):
            table[value] = number
        if self.ignore is not None:
            table[self.ignore] = self.outputs
        return np.asarray(table[array])

    def to_values(self, index: NDArray[np.integer]) -> NDArray[np.integer]:
        """Class numbers (0 background, 1.., `outputs` for ignore) -> values, in `dtype`.

        Raises:
            LabelError: a number that stands for no class.
        """
        ignore = () if self.ignore is None else (self.ignore,)
        table = np.array((BACKGROUND, *self.values, *ignore), dtype=self.dtype)
        if index.size and (index.min() < 0 or index.max() >= len(table)):
            raise LabelError(
                "These are not class numbers",
                expected=f"0 to {len(table) - 1}",
                got=f"{index.min()} to {index.max()}",
            )
        return np.asarray(table[index])
