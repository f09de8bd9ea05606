"""Numbers as each language writes them."""

from __future__ import annotations

from calque.evaluation import metric_named

NARROW = "\u202f"  # narrow no-break space
MINUS = "\u2212"
NOTHING = "\u2013"


def number(value: float | None, lang: str, digits: int = 2) -> str:
    """With `digits` decimals and grouped thousands: 1,234.5 or 1 234,5 (French); a dash for None."""
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.lstrip("-")
    text = text.replace("-", MINUS)
    if lang == "fr":
        return text.replace(",", NARROW).replace(".", ",")
    return text


def percent(share: float | None, lang: str, digits: int = 0) -> str:
    """A share as a percentage; French sets a space before the sign."""
    if share is None:
        return NOTHING
    return number(100 * share, lang, digits) + (f"{NARROW}%" if lang == "fr" else "%")


def figure(metric: str, value: float | None, lang: str) -> str:
    """A value of `metric` with the decimals that it deserves."""
    unit, name = metric_named(metric).unit, metric_named(metric).name
    if name == "volume_error_relative":
        return percent(value, lang, 1)
    return number(value, lang, 3 if unit == "" else 2)


def duration(seconds: float, lang: str) -> str:
    """Seconds below two minutes, else minutes, else hours."""
    if seconds < 120:
        return f"{number(seconds, lang, 0)}{NARROW}s"
    if seconds < 7200:
        return f"{number(seconds / 60, lang, 0)}{NARROW}min"
    return f"{number(seconds / 3600, lang, 1)}{NARROW}h"
