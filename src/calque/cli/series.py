"""The verb series, and how the verbs that take scans are told which series of a DICOM folder is meant."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.io.dicom import Refused, Series, Stack
    from calque.progress import Progress

SeriesChoice = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="SERIES",
        help="Of a DICOM folder: number or UID, or NUMBER/VOLUME as calque series lists them.",
    ),
]


ListSeries = Annotated[
    bool, typer.Option("--list", help="List the DICOM series of INPUT, as calque series does, and stop.")
]


def series(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="DICOM: a folder, a zip, or files.", show_default=False),
    ],
    json: Json = None,
) -> None:
    """List the DICOM series of a folder: what is a volume, and what is refused and why.

    Exit code 1 if something is refused.

    [dim]Example: calque series study/ --json series.json[/dim]
    """
    list_series(Screen(json), sources)


def list_series(screen: Screen, sources: Sequence[Path]) -> None:
    """Show what `calque series` shows of folders, zips and files together.

    Raises:
        Exit: with code 1, if something is refused.
        ReadError: a path is not there.
    """
    from calque.io.dicom.finding import addressing, find_stacks
    from calque.io.dicom.source import as_source

    known = [source for source in map(as_source, sources) if source is not None]
    found = find_stacks([s.base for s in known] or list(sources), progress=screen.progress)
    call = addressing(found)
    rows = [_row(stack, call(stack.series, "")) for stack in found.stacks]
    rows += [
        _refused_row(item, "" if item.series is None else call(item.series, "")) for item in found.refused
    ]
    header = ("series", "modality", "description", "volume", "voxels (z, y, x)", "spacing, mm", "remarks")
    where = sources[0] if len(sources) == 1 else f"{len(sources)} files and folders"
    screen.table(f"{len(found.stacks)} volumes and pictures in {where}", header, rows)
    for item in found.refused:
        screen.say(f"refused: {item.error}")
    screen.json(
        {
            "source": where,
            "stacks": [_plain(stack) for stack in found.stacks],
            "refused": [
                {"series": item.series and _named(item.series), "error": item.error} for item in found.refused
            ],
        }
    )
    if found.refused:
        raise typer.Exit(1)


def chosen(inputs: Sequence[Path], wanted: str | None, every: bool, progress: Progress) -> list[Path]:
    """The inputs of a verb, with the series that is wanted, or every volume, of those that are DICOM.

    Raises:
        BadParameter: a series is wanted, and none of the inputs is DICOM.
    """
    from calque.io.dicom.source import as_source, series_paths, stacks_of

    paths: list[Path] = []
    sources = {path: as_source(path) for path in inputs}
    if (wanted is not None or every) and not any(sources.values()):
        raise typer.BadParameter("--series and --all-series go with DICOM, and there is none here")
    if wanted is not None and every:
        raise typer.BadParameter("give --series or --all-series, not both")
    for path, source in sources.items():
        if source is None:
            paths.append(path)
        elif every and source.wanted is None:
            paths += series_paths(source.base, progress).values()
        else:
            if source.base.is_dir():
                stacks_of(source.base, progress)  # says how far it is; what was found is remembered
            paths.append(path if wanted is None else Path(f"{path}@{wanted}"))
    return paths


def gathered(inputs: Sequence[Path]) -> list[Path]:
    """The inputs of a verb; slices that are given file by file become a folder of links for each series.

    The folder is called as that of the files, and goes when the program ends.
    """
    from calque.io.dicom import find_stacks
    from calque.io.dicom.source import as_source
    from calque.io.reading import is_structures

    loose = [
        path
        for path in inputs
        if path.is_file() and path.suffix.lower() != ".zip" and as_source(path) and not is_structures(path)
    ]
    if len(loose) < 2:
        return list(inputs)
    found = find_stacks(loose)
    members: dict[str, dict[Path, None]] = {}
    for stack in found.stacks:
        files = dict.fromkeys(plane.path for plane in stack.slices)
        if len(files) > 1:  # pictures are scans by themselves
            members.setdefault(stack.series.uid, {}).update(files)
    for item in found.refused:
        if item.series is not None and len(item.paths) > 1:
            members.setdefault(item.series.uid, {}).update(dict.fromkeys(item.paths))
    taken = {path for files in members.values() for path in files}
    return [*(path for path in inputs if path not in taken), *(_linked(list(f)) for f in members.values())]


def _linked(files: Sequence[Path]) -> Path:
    kept = TemporaryDirectory(prefix="calque-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name) / (files[0].resolve().parent.name or "series")
    folder.mkdir()
    for number, path in enumerate(files):
        (folder / f"{number:05d}_{path.name}").symlink_to(path.resolve())
    return folder


def _row(stack: Stack, address: str) -> tuple[object, ...]:
    return (
        address,
        stack.series.modality,
        stack.series.description,
        stack.name,
        " x ".join(str(n) for n in stack.grid.shape),
        " x ".join(f"{s:.4g}" for s in stack.grid.spacing) if stack.spacing_known else "unknown",
        "; ".join(stack.notes),
    )


def _refused_row(item: Refused, address: str) -> tuple[object, ...]:
    if item.series is None:
        return ("", "", "", "", "", "", f"refused: {item.error.what}")
    return (address, item.series.modality, item.series.description, "", "", "", f"refused: {item.error.what}")


def _named(series: Series) -> dict[str, object]:
    """A series without its patient."""
    return {
        "uid": series.uid,
        "number": series.number,
        "modality": series.modality,
        "description": series.description,
        "body_part": series.body_part,
    }


def _plain(stack: Stack) -> dict[str, object]:
    return {
        "series": _named(stack.series),
        "name": stack.name,
        "shape": stack.grid.shape,
        "spacing": stack.grid.spacing,
        "axes": stack.grid.orientation if stack.placed else None,
        "spacing_known": stack.spacing_known,
        "tilt": stack.tilt,
        "slices": len(stack.slices),
        "notes": stack.notes,
    }
