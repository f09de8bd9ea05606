"""The page that explains a kind of finding."""

from __future__ import annotations

from pathlib import Path

from calque.dataset.doctor.kinds import KINDS
from calque.errors import InputError, ReadError

_PLACES = (
    Path(__file__).parent / "pages",  # in a wheel
    Path(__file__).resolve().parents[4] / "docs" / "findings",  # in a clone, where people read them
)


def explain(name: str) -> str:
    """The Markdown page of this kind: what was found, why it matters, what to do, what is repaired.

    Raises:
        InputError: there is no such kind.
        ReadError: the page is not where the installation should have it.
    """
    if name not in KINDS:
        raise InputError("There is no such finding", got=name, expected=", ".join(KINDS))
    try:
        return (pages() / f"{name}.md").read_text(encoding="utf-8")
    except OSError as problem:
        raise ReadError(
            "The page cannot be read", where=name, got=problem, fix="install Calque again"
        ) from None


def pages() -> Path:
    """The folder of the pages.

    Raises:
        ReadError: it is not there.
    """
    for place in _PLACES:
        if place.is_dir():
            return place
    raise ReadError("The pages are not there", where=_PLACES[0], fix="install Calque again")
