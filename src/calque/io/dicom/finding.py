"""From files to stacks, by their headers alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from calque.errors import CalqueError, InputError, MissingExtraError, ReadError
from calque.io.dicom.copies import without_copies
from calque.io.dicom.files import list_files
from calque.io.dicom.grouping import same_matrix, volumes
from calque.io.dicom.headers import Damaged, read_planes
from calque.io.dicom.lattice import Lattice
from calque.io.dicom.model import Found, Refused, Series, Slice, Stack
from calque.io.dicom.planes import Group, Plane
from calque.io.dicom.raw import quiet
from calque.io.plane import PIXELS, own_grid
from calque.progress import SILENT, Progress

_VOLUMES = ("CT", "MR", "PT", "NM")
"""Modalities whose slices must say where they are; others give pictures."""

_MOST_LISTED = 20
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"  # captures, of one frame or many
_DETECTOR = ("ImagerPixelSpacing", "NominalScannedPixelSpacing")


def find_stacks(paths: Path | str | Sequence[Path | str], *, progress: Progress = SILENT) -> Found:
    """The volumes and pictures of a folder (recursive), a zip, a file or several files.

    Only headers are read. Files that are no DICOM are passed over, so are objects without pixels of a scan:
    SEG, RTSTRUCT, SR, presentation states. What cannot be read without being wrong is in `refused`.

    Raises:
        ReadError: a path does not exist, or a zip is damaged or holds what it should not.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    require_pydicom()
    members: dict[tuple[str, str, str], list[Plane]] = defaultdict(list)
    damaged: dict[tuple[str, str, str], Refused] = {}
    unknown: list[Refused] = []
    files = list_files(paths)
    with quiet(), progress.task("reading headers", len(files)) as task:
        for path in files:
            try:
                for plane in read_planes(path) or ():
                    members[_identity(plane.series)].append(plane)
            except Damaged as found:
                damaged.setdefault(_identity(found.series), Refused(found.series, found.error, (path,)))
            except ReadError as problem:
                unknown.append(Refused(None, problem, (path,)))
            task.advance()
    stacks: list[Stack] = []
    refused = [*unknown, *damaged.values()]
    with quiet():
        for identity, planes in members.items():
            if identity not in damaged:
                _sort_out(planes, stacks, refused)
    return Found(tuple(sorted(stacks, key=_order)), tuple(refused))


def choose_stack(found: Found, wanted: str | None = None, where: object = None) -> Stack:
    """The stack that is wanted: the only one, or that of a series UID, a series number or "UID/stack name".

    Raises:
        InputError: there are several and none is wanted (they are listed), or none is what is wanted.
        CalqueError: what is wanted, or the only one, was refused: its own error.
    """
    stray = next((item.error for item in found.refused if item.series is None), None)
    if stray is not None:  # it may be a slice of any series
        raise stray
    fitting = [stack for stack in found.stacks if wanted is None or wanted in addresses(stack)]
    refused = [item for item in found.refused if wanted is None or _is_of(item, wanted)]
    if len(fitting) == 1 and not refused:
        return fitting[0]
    if not fitting and len(refused) == 1:
        raise refused[0].error
    if not fitting and not refused and wanted is None:
        raise ReadError("There are no DICOM images here", where=where)
    if not fitting and not refused:
        raise InputError(
            "There is no such series",
            where=where,
            got=wanted,
            expected=_listed(found, found.stacks, found.refused),
            fix="calque series lists what is there",
        )
    raise InputError(
        "There are several series or volumes here",
        where=where,
        expected="one, or to be told which (--series, or FOLDER@SERIES)",
        got=_listed(found, fitting, refused),
    )


def addresses(stack: Stack) -> tuple[str, ...]:
    """What may be written after "@" to mean this stack, alone or with the other stacks of its series."""
    series = [stack.series.uid, *([] if stack.series.number is None else [str(stack.series.number)])]
    return (*series, *(f"{name}/{stack.name}" for name in series if stack.name))


def require_pydicom() -> None:
    """Say which extra is missing.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise MissingExtraError("pydicom", "dicom") from None


def _identity(series: Series) -> tuple[str, str, str]:
    return series.patient, series.study, series.uid


def _is_of(item: Refused, wanted: str) -> bool:
    return item.series is not None and wanted.partition("/")[0] in (item.series.uid, str(item.series.number))


def addressing(found: Found) -> Callable[[Series, str], str]:
    """A function (series, stack name) -> what to write after "@": by number where only one series has it."""
    every = [stack.series for stack in found.stacks]
    every += [item.series for item in found.refused if item.series is not None]
    numbers = Counter(series.number for series in {_identity(series): series for series in every}.values())

    def address(series: Series, name: str) -> str:
        own = series.number is not None and numbers[series.number] == 1
        return f"{series.number if own else series.uid}{'/' if name else ''}{name}"

    return address


def _listed(found: Found, stacks: Iterable[Stack], refused: Iterable[Refused]) -> str:
    lines, address = [], addressing(found)
    for stack in stacks:
        shape = " x ".join(str(n) for n in stack.grid.shape)
        lines.append(f"{address(stack.series, stack.name)}: {stack.series.modality}, {shape}")
    for item in refused:
        if item.series is not None:
            lines.append(f"{address(item.series, '')}: {item.series.modality}, refused: {item.error.what}")
    more = len(lines) - _MOST_LISTED
    return "; ".join(lines[:_MOST_LISTED]) + (f"; and {more} more" if more > 0 else "")


def _order(stack: Stack) -> tuple[str, float, str]:
    number = stack.series.number
    return stack.series.study, float("inf") if number is None else number, stack.series.uid


def _sort_out(planes: Sequence[Plane], stacks: list[Stack], refused: list[Refused]) -> None:
    """Add what one series holds to `stacks` and `refused`."""
    try:
        group = without_copies(planes)
        pictures = [plane for plane in group.planes if _is_picture(plane)]
        placed = [plane for plane in group.planes if not _is_picture(plane)]
        parts = same_matrix(Group(tuple(placed), (), group.notes)) if placed else []
    except CalqueError as problem:
        refused.append(_refusal(planes, problem))
        return
    found: list[tuple[tuple[str, ...], Stack]] = []
    for part in parts:
        for one, lattice in volumes(part):
            if isinstance(lattice, CalqueError):
                refused.append(_refusal(one.planes, lattice))
            else:
                found.append((one.words, _volume(one, lattice)))
    found += [_picture(plane, group.notes) for plane in sorted(pictures, key=_picture_order)]
    stacks += _named(found)


def _refusal(planes: Sequence[Plane], problem: CalqueError) -> Refused:
    return Refused(planes[0].series, problem, tuple(dict.fromkeys(plane.path for plane in planes)))


def _named(found: Sequence[tuple[tuple[str, ...], Stack]]) -> list[Stack]:
    """Stacks of one series with names that tell them apart; the only one has none."""
    from dataclasses import replace

    if len(found) == 1:
        return [found[0][1]]
    names = [", ".join(words) or "volume" for words, _ in found]
    counts, seen = Counter(names), Counter[str]()
    named = []
    for name, (_, stack) in zip(names, found, strict=True):
        seen[name] += 1
        named.append(replace(stack, name=name if counts[name] == 1 else f"{name} {seen[name]}"))
    return named


def _volume(group: Group, lattice: Lattice) -> Stack:
    slices = tuple(_slice(plane) for plane in lattice.planes)
    first = lattice.planes[0]
    notes = (*group.notes, *lattice.notes, *_spacing_note(first))
    return Stack(first.series, "", lattice.grid, slices, lattice.tilt, notes=notes)


def _is_picture(plane: Plane) -> bool:
    """Whether a plane is one without a place in the patient, and may be."""
    if plane.position is not None or plane.orientation is not None:
        return False
    return plane.series.modality not in _VOLUMES or plane.sop_class.startswith(_SECONDARY)


def _picture_order(plane: Plane) -> tuple[float, str, int]:
    number = plane.marks.number
    return (float("inf") if number is None else number, plane.instance, plane.frame)


def _picture(plane: Plane, notes: tuple[str, ...]) -> tuple[tuple[str, ...], Stack]:
    shape = (1, plane.layout.rows, plane.layout.columns)
    spacing = plane.spacing
    grid = own_grid(shape, PIXELS if spacing is None else (spacing[1], spacing[0], spacing[1]))
    stack = Stack(
        plane.series,
        "",
        grid,
        (_slice(plane),),
        placed=False,
        spacing_known=spacing is not None,
        notes=(*notes, *_spacing_note(plane)),
    )
    return ("picture",), stack


def _spacing_note(plane: Plane) -> tuple[str, ...]:
    if plane.spacing_from in _DETECTOR:
        return (f"pixel size at the detector ({plane.spacing_from}), without correction for magnification",)
    if plane.spacing_from not in ("", "PixelSpacing"):
        return (f"pixel size from {plane.spacing_from}",)
    return ()


def _slice(plane: Plane) -> Slice:
    return Slice(
        path=plane.path,
        frame=plane.frame,
        instance=plane.instance,
        sop_class=plane.sop_class,
        position=plane.position or (0.0, 0.0, 0.0),
        layout=plane.layout,
        slope=plane.slope,
        intercept=plane.intercept,
        offset=plane.offset,
    )
