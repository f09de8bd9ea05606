"""The verb deidentify: DICOM without the patients' identities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Json, Workers
from calque.cli.screen import Screen


def deidentify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="DICOM files, however deep.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Folder, apart from the originals.")
    ],
    retain: Annotated[
        str,
        typer.Option(
            metavar="WHAT,...",
            help="Keep more: dates (shifted), characteristics (age, sex, size, weight), descriptors, device.",
        ),
    ] = "",
    salt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The secret that makes pseudonyms; made if it is not there. By default OUT.salt.",
        ),
    ] = None,
    pixels_checked: Annotated[
        bool,
        typer.Option("--pixels-checked", help="Somebody has looked: no names stand in the pictures."),
    ] = False,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Write DICOM files without names, numbers and dates (PS3.15, basic profile).

    UIDs are replaced consistently: SEG, RTSTRUCT and SR still belong to their images. The same salt gives the
    same pseudonyms; keep it secret and apart from the output. Exit code 1 if a file was left out.

    [dim]Example: calque deidentify scans/ -o clean --retain dates,characteristics[/dim]
    """
    from calque.deidentification import DeidOptions, Pseudonyms, read_salt
    from calque.deidentification import deidentify as clean

    screen = Screen(json)
    wanted = tuple(word.strip() for word in retain.split(",") if word.strip())
    options = DeidOptions.from_fields(retain=wanted, pixels_checked=pixels_checked)
    file = salt or output.with_name(f"{output.name}.salt")
    secret, new = read_salt(file)
    if new:
        screen.say(
            f"{file}: a new salt. Keep it secret, apart from {output}: it makes the same pseudonyms again"
        )
    report = clean(folder, output, Pseudonyms(secret), options, workers=workers, progress=screen.progress)
    for error in dict.fromkeys(failure.error for failure in report.failed):
        files = [failure.file for failure in report.failed if failure.error == error]
        more = f" and {len(files) - 1} more" if files[1:] else ""
        screen.say(f"left out: {files[0]}{more}: {error}")
    if report.skipped:
        screen.say(f"{len(report.skipped)} files are no DICOM and were passed over")
    screen.say(
        f"{output}: {report.written} instances of {report.series} series and {report.patients} patients"
        + (f"; {len(report.failed)} left out" if report.failed else "")
    )
    screen.json(report)
    if report.failed:
        raise typer.Exit(1)
