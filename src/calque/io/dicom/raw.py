"""Values of header elements, from their bytes.

pydicom's own conversion takes most of the time of reading a header, and warns of harmless values. A series
has hundreds of headers, and a few dozen values of each are needed.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from calque.errors import GeometryError, ReadError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag


_UNDEFINED = 0xFFFFFFFF
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


class Elements:
    """The elements of a data set, by keyword or tag.

    Args:
        data: as pydicom read it.
        where: the file, for errors.
    """

    def __init__(self, data: Dataset, where: object) -> None:
        self.data, self.where = data, where

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Each of the values, without padding; none where the element is missing or empty."""
        value = self._bytes_or_value(keyword)
        if value is None:
            return ()
        if isinstance(value, bytes):
            text = value.decode("ascii", errors="replace").rstrip("\0 ")
            return tuple(part.strip("\0 ") for part in text.split("\\")) if text else ()
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            return (str(value).strip(),) if str(value).strip() else ()
        return tuple(str(part).strip() for part in value)

    def text(self, keyword: str) -> str:
        """The only value; "" where it is missing."""
        return "\\".join(self.texts(keyword))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """`count` numbers, written in decimals or binary; None where the element is missing or empty.

        Raises:
            ReadError: there are others.
            GeometryError: some are NaN or infinite.
        """
        texts = self._floats(keyword)
        if not texts:
            return None
        try:
            values = tuple(float(text) for text in texts)
        except ValueError:
            values = ()
        if len(values) != count:
            raise self._unlike(keyword, f"{count} numbers")
        if any(value - value != 0 for value in values):
            raise GeometryError("A number in the header is not finite", where=self.where, got=keyword)
        return values

    def number(self, keyword: str) -> float | None:
        """One number; see `numbers`."""
        values = self.numbers(keyword, 1)
        return None if values is None else values[0]

    def whole(self, keyword: str) -> int | None:
        """One whole number; see `numbers`.

        Raises:
            ReadError: it is none.
        """
        value = self.number(keyword)
        if value is not None and value != int(value):
            raise self._unlike(keyword, "a whole number")
        return None if value is None else int(value)

    def items(self, keyword: str) -> tuple[Elements, ...]:
        """The items of a sequence; none where it is missing.

        Raises:
            ReadError: it is damaged.
        """
        if keyword not in self.data:
            return ()
        try:
            value = self.data[keyword].value
        except Exception as problem:  # pydicom: on damaged bytes it raises anything
            raise ReadError(
                "A sequence in the header is damaged", where=self.where, got=f"{keyword}: {problem}"
            ) from None
        return tuple(Elements(item, self.where) for item in value or ())

    def item(self, keyword: str) -> Elements | None:
        """The first item of a sequence, where there is one."""
        found = self.items(keyword)
        return found[0] if found else None

    def _floats(self, keyword: str) -> tuple[str, ...]:
        value = self._bytes_or_value(keyword)
        if not isinstance(value, bytes) or _vr(keyword) not in _BINARY:
            return self.texts(keyword)
        code = _BINARY[_vr(keyword)]
        count, rest = divmod(len(value), struct.calcsize(f"<{code}"))
        if rest:
            raise self._unlike(keyword, "whole binary numbers")
        return tuple(map(repr, struct.unpack(f"{self._order(keyword)}{count}{code}", value)))

    def _order(self, keyword: str) -> str:
        return "<" if getattr(self.data.get_item(_tag(keyword)), "is_little_endian", True) else ">"

    def _bytes_or_value(self, keyword: str) -> object:
        """The bytes as they are in the file, or the value where pydicom has converted it."""
        tag = _tag(keyword)
        if tag not in self.data:
            return None
        element = self.data.get_item(tag)
        value, announced = element.value, getattr(element, "length", _UNDEFINED)
        if isinstance(value, bytes) and announced not in (_UNDEFINED, len(value)):
            raise self._unlike(keyword, f"{announced} bytes")
        return value

    def _unlike(self, keyword: str, expected: str) -> ReadError:
        return ReadError(
            "An element of the header is damaged",
            where=self.where,
            expected=f"{keyword}: {expected}",
            fix="export the series again",
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning and logging: it repeats values, which may be a patient's."""
    logger = logging.getLogger("pydicom")
    logger.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


@cache
def _tag(keyword: str) -> BaseTag:
    from pydicom.tag import Tag

    return Tag(keyword)


@cache
def _vr(keyword: str) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(_tag(keyword))
