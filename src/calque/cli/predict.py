"""The verb predict: scans to label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .calque file.", show_default=False)],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Scans, or folders of scans.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the label maps.")],
    mirror: Annotated[
        Literal["off", "interleaved", "full"], typer.Option(help="Mirroring; full is slow.")
    ] = "interleaved",
    precision: Annotated[Literal["auto", "bf16", "f32"], typer.Option(help="Of convolutions.")] = "auto",
    overlay: Annotated[bool, typer.Option("--overlay", help="Also a picture of each scan.")] = False,
    objects: Annotated[bool, typer.Option("--objects", help="Also tables of the objects.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave scans alone whose label map is there.")
    ] = False,
    json: Json = None,
) -> None:
    """Label every voxel of some scans. Exit code 1 if one of them could not be predicted.

    [dim]Example: calque predict runs/liver/model.calque scans/ -o predicted --overlay[/dim]
    """
    from calque.model import Model
    from calque.prediction import PredictOptions
    from calque.prediction import predict as predict_files

    screen = Screen(json)
    predictor = Model.load(model).predictor(PredictOptions(mirror=mirror, precision=precision))
    result = predict_files(
        predictor,
        inputs,
        output,
        overlay=overlay,
        objects=objects,
        overwrite=not skip_existing,
        progress=screen.progress,
    )
    for failure in result.failed:
        screen.say(f"failed: {failure.case}: {failure.error}")
    if result.skipped:
        screen.say(f"{len(result.skipped)} scans skipped, their label maps are there")
    screen.say(f"{len(result.done)} of {len(result.done) + len(result.failed)} scans predicted: {output}")
    screen.json(result)
    if result.failed:
        raise typer.Exit(1)
