"""`calque dataset init`: what is there, as a manifest that a person can correct and that then rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calque.dataset.layouts.dicom import sketch, unreadable
from calque.dataset.layouts.gather import by_stem, case_ids, named, readable_below
from calque.dataset.layouts.manifest import Written, labels_beside, write_manifest, write_sketch
from calque.dataset.layouts.recognise import open_dataset
from calque.dataset.model import Case
from calque.errors import DatasetError, InputError, ReadError
from calque.io import stem_of
from calque.io.dicom.source import as_source


def init_manifest(
    folder: Path, output: Path, *, patient_pattern: str | None = None, force: bool = False
) -> Written:
    """Write the manifest of a folder: of the dataset that is recognised, else of its images one by one.

    Args:
        folder: of scans and masks.
        output: the manifest; the table of labels is written beside it.
        patient_pattern: as in `open_dataset`.
        force: whether files that are there are replaced.

    Raises:
        InputError: the manifest is there already, or the folder holds no readable file.
    """
    taken = next((path for path in (output, labels_beside(output)) if path.exists()), None)
    if taken is not None and not force:
        raise InputError("The manifest is there already", where=taken, fix="correct it, or --force")
    if not folder.is_dir():
        raise DatasetError("There is no such folder", where=folder)
    problems = () if as_source(folder) is None else tuple(str(p) for p in unreadable(folder))
    try:
        dataset = open_dataset(folder, patient_pattern)
    except (DatasetError, ReadError):  # a file that is damaged: the others have their rows
        cases = _guesses(folder)
        write_sketch(cases, output)
        return Written(output, None, len(cases), None, problems)
    write_manifest(dataset, output)
    return Written(output, labels_beside(output), len(dataset.cases), dataset.layout, problems)


def _guesses(folder: Path) -> tuple[Case, ...]:
    """A case for each file that is not named as a mask, with the mask whose name begins like its own."""
    files = readable_below(folder)
    drawn = () if as_source(folder) is None else sketch(folder)
    masks = [path for path in files if named(path).is_mask]
    images = [path for path in files if path not in masks]
    if not images and not drawn:
        raise DatasetError("There is no image here that can be read", where=folder)
    try:
        keys = by_stem(images, folder)
    except DatasetError:  # x.bmp and x.png: which is the mask is for a person to say
        keys = {path.relative_to(folder).as_posix(): path for path in images}
    ids = case_ids(list(keys))
    cases = []
    for key, path in keys.items():
        stem = stem_of(path).casefold()
        near = [m for m in masks if m.parent == path.parent and stem_of(m).casefold().startswith(stem)]
        best = min(near, key=lambda mask: len(mask.name), default=None)
        cases.append(Case(ids[key].replace("/", "_"), (path,), best, ids[key].replace("/", "_")))
    taken = {case.id for case in cases}
    more = [replace(c, id=f"{c.id}_dicom") if c.id in taken else c for c in drawn]
    return (*cases, *more)
