"""The verb explain."""

from __future__ import annotations

from typing import Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen


def explain(
    name: Annotated[str | None, typer.Argument(help="A finding of calque check; none: list all.")] = None,
    json: Json = None,
) -> None:
    """Say what a finding of the check means, why it matters and what to do.

    [dim]Example: calque explain mask-misplaced[/dim]
    """
    from calque.dataset.doctor.explain import explain as page
    from calque.dataset.doctor.kinds import KINDS

    screen = Screen(json)
    if name is None:
        rows = [(known, kind.severity, kind.what) for known, kind in KINDS.items()]
        screen.table(f"{len(KINDS)} findings", ("finding", "severity", "what"), rows)
        screen.json({known: {"severity": kind.severity, "what": kind.what} for known, kind in KINDS.items()})
        return
    text = page(name)
    if screen.console.is_terminal:
        from rich.markdown import Markdown

        screen.console.print(Markdown(text))
    else:
        screen.say(text.rstrip())
    kind = KINDS[name]
    screen.json({"name": name, "severity": kind.severity, "what": kind.what, "fix": kind.fix, "page": text})
