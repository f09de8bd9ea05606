"""Which planes of a series are one volume: what tells slices at one place from each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise

import numpy as np

from calque.errors import CalqueError
from calque.io.dicom.copies import without_twins
from calque.io.dicom.lattice import ORIENTATION, Lattice, arrange, normal_of, require_sound
from calque.io.dicom.planes import Group, Plane

Key = Callable[[Plane], Hashable]

KEYS: dict[str, Key] = {
    "time": lambda p: p.marks.temporal,
    "acquisition": lambda p: p.marks.acquisition,
    "echo": lambda p: p.marks.echo,
    "b": lambda p: p.marks.b_value,
    "stack": lambda p: p.marks.stack,
    "type": lambda p: p.marks.image_type,
    "direction": lambda p: p.marks.direction,
}
"""Name -> what one volume has once; in the order in which they are tried."""

CLOCKS: tuple[Key, ...] = (
    lambda p: p.marks.trigger,
    lambda p: p.marks.acquired or None,
    lambda p: p.marks.content or None,
)
"""What grows from phase to phase at each place, and may also differ from slice to slice."""


def same_matrix(group: Group) -> list[Group]:
    """Parts of one matrix, orientation, pixel size, frame of reference and kind (localizer or not).

    Raises:
        GeometryError: a plane does not say where it is.
    """
    for plane in group.planes:
        require_sound(plane)
    found: list[list[Plane]] = []
    for plane in group.planes:
        for members in found:
            if _alike(members[0], plane):
                members.append(plane)
                break
        else:
            found.append([plane])
    if len(found) == 1:
        return [group]
    firsts = [members[0] for members in found]
    words = [_differing(first, firsts) for first in firsts]
    counts = Counter(words)
    numbered: Counter[str] = Counter()
    parts = []
    for members, word in zip(found, words, strict=True):
        numbered[word] += 1
        unique = word if counts[word] == 1 else f"{word} {numbered[word]}".strip()
        parts.append(group.part(members, unique))
    return parts


def volumes(group: Group) -> list[tuple[Group, Lattice | CalqueError]]:
    """The volumes of planes that share matrix and orientation, or why they are none.

    What cannot be a volume: different slices at one place that nothing tells apart, gaps, uneven spacing.
    """
    try:
        return _volumes(group)
    except CalqueError as problem:
        return [(group, problem)]


def _volumes(group: Group) -> list[tuple[Group, Lattice | CalqueError]]:
    places = _places(group.planes)
    most = max(Counter(places).values())
    if most > 1:
        return [volume for part in _told_apart(group, places) for volume in volumes(part)]
    for name in ("time", "echo", "b", "type", "acquisition"):
        parts = _by_key(group, name)
        if len(parts) > 1 and _plausible(parts, len(set(places))) and _interleaved(parts):
            return [volume for part in parts for volume in volumes(part)]
    try:
        return [(group, arrange(group.planes))]
    except CalqueError as problem:
        return _in_stations(group) or [(group, problem)]


def _in_stations(group: Group) -> list[tuple[Group, Lattice | CalqueError]] | None:
    """Volumes at several stations of the table, where acquisition or time tells and each is even."""
    for name in ("acquisition", "stack", "time"):
        parts = _by_key(group, name)
        if len(parts) < 2 or min(len(part.planes) for part in parts) < 2:
            continue
        try:
            return [(part, arrange(part.planes)) for part in parts]
        except CalqueError:
            continue
    return None


def _told_apart(group: Group, places: Sequence[int]) -> list[Group]:
    """Parts of `group` that have fewer planes at one place; first what makes whole volumes at once.

    Raises:
        GeometryError: nothing tells them apart.
    """
    counts = Counter(places)
    most = max(counts.values())
    place_of = {id(plane): place for plane, place in zip(group.planes, places, strict=True)}
    named = {name: _by_key(group, name) for name in KEYS}
    clocks = [_by_exact(group, clock, counts) or _by_rank(group, clock, place_of) for clock in CLOCKS]
    for parts in (*named.values(), *clocks):
        if len(parts) == most and all(
            Counter(place_of[id(p)] for p in part.planes) == dict.fromkeys(counts, 1) for part in parts
        ):
            return parts
    for parts in named.values():
        if len(parts) > 1 and _plausible(parts, len(counts)) and _fewer(parts, place_of, most):
            return parts
    return [without_twins(group, place_of, KEYS)]


def _fewer(parts: Sequence[Group], place_of: dict[int, int], most: int) -> bool:
    return all(max(Counter(place_of[id(p)] for p in part.planes).values()) < most for part in parts)


def _plausible(parts: Sequence[Group], places: int) -> bool:
    """Numbers that differ from slice to slice tell no volumes apart."""
    single = sum(len(part.planes) == 1 for part in parts)
    return places == 1 or 2 * single <= len(parts)


def _interleaved(parts: Sequence[Group]) -> bool:
    """Whether two parts share some of the way along the normal: stations of a table do not."""
    normal = normal_of(parts[0].planes[0])
    extents = []
    for part in parts:
        along = [float(np.dot(normal, p.position)) for p in part.planes if p.position is not None]
        extents.append((min(along), max(along)))
    extents.sort()
    return any(after[0] < before[1] for before, after in pairwise(extents))


def _by_key(group: Group, name: str) -> list[Group]:
    members: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in group.planes:
        members[KEYS[name](plane)].append(plane)
    if len(members) == 1:
        return [group]
    values = sorted(members, key=lambda value: (value is not None, _sortable(value)))
    words = _words(name, values)
    return [group.part(members[value], word) for value, word in zip(values, words, strict=True)]


def _sortable(value: Hashable) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value))


def _words(name: str, values: Sequence[Hashable]) -> list[str]:
    """ "acquisition 2", "b 800"; of image types the parts that differ."""
    if name == "type":
        common = set.intersection(*(set(v) for v in values if isinstance(v, tuple)))
        return [
            " ".join(t for t in v if t not in common) or "other" if isinstance(v, tuple) else "other"
            for v in values
        ]
    if name == "direction":
        return [f"direction {k + 1}" for k in range(len(values))]
    shown = (f"{v:g}" if isinstance(v, float) else v or "none" for v in values)
    return [f"{name} {value}" for value in shown]


def _by_exact(group: Group, clock: Key, counts: Counter[int]) -> list[Group]:
    """Phases that have one time each."""
    members: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in group.planes:
        members[clock(plane)].append(plane)
    if None in members or len(members) != max(counts.values()):
        return []
    values = sorted(members, key=_sortable)
    return [group.part(members[value], f"time {k + 1}") for k, value in enumerate(values)]


def _by_rank(group: Group, clock: Key, place_of: dict[int, int]) -> list[Group]:
    """Phase k is what came k-th at each place; only where as much came at each place, at different times."""
    at: dict[int, list[Plane]] = defaultdict(list)
    for plane in group.planes:
        at[place_of[id(plane)]].append(plane)
    phases = {len(planes) for planes in at.values()}
    if len(phases) != 1:
        return []
    ranked: list[list[Plane]] = [[] for _ in range(phases.pop())]
    for planes in at.values():
        times = [clock(plane) for plane in planes]
        if None in times or len(set(times)) < len(times):
            return []
        for k, plane in enumerate(sorted(planes, key=lambda p: _sortable(clock(p)))):
            ranked[k].append(plane)
    return [group.part(planes, f"time {k + 1}") for k, planes in enumerate(ranked)]


def _places(planes: Sequence[Plane]) -> list[int]:
    """For each plane, the number of its place along the normal; within rounding, places are one."""
    first = planes[0]
    assert first.spacing is not None  # noqa: S101  (`require_sound`)
    near = max(1e-3, 0.02 * min(first.spacing))
    along = np.array([plane.position for plane in planes], dtype=np.float64) @ normal_of(first)
    order = np.argsort(along, kind="stable")
    numbers = np.empty(len(planes), dtype=np.int64)
    numbers[order] = np.concatenate(([0], np.cumsum(np.diff(along[order]) > near)))
    return [int(number) for number in numbers]


def _alike(one: Plane, other: Plane) -> bool:
    assert one.orientation is not None and other.orientation is not None  # noqa: S101, PT018
    assert one.spacing is not None and other.spacing is not None  # noqa: S101, PT018
    return (
        _pixels_alike(one, other)
        and _localizer(one) == _localizer(other)
        and one.series.frame_of_reference == other.series.frame_of_reference
        and all(abs(a - b) <= ORIENTATION for a, b in zip(one.orientation, other.orientation, strict=True))
        and all(abs(a - b) <= 1e-4 * a for a, b in zip(one.spacing, other.spacing, strict=True))
    )


def _pixels_alike(one: Plane, other: Plane) -> bool:
    a, b = one.layout, other.layout
    return (a.rows, a.columns, a.colour) == (b.rows, b.columns, b.colour)


def _localizer(plane: Plane) -> bool:
    return "LOCALIZER" in plane.marks.image_type


def _differing(plane: Plane, firsts: Sequence[Plane]) -> str:
    """What tells this kind of plane from the others: "localizer", "sagittal", "256x256"."""
    words = []
    if len({_localizer(p) for p in firsts}) > 1 and _localizer(plane):
        words.append("localizer")
    if len({_facing(p) for p in firsts}) > 1:
        words.append(_facing(plane))
    if len({(p.layout.rows, p.layout.columns) for p in firsts}) > 1:
        words.append(f"{plane.layout.rows}x{plane.layout.columns}")
    return " ".join(words) or "part"


def _facing(plane: Plane) -> str:
    return ("sagittal", "coronal", "axial")[int(np.abs(normal_of(plane)).argmax())]
