"""Verbs on public data sets: datasets list, datasets fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

app = typer.Typer(
    help="Public data sets: calque datasets list, calque datasets fetch hippocampus -o data.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
def list_sets(json: Json = None) -> None:
    """List what can be fetched: what it shows, cases, size, licence.

    [dim]Example: calque datasets list[/dim]
    """
    from calque.dataset.public import PUBLIC
    from calque.io.room import size_in_words

    screen = Screen(json)
    rows = [
        (s.name, s.shows, f"{s.cases[0]} + {s.cases[1]}", size_in_words(s.size), s.licence)
        for s in PUBLIC.values()
    ]
    header = ("name", "shows", "cases with + without masks", "about", "licence")
    screen.table("Medical Segmentation Decathlon", header, rows)
    screen.say(f"To cite: {next(iter(PUBLIC.values())).cite}")
    screen.json(list(PUBLIC.values()))


@app.command("fetch")
def fetch_set(
    name: Annotated[str, typer.Argument(help="As listed.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where its folder goes.")
    ] = Path("data"),
    json: Json = None,
) -> None:
    """Fetch a public data set, check it against its checksum and unpack it. Interrupted, it goes on later.

    [dim]Example: calque datasets fetch hippocampus -o data[/dim]
    """
    from calque.dataset.public import fetch, public_set
    from calque.errors import InputError

    screen = Screen(json)
    wanted = public_set(name)
    try:
        folder = fetch(wanted, output, progress=screen.progress)
    except OSError as problem:
        raise InputError(
            "The data set could not be fetched",
            where=wanted.url,
            got=problem,
            fix="see whether this machine reaches the network, and try again: what has arrived is kept",
        ) from None
    screen.say(f"{wanted.shows}. {wanted.licence}; to cite: {wanted.cite}")
    screen.say(f"Go on with: calque check {folder}")
    screen.json({"name": name, "folder": folder, "licence": wanted.licence, "cite": wanted.cite})
