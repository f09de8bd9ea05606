"""Folders of DICOM: series, and the SEG or RTSTRUCT that belongs to each, however their files lie.

A case is a series with the structures that were drawn on it: those that refer to its images, or, where
references are broken, that share its frame of reference and lie nearest to its files. Patients are told apart
by a digest of their PatientID, which is never shown. Series of a patient on which nothing is drawn are left
out, where something is drawn on another one.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from os.path import commonpath
from pathlib import Path

from calque.dataset.layouts.derive import labels_of
from calque.dataset.layouts.gather import ambiguous, readable_below
from calque.dataset.layouts.manifest import with_ignore
from calque.dataset.model import Case, Dataset
from calque.errors import CalqueError, DatasetError, InputError, ReadError
from calque.io.dicom.labelling import key_of
from calque.io.dicom.model import Found, Refused, Series, Stack
from calque.io.dicom.objects import structures_kind
from calque.io.dicom.source import as_source, stacks_of
from calque.io.dicom.ties import Tie, nearest, read_tie, shared_folders, tied_stacks
from calque.io.plane import RGB
from calque.labels import Labels

MODALITY = "modality"
"""Metadata of cases in folders of DICOM."""

Held = Stack | Refused
"""What structures may belong to: a volume, or a series that cannot be read, of which `check` says why."""


def dicom_folders(root: Path) -> Dataset | None:
    """Series and structures below a folder that holds DICOM alone; None where it holds none, or other scans.

    Raises:
        DatasetError: no structures are there, or it is not clear which series they belong to.
    """
    if as_source(root) is None or readable_below(root):
        return None
    found = stacks_of(root)
    ties, damaged = _ties(root)
    if not ties:
        if damaged:
            raise next(iter(damaged.values()))
        raise DatasetError(
            "There is no mask to learn from",
            where=root,
            expected="a DICOM SEG or RTSTRUCT for each series that is annotated",
            got=f"{len(found.stacks)} series or volumes",
            fix=f"calque dataset init {root} -o manifest.csv, and list masks of other formats there",
        )
    pairs = [(tie, _only(tie, found, root)) for tie in ties]
    pairs += _of_damaged(damaged, pairs, found)
    _refuse_rivals(pairs, root)
    annotated = {tie.patient for tie in ties}
    held = {id(stack) for _, stack in pairs}
    bare = [s for s in found.stacks if s.series.patient not in annotated and id(s) not in held]
    labels = labels_of(ties)
    every: list[tuple[Tie | None, Held]] = [*pairs, *((None, stack) for stack in bare)]
    ids = _ids(every, root)
    cases = tuple(
        _case(name, tie, stack, found.stacks, labels) for name, (tie, stack) in zip(ids, every, strict=True)
    )
    return Dataset(
        name=root.resolve().name,
        root=root,
        layout="dicom",
        channels=_channels([held for _, held in every if isinstance(held, Stack)]),
        labels=with_ignore(labels, cases),
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        patients="PatientID",
    )


def sketch(root: Path) -> tuple[Case, ...]:
    """A case for each series and each SEG or RTSTRUCT that may belong to it; a person strikes out rows.

    What is in `unreadable` has no row.
    """
    stacks = stacks_of(root).stacks
    ties, _ = _ties(root)
    pairs: list[tuple[Tie | None, Held]] = [(t, stack) for t in ties for stack in tied_stacks(t, stacks)]
    drawn = {id(stack) for _, stack in pairs}
    every = [*pairs, *((None, stack) for stack in stacks if id(stack) not in drawn)]
    return tuple(
        _case(name, tie, stack, stacks, None)
        for name, (tie, stack) in zip(_ids(every, root), every, strict=True)
    )


def unreadable(root: Path) -> tuple[CalqueError, ...]:
    """What is wrong with each file and series of a folder that cannot be read."""
    refused: dict[Path, CalqueError] = {i.paths[0]: i.error for i in stacks_of(root).refused}
    return tuple({**refused, **_ties(root)[1]}.values())


def _ties(root: Path) -> tuple[list[Tie], dict[Path, InputError]]:
    """What each SEG and RTSTRUCT says of itself; and those that are damaged, with what is wrong."""
    ties: list[Tie] = []
    damaged: dict[Path, InputError] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name[0] not in "._"):
        try:
            tie = None if structures_kind(path) is None else read_tie(path)
        except InputError as problem:
            damaged[path] = problem
            continue
        if tie is not None and tie.names:
            ties.append(tie)
        elif tie is not None:
            damaged[path] = ReadError("This SEG or RTSTRUCT holds no structure", where=path)
    return ties, damaged


def _of_damaged(
    damaged: Mapping[Path, InputError], pairs: Sequence[tuple[Tie, Held]], found: Found
) -> list[tuple[Tie, Held]]:
    """What cannot be read is taken for the structures of the series that lies nearest: `check` names it then.

    A file beside slices may be one of them: reading these says what is wrong with it.

    Raises:
        InputError: what is wrong with it, where no series or several could be the one.
    """
    beside = {plane.path.parent for stack in found.stacks for plane in stack.slices}
    held = {id(stack) for _, stack in pairs}
    free = [stack for stack in found.stacks if id(stack) not in held]
    lost: list[tuple[Tie, Held]] = []
    for path, problem in damaged.items():
        near = nearest(path, free)
        if len(near) != 1 and path.parent in beside:
            continue
        if len(near) != 1:
            raise problem
        lost.append((Tie(path, (), (), (), frozenset(), frozenset(), ""), near[0]))
    return lost


def _only(tie: Tie, found: Found, root: Path) -> Held:
    """The one stack that structures belong to; or the one series that cannot be read and may be it.

    Raises:
        DatasetError: there is none, or it could be one of several.
    """
    fitting = tied_stacks(tie, found.stacks)
    if len(fitting) == 1:
        return fitting[0]
    where = tie.path.relative_to(root).as_posix()
    spoiled = _spoiled(tie, found)
    if not fitting and len(spoiled) == 1:
        return spoiled[0]
    if not fitting:
        reasons = [f"a series is refused: {item.error.what}" for item in found.refused]
        raise ambiguous(
            root, [f"no series fits {where}", *reasons], "the series that structures were drawn on"
        )
    seen = [f"{s.series.modality} {'x'.join(map(str, s.grid.shape))} {s.name}".strip() for s in fitting]
    raise ambiguous(root, [f"{where} may belong to", *seen], "one series for each SEG or RTSTRUCT")


def _spoiled(tie: Tie, found: Found) -> list[Refused]:
    """Series of the patient and frame of reference that were refused, and lie nearest."""
    own = [
        item
        for item in found.refused
        if item.series is not None
        and item.series.patient == tie.patient
        and (not tie.frames or item.series.frame_of_reference in {None, *tie.frames})
    ]
    steps = [shared_folders(tie.path, item.paths[0]) for item in own]
    return [item for item, step in zip(own, steps, strict=True) if step == max(steps)]


def _refuse_rivals(pairs: Sequence[tuple[Tie, Held]], root: Path) -> None:
    holders: dict[int, list[Path]] = defaultdict(list)
    for tie, stack in pairs:
        holders[id(stack)].append(tie.path)
    for paths in holders.values():
        if len(paths) > 1:
            names = [path.relative_to(root).as_posix() for path in paths]
            raise ambiguous(root, names, "one SEG or RTSTRUCT for each series")


def _case(name: str, tie: Tie | None, stack: Held, stacks: Sequence[Stack], labels: Labels | None) -> Case:
    held = set() if tie is None else {key_of(n) for n in tie.names}
    known = tuple(n for n in labels.names if key_of(n) in held) if labels is not None and held else None
    series = _series(stack)
    patient = series.patient or series.study
    return Case(
        id=name,
        images=(_address(stack, stacks),),
        label=None if tie is None else tie.path,
        patient=f"p-{hashlib.sha256(patient.encode()).hexdigest()[:12]}",
        annotated=None if labels is None or known == labels.names else known,
        metadata=((MODALITY, series.modality),) if series.modality else (),
    )


def _series(held: Held) -> Series:
    assert held.series is not None  # noqa: S101  (`_spoiled`)
    return held.series


def _address(stack: Held, stacks: Sequence[Stack]) -> Path:
    """The folder of its files, with "@" and the series where others lie there too."""
    folder = _folder(stack)
    if isinstance(stack, Refused):
        return Path(f"{folder}@{_series(stack).uid}")
    near = [other for other in stacks if _folder(other).is_relative_to(folder)]
    if len(near) == 1:
        return folder
    number, uid = stack.series.number, stack.series.uid
    alike = {other.series.uid for other in near if other.series.number == number}
    series = uid if number is None or len(alike) > 1 else str(number)
    return Path(f"{folder}@{series}{'/' if stack.name else ''}{stack.name}")


def _folder(held: Held) -> Path:
    paths = held.paths if isinstance(held, Refused) else [plane.path for plane in held.slices]
    return Path(commonpath([path.parent for path in paths]))


def _ids(every: Sequence[tuple[Tie | None, Held]], root: Path) -> list[str]:
    """From the folder that a series and its structures share; numbered where that is not unique."""
    names = []
    for tie, stack in every:
        folder = _folder(stack)
        shared = Path(folder if tie is None else commonpath([folder, tie.path.parent]))
        below = "" if shared == root else shared.relative_to(root).as_posix()
        names.append(below.replace("/", "_") or root.resolve().name)
    counts, seen = Counter(names), Counter[str]()
    ids = []
    for name in names:
        seen[name] += 1
        ids.append(name if counts[name] == 1 else f"{name}_{seen[name]}")
    return ids


def _channels(stacks: Sequence[Stack]) -> tuple[str, ...]:
    if all(stack.slices[0].layout.colour for stack in stacks):
        return RGB
    modalities = {stack.series.modality for stack in stacks}
    return (modalities.pop() if len(modalities) == 1 else "image",)
