"""The verb export: a model for programs that have neither torch nor Calque."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen


def export_model(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .calque file.", show_default=False)],
    to: Annotated[Literal["onnx", "openvino"], typer.Option("--to", help="Format of the network.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="A folder, made anew.")],
    json: Json = None,
) -> None:
    """Write the network, all folds as one, and a JSON that says what to do around it.

    examples/run_exported.py of the source runs it with numpy and onnxruntime or openvino alone.

    [dim]Example: calque export runs/liver/model.calque --to onnx -o exported[/dim]
    """
    from calque.model import Model
    from calque.prediction.export import DESCRIPTION, export

    screen = Screen(json)
    loaded = Model.load(model)
    written = export(loaded.plan, loaded.networks(), to, output)
    screen.say(f"{written}, and beside it {DESCRIPTION}: windows of {loaded.plan.patch} voxels (z, y, x)")
    screen.json({"network": written, "description": output / DESCRIPTION})
