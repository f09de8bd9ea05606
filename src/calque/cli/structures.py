"""DICOM SEG and RTSTRUCT from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.image import LabelMap
    from calque.io.dicom.labelling import Choice
    from calque.labels import Coding, Labels


Structures = Annotated[str | None, typer.Option(metavar="A,B", help="Of SEG or RTSTRUCT: these alone.")]
Priority = Annotated[
    str | None, typer.Option(metavar="A,B", help="Where structures overlap, the first of these wins.")
]
LabelsOf = Annotated[
    Path | None, typer.Option("--labels", metavar="MODEL|DATASET", help="What a label map's values mean.")
]


def names_of(text: str | None) -> tuple[str, ...]:
    """Of an option: with commas between them."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def read_drawn(
    screen: Screen,
    source: Path,
    reference: Path | None,
    labels: Labels | None,
    how: tuple[Choice, Coding],
) -> LabelMap:
    """A SEG or RTSTRUCT as a label map; says what is to be said of it.

    Args:
        screen: that says it.
        source: the object.
        reference: the series on which it was drawn.
        labels: the classes that are wanted; None: one for each structure.
        how: which structures, and how they are called where they are not called as the classes.

    Raises:
        CalqueError: see `calque.io.read_labels`.
    """
    from calque.io.dicom.label_files import read_structure_labels
    from calque.io.reading import as_reference

    choice, coding = how
    found = read_structure_labels(source, as_reference(reference), labels, coding, choice)
    label_map = found.require_decided(source)
    for note in found.notes:
        screen.say(f"note: {note.what} (calque explain {note.name})")
    for name in found.missing:
        screen.say(f"note: there is no structure for the class {name}")
    screen.say("classes: " + ", ".join(f"{c.value} {c.name}" for c in label_map.labels.classes))
    for region in label_map.labels.regions:
        screen.say(f"region {region.name}: {', '.join(map(str, region.values))}")
    return label_map
