"""`Voice`: the words and numbers of one language."""

from __future__ import annotations

from dataclasses import dataclass

from calque.evaluation.metrics import metric_named
from calque.evaluation.scores import Bootstrap, Summary
from calque.reporting.numbers import NARROW, NOTHING, figure, number, percent
from calque.reporting.words import words


@dataclass(frozen=True)
class Voice:
    """How a report speaks."""

    lang: str
    pixels: bool = False  # nothing says how large a pixel is: lengths are pixels

    def __call__(self, key: str, **values: object) -> str:
        """The words of `key`, `{...}` filled in; "metric.hd90" has those of any percentile."""
        known = words(self.lang)
        kind, _, name = key.partition(".")
        if key not in known and kind in ("metric", "definition"):
            metric_named(name)
            return known[f"{kind}.percentile"].format(p=name.removeprefix("hd"))
        return known[key].format(**values)

    def unit(self, metric: str) -> str:
        """The unit of a metric; pixels where nothing says how large they are."""
        unit = metric_named(metric).unit
        return {"mm": self.length, "ml": self.volume}.get(unit, unit)

    @property
    def length(self) -> str:
        """The unit of lengths."""
        return "px" if self.pixels else "mm"

    @property
    def volume(self) -> str:
        """The unit of volumes; a pixel counts as a cube of 1 mm."""
        return "1000\u202fpx" if self.pixels else "ml"

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number."""
        return number(value, self.lang, digits)

    def tick(self, value: float) -> str:
        """A number on an axis: no decimals that say nothing."""
        short = f"{value:.4g}"
        return self.number(value, len(short.partition(".")[2]))

    def figure(self, metric: str, value: float | None) -> str:
        """A value of a metric, without its unit."""
        return figure(metric, value, self.lang)

    def count(self, cases: int) -> str:
        """How many cases."""
        return self("cases.one" if cases == 1 else "cases", n=self.number(cases))

    def patients(self, patients: int) -> str:
        """How many patients."""
        return self("patients.one" if patients == 1 else "patients", n=self.number(patients))

    def percent(self, share: float | None) -> str:
        """A share as a percentage."""
        return percent(share, self.lang)

    def level(self, how: Bootstrap) -> str:
        """The level of confidence."""
        return percent(how.level, self.lang)

    def between(self, metric: str, low: float | None, high: float | None) -> str:
        """Two ends; a dash where there are none."""
        if low is None or high is None:
            return NOTHING
        return self("between", low=self.figure(metric, low), high=self.figure(metric, high)).replace(
            " ", NARROW
        )

    def interval(self, metric: str, summary: Summary, how: Bootstrap) -> str:
        """The interval in words."""
        if summary.low is None or summary.high is None:
            return self("interval.none")
        return self(
            "interval.of",
            level=self.level(how),
            low=self.figure(metric, summary.low),
            high=self.figure(metric, summary.high),
        )
