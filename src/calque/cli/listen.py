"""The verb listen: a DICOM peer that segments what it is sent."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.grouping import grouped
from calque.cli.options import CacheFolder, cache_folder, parse_duration, parse_size
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.node import Limits, Listening, Node, Patience, Rules, Web
    from calque.node.making import DicomMaker
    from calque.node.rules import Destination

_NODE_TOKEN = "CALQUE_NODE_TOKEN"  # noqa: S105  (the name of a variable)
_STOW_TOKEN = "CALQUE_STOW_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class Own:
    """What the node is."""

    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen on; 0: any free one.")] = 11112
    aet: Annotated[str, typer.Option(metavar="TITLE", help="Application entity title.")] = "CALQUE"
    spool: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Queue, scans and results; survives a restart.")
    ] = Path("calque-spool")


@dataclass(frozen=True)
class Results:
    """What is made, and where it goes."""

    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which series gets which model, and what goes where.")
    ] = None
    send: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT:AET", help="Results go there by C-STORE.")
    ] = None
    stow: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Results go there by STOW-RS; token: CALQUE_STOW_TOKEN."),
    ] = None
    outputs: Annotated[
        str, typer.Option(metavar="KIND,...", help="Of seg, labelmap, rtstruct, sr, overlay.")
    ] = "seg"

    def decided(self) -> Rules:
        """Of the file, or one rule for every scan.

        Raises:
            InputError: both are given, or one of them is wrong.
        """
        from calque.errors import InputError
        from calque.node import Rules

        if self.rules is not None:
            if self.send or self.stow:
                raise InputError(
                    "Destinations stand in the rule file", where=self.rules, fix="leave --send, --stow out"
                )
            return Rules.load(self.rules)
        destinations: dict[str, Destination] = {text: _dicom(text) for text in self.send or ()}
        destinations.update({text: _stow(text) for text in self.stow or ()})
        return Rules.from_fields(
            destinations={name: one.model_dump() for name, one in destinations.items()},
            rules=[
                {
                    "outputs": [word.strip() for word in self.outputs.split(",")],
                    "send": list(destinations),
                }
            ],
        )


@dataclass(frozen=True)
class Callers:
    """Who may call, and how."""

    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="AET@ADDRESS", help="Who may call; without this, this machine alone."),
    ] = None
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="To bind; with --allow every address, else loopback."),
    ] = None
    dicomweb: Annotated[
        bool, typer.Option("--dicomweb", help="Take series by STOW-RS too; token: CALQUE_NODE_TOKEN.")
    ] = False
    web_port: Annotated[int, typer.Option(min=0, max=65535, help="Of STOW-RS; 0: any free one.")] = 11180
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Speak TLS with this.")] = None
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="The certificate's key.")] = None
    tls_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Callers show a certificate signed by one of these.")
    ] = None

    def listening(self, port: int, aet: str) -> Listening:
        """Everything that says where, and to whom."""
        from calque.node import Listening, parse_peer
        from calque.node.listening import EVERYWHERE, LOOPBACK

        web = self._web() if self.dicomweb else None
        return Listening.from_fields(
            host=self.host or (EVERYWHERE if self.allow else LOOPBACK),
            port=port,
            aet=aet,
            allow=[parse_peer(text).model_dump() for text in self.allow or ()],
            certificate=self.tls_cert,
            key=self.tls_key,
            authorities=self.tls_ca,
            web=None if web is None else web.model_dump(),
        )

    def _web(self) -> Web:
        """Beyond loopback only where there is a token too."""
        from calque.node import Web
        from calque.node.listening import EVERYWHERE, LOOPBACK

        guarded = self.allow and os.environ.get(_NODE_TOKEN)
        host = self.host or (EVERYWHERE if guarded else LOOPBACK)
        return Web(host=host, port=self.web_port, token_variable=_NODE_TOKEN)


@dataclass(frozen=True)
class Waiting:
    """How long."""

    quiet: Annotated[str, typer.Option(metavar="TIME", help="Without news: a series is complete.")] = "60s"
    settle: Annotated[str, typer.Option(metavar="TIME", help="The same, once its senders have hung up.")] = (
        "10s"
    )
    keep: Annotated[str, typer.Option(metavar="TIME", help="How long files stay after delivery: 168h.")] = (
        "168h"
    )

    def patience(self) -> Patience:
        """As the node takes it."""
        from calque.node import Patience

        return Patience(
            quiet=parse_duration(self.quiet),
            settle=parse_duration(self.settle),
            keep=parse_duration(self.keep),
        )


@dataclass(frozen=True)
class Bounds:
    """How much."""

    max_instance: Annotated[str, typer.Option(metavar="SIZE", help="Largest instance.")] = "1GB"
    min_free: Annotated[str, typer.Option(metavar="SIZE", help="Disk space that stays free.")] = "1GB"
    associations: Annotated[int, typer.Option(min=1, help="Callers at one moment.")] = 16

    def limits(self) -> Limits:
        """As the node takes them."""
        from calque.node import Limits

        return Limits(
            instance_bytes=parse_size(self.max_instance),
            arriving_bytes=2 * parse_size(self.max_instance),
            free_bytes=parse_size(self.min_free),
            associations=self.associations,
        )


@dataclass(frozen=True)
class Kept:
    """What stays ready."""

    models: Annotated[int, typer.Option(min=1, help="Models kept in memory.")] = 2
    cache: CacheFolder = None

    def maker(self, model: Path | None) -> DicomMaker:
        """With no model loaded."""
        from calque.node.making import DicomMaker
        from calque.node.models import Warm
        from calque.prediction import PredictOptions

        return DicomMaker(Warm(PredictOptions(cache=cache_folder(self.cache)), self.models), model)


@grouped
def listen(
    own: Own,
    results: Results,
    callers: Callers,
    waiting: Waiting,
    bounds: Bounds,
    kept: Kept,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A .calque file; for rules that name none.", show_default=False),
    ] = None,
) -> None:
    """Receive DICOM series, segment them, and send the results on. Stops at Ctrl-C or SIGTERM; loses nothing.

    Without rules every scan gets MODEL, and results go to every --send and --stow. Needs the extra dicom.

    DICOMweb (--dicomweb) stays on loopback unless CALQUE_NODE_TOKEN holds the token that callers must show.

    [dim]Example: calque listen lung.calque --send pacs:104:PACS --allow PACS@10.1.2.3[/dim]
    """
    from calque.node import Node, NodeOptions

    screen = Screen()
    options = NodeOptions(
        spool=own.spool,
        listening=callers.listening(own.port, own.aet),
        rules=results.decided(),
        limits=bounds.limits(),
        patience=waiting.patience(),
    )
    maker = kept.maker(model)
    node = Node(options, maker, _tokens(options.rules), _dated(screen.say))
    node.require_usable()
    maker.require_models(options.rules)  # one that cannot be read is told now, not when the first series came
    _stop_on_signals(node)
    listening = options.listening
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes the values that it warns of
        node.run(
            lambda bound: screen.say(
                f"{listening.aet} listens on {listening.host}:{bound}, spool {options.spool}"
            )
        )
    screen.say("stopped")


def _dicom(text: str) -> Destination:
    from calque.errors import InputError
    from calque.node.rules import DicomDestination

    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        raise InputError("This is no destination", expected="HOST:PORT:AET, such as pacs:104:PACS", got=text)
    return DicomDestination.from_fields(host=parts[0].strip("[]"), port=int(parts[1]), aet=parts[2])


def _stow(url: str) -> Destination:
    from calque.node.rules import StowDestination

    token = _STOW_TOKEN if os.environ.get(_STOW_TOKEN) else None
    return StowDestination.from_fields(url=url, token_variable=token)


def _tokens(rules: Rules) -> dict[str, str]:
    """Tokens of the environment: the one that callers show, and those that the rules name."""
    names = [_NODE_TOKEN, *(getattr(one, "token_variable", None) for one in rules.destinations.values())]
    return {name: os.environ[name] for name in names if name and os.environ.get(name)}


def _dated(say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: say(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}")


def _stop_on_signals(node: Node) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: node.stop())
