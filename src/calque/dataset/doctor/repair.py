"""`repair`: a new dataset in which what can be mended is mended, and a record of what was done.

The originals are only read. A case that needs nothing is listed by the path of its own files, or copied. Each
case is finished by itself and noted in a journal, so that an interrupted repair goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calque.dataset.doctor.checking import check
from calque.dataset.doctor.findings import CheckReport, Finding
from calque.dataset.doctor.mending import Mended, Repair, mend, sha256
from calque.dataset.doctor.remedies import MENDERS, Bench
from calque.dataset.layouts.manifest import MANIFEST_CSV, write_manifest
from calque.dataset.model import Case, Dataset
from calque.errors import CalqueError, InputError, ResourceError
from calque.io import atomic_path, stem_of, write_text_atomic
from calque.io.room import require_room
from calque.labels import Labels, Region
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress
from calque.value import Value

REPAIRS = "repairs.jsonl"
_JOURNAL = ".journal"
_ROOM = 1.1
_UNPACKED = 4  # a rewritten file may be compressed less well than the original was


@dataclass(frozen=True)
class RepairResult:
    """What `repair` made.

    Args:
        folder: the new dataset.
        repairs: what was done, in the order of cases.
        left_out: ids of cases that the new dataset does not list.
        failed: case -> why it could not be mended; it is listed as it is.
        remaining: findings of the old dataset that are left to people.
    """

    folder: Path
    repairs: tuple[Repair, ...]
    left_out: tuple[str, ...]
    failed: dict[str, str]
    remaining: tuple[Finding, ...]


class _Noted(Value):
    """What the journal keeps of a finished case."""

    sources: tuple[tuple[Path, int, int], ...]
    images: tuple[Path, ...]
    label: Path | None
    parts: tuple[tuple[str, Path], ...]
    repairs: tuple[Repair, ...]


def repair(
    dataset: Dataset,
    output: Path,
    *,
    report: CheckReport | None = None,
    copy: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> RepairResult:
    """Mend what can be mended without guessing, into a new folder.

    Args:
        dataset: as from `open_dataset`.
        output: the new dataset: changed files, a list of cases, `repairs.jsonl`. It must be new or empty, or
            hold a repair of the same dataset that was interrupted.
        report: of `check`, where it is at hand; else it is made.
        copy: also copy the files that need no change; else they are listed by their full paths.
        workers: threads.
        progress: where to report.

    Raises:
        InputError: the folder holds something else, or lies in the dataset.
        ResourceError: the disk has not enough room.
    """
    _require_free(dataset, output)
    report = report or check(dataset, workers=workers, progress=progress)
    left_out = {f.case: f for f in report.repairable if f.name.startswith("duplicate") and f.case}
    renumbered = _renumbering(dataset) if any(f.name == "labels-gaps" for f in report.repairable) else {}
    sick = {f.case for f in report.repairable if f.name in MENDERS}
    kept = [case for case in dataset.cases if case.id not in left_out]
    todo = [case for case in kept if case.id in sick or (renumbered and case.masks)]
    require_room(output, _needed(todo, kept if copy else ()), "the repaired dataset")
    bench = Bench(dataset, output, renumbered)
    made, failed = _mend_all(todo, bench, workers, progress)
    cases = [_listed(made.get(case.id, Mended(case)).case, output, copy) for case in kept]
    repairs = [_dropped(dataset.case(name), found) for name, found in left_out.items()]
    repairs += [repair for case in kept for repair in made.get(case.id, Mended(case)).repairs]
    write_text_atomic(output / REPAIRS, "".join(r.model_dump_json() + "\n" for r in repairs))
    listed = replace(dataset, cases=tuple(cases), labels=_labels(dataset.labels, renumbered))
    write_manifest(listed, output / MANIFEST_CSV)
    shutil.rmtree(output / _JOURNAL, ignore_errors=True)
    return RepairResult(
        folder=output,
        repairs=tuple(repairs),
        left_out=tuple(left_out),
        failed=failed,
        remaining=tuple(f for f in report.findings if not f.repairable or f.case in failed),
    )


def _mend_all(
    cases: Sequence[Case], bench: Bench, workers: int | None, progress: Progress
) -> tuple[dict[str, Mended], dict[str, str]]:
    (bench.folder / _JOURNAL).mkdir(parents=True, exist_ok=True)
    made: dict[str, Mended] = {}
    failed: dict[str, str] = {}
    with progress.task("repair", total=len(cases)) as task:
        for outcome in map_bounded(lambda case: _once(case, bench), cases, workers):
            if outcome.error is None:
                made[outcome.item.id] = outcome.unwrap()
            elif isinstance(outcome.error, CalqueError) and not isinstance(outcome.error, ResourceError):
                failed[outcome.item.id] = str(outcome.error)
            else:
                raise outcome.error
            task.advance(note=outcome.item.id)
    return made, failed


def _once(case: Case, bench: Bench) -> Mended:
    """Mend, or take from the journal what an earlier run has finished, if the originals are as they were."""
    name = hashlib.sha256(case.id.encode()).hexdigest()[:24]
    entry = bench.folder / _JOURNAL / f"{name}.json"
    sources = tuple(_state(path) for path in (*case.images, *case.masks) if path.is_file())
    if entry.is_file():
        noted = _Noted.read(entry)
        if noted.sources == sources:
            done = replace(case, images=noted.images, label=noted.label, parts=noted.parts)
            return Mended(done, noted.repairs)
    made = mend(case, bench)
    noted = _Noted(
        sources=sources,
        images=made.case.images,
        label=made.case.label,
        parts=made.case.parts,
        repairs=made.repairs,
    )
    write_text_atomic(entry, noted.to_json())
    return made


def _state(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path, state.st_size, state.st_mtime_ns


def _listed(case: Case, output: Path, copy: bool) -> Case:
    """With full paths, or with copies of what lies elsewhere."""

    def place(path: Path, kind: str, position: int) -> Path:
        if path.is_relative_to(output) or not (copy and path.is_file()):
            return path.absolute()
        target = output / kind / f"{case.id}_{position:04d}{path.name[len(stem_of(path)) :]}"
        if not target.is_file():
            with atomic_path(target) as aside:
                shutil.copyfile(path, aside)
        return target.absolute()

    return replace(
        case,
        images=tuple(place(path, "images", k) for k, path in enumerate(case.images)),
        label=None if case.label is None else place(case.label, "masks", 0),
        parts=tuple((name, place(path, "masks", k)) for k, (name, path) in enumerate(case.parts)),
    )


def _dropped(case: Case, found: Finding) -> Repair:
    return Repair(
        case=case.id,
        finding=found.name,
        file=case.images[0],
        before=found.got or found.what,
        after="left out of the list",
        sha256=sha256(case.images[0]),
    )


def _renumbering(dataset: Dataset) -> dict[int, int]:
    values = sorted(dataset.labels.values)
    change = {old: new for new, old in enumerate(values, start=1)}
    if dataset.labels.ignore is not None:
        change[dataset.labels.ignore] = len(values) + 1
    return change


def _labels(labels: Labels, change: dict[int, int]) -> Labels:
    if not change:
        return labels
    return Labels(
        classes=tuple(c.model_copy(update={"value": change[c.value]}) for c in labels.classes),
        regions=tuple(Region(name=r.name, values=tuple(change[v] for v in r.values)) for r in labels.regions),
        ignore=None if labels.ignore is None else change[labels.ignore],
    )


def _require_free(dataset: Dataset, output: Path) -> None:
    inside = output.resolve().is_relative_to(dataset.root.resolve())
    full = output.is_dir() and any(output.iterdir()) and not (output / _JOURNAL).is_dir()
    if inside or full or output.is_file():
        raise InputError(
            "The repaired dataset needs a folder of its own",
            where=output,
            expected="a new or empty folder outside the dataset",
            got="a place inside the dataset" if inside else "something else is there",
            fix="choose another folder",
        )


def _needed(todo: Iterable[Case], copied: Iterable[Case]) -> int:
    """Bytes that the new dataset may take."""
    changed = sum(_size(case) for case in todo) * _UNPACKED
    return int((changed + sum(_size(case) for case in copied)) * _ROOM)


def _size(case: Case) -> int:
    return sum(os.path.getsize(path) for path in (*case.images, *case.masks) if path.is_file())  # noqa: PTH202
