"""A page: what every page has, around what one page says."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from calque import __version__
from calque.reporting.voice import Voice

_PAGE = Path(__file__).parent / "page"
_PACKAGES = ("torch", "numpy", "scipy")


def render_page(template: str, context: Mapping[str, object], t: Voice) -> str:
    """A page of the folder `page`, with what every page has: style, script, words, versions."""
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = {
        "style": Markup((_PAGE / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        "script": Markup((_PAGE / "sort.js").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        "t": t,
        "count": t.count,
        "lang": t.lang,
        "version": __version__,
        "versions": _versions(),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment.get_template(template).render(shared | dict(context))


def _versions() -> str:
    found = [f"Calque {__version__}", f"Python {platform.python_version()}"]
    return ", ".join(found + [f"{name} {metadata.version(name)}" for name in _PACKAGES])
