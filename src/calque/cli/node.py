"""The verbs below node: how one is doing, and what failed once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

app = typer.Typer(help="Look after a node: calque node status.", no_args_is_help=True)


@app.command("status")
def status(
    spool: Annotated[Path, typer.Option(metavar="FOLDER", help="The node's.")] = Path("calque-spool"),
    json: Json = None,
) -> None:
    """How a node is doing: what has arrived, what was made, what has not been delivered.

    Exit code 1 if it does not run, or if something failed or is being tried again.

    [dim]Example: calque node status --spool /srv/calque --json -[/dim]
    """
    from calque.node import node_status

    screen = Screen(json)
    found = node_status(spool)
    screen.say(f"{'running' if found.running else 'not running'}, {found.free_bytes / 2**30:.1f} GB free")
    screen.table("Series", ("state", "number"), sorted(found.series.items()))
    screen.table("Deliveries", ("state", "number"), sorted(found.deliveries.items()))
    troubled = [one for one in found.all_series if one.state == "failed"]
    for one in troubled:
        screen.say(f"failed: series {one.key}: {one.reason}")
    for sent in found.all_deliveries:
        if sent.state == "failed" or (sent.state == "waiting" and sent.attempts):
            screen.say(
                f"{sent.state}: series {sent.series}, {sent.kind} to {sent.destination}: {sent.reason}"
            )
    screen.json(found)
    if not found.healthy:
        raise typer.Exit(1)


@app.command("retry")
def retry(
    series: Annotated[
        str | None,
        typer.Argument(metavar="SERIES", help="A key of the status; else all.", show_default=False),
    ] = None,
    spool: Annotated[Path, typer.Option(metavar="FOLDER", help="The node's.")] = Path("calque-spool"),
) -> None:
    """Work at failed series again, and send failed deliveries again; also while the node runs.

    [dim]Example: calque node retry --spool /srv/calque[/dim]
    """
    from contextlib import closing

    from calque.node import Queue, node_status

    screen = Screen()
    node_status(spool)  # an error where it is no spool
    with closing(Queue(spool / "queue.sqlite")) as queue:
        screen.say(f"{queue.retry(series)} series and deliveries will be tried again")
