"""From structures, which may overlap and have names, to a label map, which has one value for each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import LabelError
from calque.image import LabelMap
from calque.io.dicom.structures import Note, Structure, Structures
from calque.labels import BACKGROUND, PLAIN, Coding, Label, Labels, Region, default_colour, present_values

JOINED = "+"
"""Between the names of structures: "A+B" is the class of voxels that belong to both."""

Overlaps = Literal["error", "regions"]


@dataclass(frozen=True)
class Choice:
    """Which structures become labels, and how.

    Args:
        structures: their names; case and spaces do not matter. Empty: all.
        priority: where structures or classes overlap, the first of these names wins.
        overlaps: what to do where `priority` does not decide: "regions" makes "A+B" a class of its own, and A
            and B regions; "error" refuses.
    """

    structures: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    overlaps: Overlaps = "error"


EVERY = Choice()


@dataclass(frozen=True)
class Overlap:
    """Names of the classes that claim voxels together, and how many."""

    names: tuple[str, ...]
    voxels: int


@dataclass(frozen=True, eq=False)
class Labelled:
    """A label map made of structures.

    Args:
        label_map: where overlaps are undecided, the class that comes first.
        undecided: overlaps that nothing decides: `require_decided` refuses them.
        missing: classes for which the object has no structure.
        notes: how it was placed and drawn.
    """

    label_map: LabelMap
    undecided: tuple[Overlap, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    def require_decided(self, where: object) -> LabelMap:
        """The label map.

        Raises:
            LabelError: overlaps are undecided; it lists both ways out.
        """
        if self.undecided:
            shown = self.undecided[0].names
            raise LabelError(
                "Structures overlap, and a voxel has one label",
                where=where,
                got="; ".join(f"{' and '.join(o.names)}: {o.voxels} voxels" for o in self.undecided[:8]),
                fix=f"either say which wins (--priority {','.join(shown)}, or the column `priority` of the "
                f'manifest\'s labels), or make the overlap a class "{JOINED.join(shown)}" of its own '
                "(--overlaps regions, or a row of that name in the manifest's labels)",
            )
        return self.label_map


def key_of(name: str) -> str:
    """Names are compared without case and spaces."""
    return "".join(name.casefold().split())


def find(structures: Structures, name: str) -> Structure | None:
    """The structure of this name; None where there is none.

    Raises:
        LabelError: several differ from it in case and spaces alone.
    """
    exact = [item for item in structures.items if item.name == name]
    alike = exact or [item for item in structures.items if key_of(item.name) == key_of(name)]
    if len(alike) > 1:
        raise LabelError(
            "Several structures have this name but for case and spaces",
            expected=name,
            got=", ".join(item.name for item in alike),
        )
    return alike[0] if alike else None


def label(
    structures: Structures, where: Path, labels: Labels | None, choice: Choice = EVERY, coding: Coding = PLAIN
) -> Labelled:
    """Make a label map of structures.

    Args:
        structures: on the grid that the label map gets.
        where: for errors.
        labels: the classes that are wanted; other structures are left out. None: a class for each structure,
            its number as value. A class "A+B" is that of voxels in both.
        choice: which structures, and how overlaps are decided.
        coding: `coding.names` tells which structures a class is made of, where they are not called as it is.

    Raises:
        LabelError: a structure that is asked for is not there, names are ambiguous, or nothing is left.
    """
    if labels is None:
        return _derived(structures, where, choice)
    sources = coding.names or tuple((c.name, c.value) for c in labels.classes)
    parts: list[tuple[Structure, int]] = []
    joint: list[tuple[tuple[str, ...], int]] = []
    missing = {value for _, value in sources}
    for name, value in sources:
        item = find(structures, name)
        if item is not None:
            parts.append((item, value))
            missing.discard(value)
        elif JOINED in name:
            joint.append((tuple(name.split(JOINED)), value))
            missing.discard(value)
    if not parts:
        raise LabelError(
            "None of the structures that are asked for is here",
            where=where,
            expected=", ".join(name for name, _ in sources[:20]),
            got=", ".join(structures.names[:20]) or "no structure",
            fix="say in the column `stored` of the manifest's labels how structures are called",
        )
    owners = {key_of(item.name): value for item, value in parts}
    shared = {
        frozenset(owners[key_of(name)] for name in names): value
        for names, value in joint
        if all(key_of(name) in owners for name in names)
    }
    names = dict(zip(labels.values, labels.names, strict=True))
    order = _order(choice.priority, names, owners)
    array, undecided = _merged(parts, structures, labels, order, shared)
    lacking = tuple(name for value, name in names.items() if value in missing)
    return Labelled(LabelMap(array, structures.grid, labels), undecided, lacking)


def _derived(structures: Structures, where: Path, choice: Choice) -> Labelled:
    """A class for each structure that is wanted."""
    chosen = list(structures.items)
    if choice.structures:
        found = [(name, find(structures, name)) for name in choice.structures]
        absent = [name for name, item in found if item is None]
        if absent:
            raise LabelError(
                "There is no such structure",
                where=where,
                expected=", ".join(structures.names),
                got=", ".join(absent),
            )
        wanted = {item.name for _, item in found if item is not None}
        chosen = [item for item in chosen if item.name in wanted]
    if not chosen:
        raise LabelError("There is no structure here", where=where)
    labels = Labels(
        classes=tuple(
            Label(name=item.name, value=item.number, colour=item.colour or default_colour(k), code=item.code)
            for k, item in enumerate(chosen)
        )
    )
    parts = [(item, item.number) for item in chosen]
    owners = {key_of(item.name): item.number for item in chosen}
    order = _order(choice.priority, {item.number: item.name for item in chosen}, owners)
    array, undecided = _merged(parts, structures, labels, order, {})
    if undecided and choice.overlaps == "regions":
        labels, shared = _with_regions(labels, undecided)
        array, undecided = _merged(parts, structures, labels, order, shared)
    return Labelled(LabelMap(array, structures.grid, labels), undecided)


def _order(priority: Sequence[str], names: dict[int, str], owners: dict[str, int]) -> dict[int, int]:
    """Value -> place in the priority; by names of classes or of structures.

    Raises:
        LabelError: a name that is neither.
    """
    known = {key_of(name): value for value, name in names.items()} | owners
    wrong = [name for name in priority if key_of(name) not in known]
    if wrong:
        raise LabelError(
            "The priority names what is no class here",
            expected=", ".join(names.values()),
            got=", ".join(wrong),
        )
    order: dict[int, int] = {}
    for place, name in enumerate(priority):
        order.setdefault(known[key_of(name)], place)
    return order


def _merged(
    parts: Sequence[tuple[Structure, int]],
    structures: Structures,
    labels: Labels,
    order: dict[int, int],
    shared: dict[frozenset[int], int],
) -> tuple[NDArray[np.unsignedinteger], tuple[Overlap, ...]]:
    """One array of label values, and the overlaps that neither `order` nor `shared` decides."""
    sets: list[frozenset[int]] = [frozenset()]
    numbers = {sets[0]: 0}
    array = np.zeros(structures.grid.shape, np.uint16)
    for item, value in parts:
        if item.box is None or item.mask is None:
            continue
        part = array[item.box.slices]
        before = part[item.mask]
        table = np.zeros(len(sets), np.uint16)
        for number in present_values(before[np.newaxis]):
            joined = sets[number] | {value}
            if joined not in numbers:
                numbers[joined] = len(sets)
                sets.append(joined)
            table[number] = numbers[joined]
        part[item.mask] = table[before]
    counts = np.bincount(array.reshape(-1), minlength=len(sets)) if len(sets) > 1 else np.zeros(1, np.int64)
    names = dict(zip(labels.values, labels.names, strict=True))
    decided = np.zeros(len(sets), labels.dtype)
    undecided = []
    for number, members in enumerate(sets):
        if len(members) <= 1:
            decided[number] = next(iter(members), BACKGROUND)
            continue
        winner = shared.get(members) or _winner(members, order)
        decided[number] = winner if winner is not None else min(members)
        if winner is None and counts[number]:
            undecided.append(Overlap(tuple(names[v] for v in sorted(members)), int(counts[number])))
    return np.asarray(decided[array]), tuple(undecided)


def _winner(members: frozenset[int], order: dict[int, int]) -> int | None:
    """The first of the priority; what is not named there loses against it."""
    ranked = sorted((order[v], v) for v in members if v in order)
    return ranked[0][1] if ranked else None


def _with_regions(labels: Labels, overlaps: Sequence[Overlap]) -> tuple[Labels, dict[frozenset[int], int]]:
    """A class for each overlap; classes that take part become "A only", and regions have their names."""
    values = dict(zip(labels.names, labels.values, strict=True))
    shared: dict[frozenset[int], int] = {}
    joint: list[Label] = []
    for k, overlap in enumerate(overlaps):
        value = max(labels.values) + 1 + k
        shared[frozenset(values[name] for name in overlap.names)] = value
        colour = default_colour(len(labels.classes) + k)
        joint.append(Label(name=JOINED.join(overlap.names), value=value, colour=colour))
    taking = {name for overlap in overlaps for name in overlap.names}
    single = tuple(
        c.model_copy(update={"name": f"{c.name} only"}) if c.name in taking else c for c in labels.classes
    )
    regions = tuple(
        Region(
            name=name,
            values=(values[name], *(v for members, v in shared.items() if values[name] in members)),
        )
        for name in labels.names
        if name in taking
    )
    return Labels(classes=(*single, *joint), regions=regions), shared
