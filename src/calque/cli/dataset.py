"""Verbs on how a data set is described: dataset init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Json, Patients
from calque.cli.screen import Screen

app = typer.Typer(
    help="Describe a data set: calque dataset init FOLDER writes a manifest to correct.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    """Describe a data set."""


@app.command("init")
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Scans and masks, in any layout.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The manifest; else FOLDER/manifest.csv."),
    ] = None,
    patients: Patients = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a manifest that is there.")] = False,
    json: Json = None,
) -> None:
    """Write a manifest of a folder, and a table of its labels, that a person can correct and that then rules.

    Exit code 1 if a file or series of DICOM cannot be read: each is named, the others are listed.

    [dim]Example: calque dataset init scans/ -o manifest.csv[/dim]
    """
    from calque.dataset import init_manifest
    from calque.dataset.layouts.manifest import MANIFEST_CSV

    screen = Screen(json)
    written = init_manifest(folder, output or folder / MANIFEST_CSV, patient_pattern=patients, force=force)
    if written.understood is None:
        screen.say(
            f"{written.manifest}: {written.cases} images. How they belong together was not clear: "
            "correct the columns patient and label, and remove rows that are no case."
        )
    else:
        screen.say(
            f"{written.manifest}: {written.cases} cases, layout {written.understood}. "
            f"What the labels mean: {written.labels}"
        )
    screen.say(f"Then: calque check {written.manifest}")
    for problem in written.unreadable:
        screen.say(f"unreadable: {problem}")
    screen.json(written)
    if written.unreadable:
        raise typer.Exit(1)
