"""The verb demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Json, in_words, parse_duration
from calque.cli.scores import show_scores
from calque.cli.screen import Screen


def demo(
    phantom: Annotated[bool, typer.Option("--phantom", help="On generated scans; needs no network.")] = False,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where all of it goes.")
    ] = Path("demo"),
    budget: Annotated[
        float, typer.Option(parser=parse_duration, metavar="TIME", help="For planning and training.")
    ] = "4m",  # type: ignore[assignment]  # typer gives the default to the parser
    data: Annotated[
        Path | None,
        typer.Option(envvar="CALQUE_DATA", help="Folder with a data set, or with one named hippocampus."),
    ] = None,
    json: Json = None,
) -> None:
    """From nothing to a validated model and its report, on public data or phantoms.

    [dim]Example: calque demo --phantom -o demo --budget 4m[/dim]
    """
    from calque.demo import demo as run_demo

    screen = Screen(json)
    if data is not None and (data / "hippocampus").is_dir():
        data = data / "hippocampus"
    result = run_demo(output, data=data, phantom=phantom, budget=budget, progress=screen.progress)
    show_scores(screen, result.scores)
    for name in result.failed:
        screen.say(f"failed: {name}")
    origin = {"given": "the data given", "fetched": "public data", "phantoms": "phantoms"}[result.origin]
    screen.say(f"\nDone in {in_words(result.seconds)}, on {origin}. Where to look:")
    for what, path in (
        ("report", result.reports[0]),
        ("rapport", result.reports[1]),
        ("report of the run", result.run_reports[0]),
        ("masks and overlays", result.predicted),
        ("scores", result.scores_file),
        ("model", result.model),
    ):
        screen.say(f"  {what:<19} {path}")
    screen.json(result)
    if result.failed:
        raise typer.Exit(1)
