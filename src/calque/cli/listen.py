"""The verbs listen and node: a DICOM peer that segments what it is sent."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.options import CacheFolder, Json, cache_folder, parse_duration, parse_size
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.node import Listening, Node, Rules
    from calque.node.rules import Destination

app = typer.Typer(help="Look after a node: calque node status.", no_args_is_help=True)


_NODE_TOKEN = "CALQUE_NODE_TOKEN"  # noqa: S105  (the name of a variable)


def listen(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A .calque file; for rules that name none.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen on; 0: any free one.")] = 11112,
    aet: Annotated[str, typer.Option(metavar="TITLE", help="Application entity title.")] = "CALQUE",
    spool: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Queue, scans and results; survives a restart.")
    ] = Path("calque-spool"),
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which series gets which model, and what goes where.")
    ] = None,
    send: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT:AET", help="Results go there by C-STORE.")
    ] = None,
    stow: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Results go there by STOW-RS; token: CALQUE_STOW_TOKEN."),
    ] = None,
    outputs: Annotated[
        str, typer.Option(metavar="KIND,...", help="Of seg, labelmap, rtstruct, sr, overlay.")
    ] = "seg",
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="AET@ADDRESS", help="Who may call; without this, this machine alone."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="To bind; with --allow every address, else loopback."),
    ] = None,
    dicomweb: Annotated[
        bool, typer.Option("--dicomweb", help="Take series by STOW-RS too; token: CALQUE_NODE_TOKEN.")
    ] = False,
    web_port: Annotated[int, typer.Option(min=0, max=65535, help="Of STOW-RS; 0: any free one.")] = 11180,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Speak TLS with this.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="The certificate's key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Callers show a certificate signed by one of these.")
    ] = None,
    quiet: Annotated[str, typer.Option(metavar="TIME", help="Without news: a series is complete.")] = "60s",
    settle: Annotated[
        str, typer.Option(metavar="TIME", help="The same, once its senders have hung up.")
    ] = "10s",
    keep: Annotated[
        str, typer.Option(metavar="TIME", help="How long files stay after delivery: 168h.")
    ] = "168h",
    max_instance: Annotated[str, typer.Option(metavar="SIZE", help="Largest instance.")] = "1GB",
    min_free: Annotated[str, typer.Option(metavar="SIZE", help="Disk space that stays free.")] = "1GB",
    associations: Annotated[int, typer.Option(min=1, help="Callers at one moment.")] = 16,
    models: Annotated[int, typer.Option(min=1, help="Models kept in memory.")] = 2,
    cache: CacheFolder = None,
) -> None:
    """Receive DICOM series, segment them, and send the results on. Stops at Ctrl-C or SIGTERM; loses nothing.

    Without rules every scan gets MODEL, and results go to every --send and --stow. Needs the extra dicom.

    DICOMweb (--dicomweb) stays on loopback unless CALQUE_NODE_TOKEN holds the token that callers must show.

    [dim]Example: calque listen lung.calque --send pacs:104:PACS --allow PACS@10.1.2.3[/dim]
    """
    from calque.node import Limits, Node, NodeOptions, Patience
    from calque.node.making import DicomMaker
    from calque.node.models import Warm
    from calque.prediction import PredictOptions

    screen = Screen()
    decided = _rules(rules, send or [], stow or [], outputs)
    options = NodeOptions(
        spool=spool,
        listening=_listening(
            host, port, aet, allow or [], (tls_cert, tls_key, tls_ca), web_port if dicomweb else None
        ),
        rules=decided,
        limits=Limits(
            instance_bytes=parse_size(max_instance),
            arriving_bytes=2 * parse_size(max_instance),
            free_bytes=parse_size(min_free),
            associations=associations,
        ),
        patience=Patience(
            quiet=parse_duration(quiet), settle=parse_duration(settle), keep=parse_duration(keep)
        ),
    )
    warm = Warm(PredictOptions(cache=cache_folder(cache)), models)
    if model is not None:
        warm.get(model)  # one that cannot be read is told now, not when the first series has come
    maker = DicomMaker(warm, model, (rules or Path()).parent)
    node = Node(options, maker, _tokens(decided), _dated(screen.say))
    _stop_on_signals(node)
    listening = options.listening
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes the values that it warns of
        node.run(
            lambda bound: screen.say(f"{listening.aet} listens on {listening.host}:{bound}, spool {spool}")
        )
    screen.say("stopped")


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


def _rules(file: Path | None, send: list[str], stow: list[str], outputs: str) -> Rules:
    """Of the file, or one rule for every scan.

    Raises:
        InputError: both are given, or one of them is wrong.
    """
    from calque.errors import InputError
    from calque.node import Rules

    if file is not None:
        if send or stow:
            raise InputError(
                "Destinations stand in the rule file", where=file, fix="leave --send, --stow out"
            )
        return Rules.read(file)
    destinations: dict[str, Destination] = {text: _dicom(text) for text in send}
    destinations.update({text: _stow(text) for text in stow})
    kinds = tuple(word.strip() for word in outputs.split(","))
    return Rules.from_fields(
        destinations={name: one.model_dump() for name, one in destinations.items()},
        rules=[{"outputs": kinds, "send": list(destinations)}],
    )


def _dicom(text: str) -> Destination:
    from calque.errors import InputError
    from calque.node.rules import DicomDestination

    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        raise InputError("This is no destination", expected="HOST:PORT:AET, such as pacs:104:PACS", got=text)
    return DicomDestination.from_fields(host=parts[0].strip("[]"), port=int(parts[1]), aet=parts[2])


def _stow(url: str) -> Destination:
    from calque.node.rules import StowDestination

    token = "CALQUE_STOW_TOKEN" if os.environ.get("CALQUE_STOW_TOKEN") else None
    return StowDestination.from_fields(url=url, token_variable=token)


def _tokens(rules: Rules) -> dict[str, str]:
    """Tokens of the environment: the one that callers show, and those that the rules name."""
    names = [_NODE_TOKEN, *(getattr(one, "token_variable", None) for one in rules.destinations.values())]
    return {name: os.environ[name] for name in names if name and os.environ.get(name)}


def _listening(
    host: str | None,
    port: int,
    aet: str,
    allow: list[str],
    tls: tuple[Path | None, Path | None, Path | None],
    web_port: int | None,
) -> Listening:
    """DICOMweb goes beyond loopback where there is a token too."""
    from calque.node import Listening, Web, parse_peer
    from calque.node.listening import EVERYWHERE, LOOPBACK

    certificate, key, authorities = tls
    web = None
    if web_port is not None:
        guarded = allow and os.environ.get(_NODE_TOKEN)
        web = Web(
            host=host or (EVERYWHERE if guarded else LOOPBACK), port=web_port, token_variable=_NODE_TOKEN
        )
    return Listening.from_fields(
        host=host or (EVERYWHERE if allow else LOOPBACK),
        port=port,
        aet=aet,
        allow=[parse_peer(text).model_dump() for text in allow],
        certificate=certificate,
        key=key,
        authorities=authorities,
        web=None if web is None else web.model_dump(),
    )


def _dated(say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: say(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}")


def _stop_on_signals(node: Node) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: node.stop())
