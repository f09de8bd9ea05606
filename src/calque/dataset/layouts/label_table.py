"""The table of labels beside a manifest; its columns are described in `calque.dataset.layouts.manifest`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from calque.dataset.model import MaskRule
from calque.errors import DatasetError, LabelError
from calque.io.coding import hex_colour
from calque.labels import Coding, Colour, Label, Labels, Region, default_colour
from calque.terminology import Code, parse_code

LABEL_COLUMNS = ("name", "value", "stored", "colour", "role", "priority", "code")
_ROLES = ("class", "region", "ignore")
_BACKGROUND = "background"


def parse_labels(path: Path, rows: Sequence[tuple[int, Mapping[str, str]]]) -> tuple[Labels, MaskRule]:
    """Labels, and how masks are read.

    Raises:
        DatasetError: a row cannot be understood, or rows contradict each other.
    """
    classes: list[Label] = []
    regions: list[Region] = []
    ignore: int | None = None
    stored: dict[int, str] = {}
    order: list[tuple[int, str]] = []
    for line, row in rows:
        where = f"{path}, line {line}"
        name, role = row.get("name", ""), row.get("role", "").lower() or "class"
        if role not in _ROLES or not name:
            raise DatasetError(
                "A label has a name and a role", where=where, expected=", ".join(_ROLES), got=dict(row)
            )
        if role == "region":
            regions.append(Region(name=name, values=tuple(_whole(v, where) for v in row["value"].split(";"))))
            continue
        value = _whole(row.get("value", ""), where)
        if row.get("stored"):
            stored[value] = row["stored"]
        if value == 0 and name.casefold() == _BACKGROUND:
            continue
        if role == "ignore":
            ignore = value
            continue
        colour = _colour(row["colour"], where) if row.get("colour") else default_colour(len(classes))
        code = _code(row["code"], where) if row.get("code") else None
        classes.append(Label(name=name, value=value, colour=colour, code=code))
        if row.get("priority"):
            order.append((_whole(row["priority"], where), name))
    try:
        labels = Labels(
            classes=tuple(sorted(classes, key=lambda c: c.value)), regions=tuple(regions), ignore=ignore
        )
        coding = _coding(labels, stored, path)
    except ValidationError as problem:
        wrong = "; ".join(e["msg"] for e in problem.errors())
        raise DatasetError("The labels contradict each other", where=path, got=wrong) from None
    return labels, MaskRule(coding=coding, priority=tuple(name for _, name in sorted(order)))


def label_rows(labels: Labels, rule: MaskRule) -> list[tuple[object, ...]]:
    """Rows of `LABEL_COLUMNS`."""
    numbers: dict[int, list[str]] = {}
    for found, value in (*rule.coding.values, *rule.coding.names):
        numbers.setdefault(value, []).append(str(found))
    for colour, value in rule.coding.colours:
        numbers.setdefault(value, []).append(hex_colour(colour))
    place = {name: k for k, name in enumerate(rule.priority, start=1)}
    rows: list[tuple[object, ...]] = [
        (
            c.name,
            c.value,
            ";".join(numbers.get(c.value, ())),
            hex_colour(c.colour),
            "class",
            place.get(c.name, ""),
            "" if c.code is None else str(c.code),
        )
        for c in labels.classes
    ]
    rows += [(r.name, ";".join(map(str, r.values)), "", "", "region", "", "") for r in labels.regions]
    if labels.ignore is not None:
        held = ";".join(numbers.get(labels.ignore, ()))
        rows.append(("ignore", labels.ignore, held, "", "ignore", "", ""))
    return rows


def _coding(labels: Labels, stored: Mapping[int, str], path: Path) -> Coding:
    """Nothing, where masks hold the values themselves."""
    if not stored:
        return Coding()
    texts = [text.strip() for held in stored.values() for text in held.split(";")]
    if not any(text.startswith("#") or text.isdecimal() for text in texts):
        return _named(labels, stored)
    numbers: list[tuple[int, int]] = []
    colours: list[tuple[Colour, int]] = []
    for value in (0, *labels.values, *(() if labels.ignore is None else (labels.ignore,))):
        for text in stored.get(value, str(value)).split(";"):
            if text.strip().startswith("#"):
                colours.append((_colour(text.strip(), str(path)), value))
            elif value in stored or value:
                numbers.append((_whole(text, str(path)), value))
    if colours and any(value in stored for _, value in numbers):
        raise DatasetError("Masks hold either numbers or colours", where=path, got=dict(stored))
    return Coding(colours=tuple(colours)) if colours else Coding(values=tuple(numbers))


def _named(labels: Labels, stored: Mapping[int, str]) -> Coding:
    """Of masks that hold structures: by their names, which are those of the classes where none is listed."""
    return Coding(
        names=tuple(
            (text.strip(), label.value)
            for label in labels.classes
            for text in stored.get(label.value, label.name).split(";")
        )
    )


def _whole(text: str, where: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,6}\s*", text, re.ASCII):
        raise DatasetError("This is a whole number", where=where, expected="0, 1, ...", got=text)
    return int(text)


def _code(text: str, where: str) -> Code:
    try:
        return parse_code(text)
    except LabelError as problem:
        raise DatasetError(
            problem.what, where=where, expected=problem.expected, got=problem.got, fix=problem.fix
        ) from None


def _colour(text: str, where: str) -> Colour:
    found = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    if found is None:
        raise DatasetError("A colour is written as #rrggbb", where=where, got=text)
    red, green, blue = (int(part, 16) for part in found.groups())
    return red, green, blue
