"""The application: its verbs, and what becomes of errors.

Exit codes: 0 done; 1 some cases failed and are listed; 2 wrong use, or input that cannot be used; 70 a fault
of Calque, with its traceback; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from calque.cli import (
    compare,
    data,
    dataset,
    datasets,
    deidentify,
    demo,
    explain,
    exporting,
    files,
    importing,
    labels,
    listen,
    measure,
    node,
    predict,
    scores,
    series,
    train,
)
from calque.errors import CalqueError

app = typer.Typer(
    name="calque",
    help="Semantic segmentation of medical images: from a folder of scans and masks to a validated model.",
    epilog="Try it: calque demo --phantom -o demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: dict[str, Callable[..., None]] = {
    "check": data.check,
    "explain": explain.explain,
    "plan": data.plan,
    "prepare": train.prepare,
    "train": train.train,
    "predict": predict.predict,
    "evaluate": scores.evaluate,
    "compare": compare.compare,
    "report": scores.report,
    "objects": files.objects,
    "measure": measure.measure,
    "convert": files.convert,
    "series": series.series,
    "frames": files.frames,
    "phantom": files.phantom,
    "import": importing.import_model,
    "export": exporting.export_model,
    "listen": listen.listen,
    "deidentify": deidentify.deidentify,
    "demo": demo.demo,
}

for _name, _verb in VERBS.items():
    app.command(_name)(_verb)
app.add_typer(dataset.app, name="dataset")
app.add_typer(datasets.app, name="datasets")
app.add_typer(labels.app, name="labels")
app.add_typer(node.app, name="node")


def _version(wanted: bool) -> None:
    if wanted:
        from calque import __version__

        typer.echo(f"calque {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors. Also: CALQUE_DEBUG=1.")
    ] = False,
) -> None:
    del version, debug  # --version leaves early; `run` takes --debug out wherever it stands


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    arguments = list(arguments)
    debug = os.environ.get("CALQUE_DEBUG", "0") not in ("", "0")
    if "--debug" in arguments:
        debug = True
        arguments.remove("--debug")
    try:
        app(args=arguments, prog_name="calque")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code == 130:
            _errors().print("Stopped. Nothing was left half written.")
        return code
    except CalqueError as error:
        if debug:
            traceback.print_exc()
        _errors().print(_panel(error))
        return 2
    except Exception:  # a fault of ours: show all of it, and keep the code apart from "some cases failed"
        traceback.print_exc()
        return 70
    return 0


def _errors() -> Console:
    """The terminal's width, or lines that are not broken where nobody looks at a terminal."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else 160)


def _panel(error: CalqueError) -> Panel:
    text = Text(error.what)
    for name in ("where", "expected", "got", "fix"):
        value = getattr(error, name)
        if value is not None:
            text.append(f"\n{name:>9}  ", style="bold")
            text.append(str(value))
    return Panel(text, title=type(error).__name__, title_align="left", border_style="red", expand=False)
