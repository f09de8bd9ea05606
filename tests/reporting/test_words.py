"""Words and numbers in each language."""

from __future__ import annotations

import string

import pytest

from calque.dataset.doctor.findings import KINDS
from calque.evaluation import METRICS
from calque.nets import BUILDERS
from calque.reporting.numbers import duration, figure, number, percent
from calque.reporting.pictures import ERROR_COLOURS
from calque.reporting.words import ENGLISH, LANGUAGES


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_words_with_the_same_gaps(lang: str):
    other = LANGUAGES[lang]
    assert set(other) == set(ENGLISH)
    assert {key: fields(text) for key, text in other.items()} == {k: fields(t) for k, t in ENGLISH.items()}
    assert all(text.strip() for key, text in other.items() if key != "better.neither")


def test_everything_with_a_name_has_words():
    names = [f"metric.{m}" for m in METRICS] + [f"definition.{m}" for m in METRICS]
    names += [f"kind.{k}" for k in BUILDERS] + [f"error.{k}" for k in ERROR_COLOURS]
    names += [f"better.{m.better}" for m in METRICS.values()]
    names += [f"severity.{k.severity}" for k in KINDS.values()]
    assert set(names) <= set(ENGLISH)


def test_french_keeps_double_punctuation_on_its_line():
    assert not [key for key, text in LANGUAGES["fr"].items() if any(f" {mark}" in text for mark in ":;!?%")]


@pytest.mark.parametrize(
    ("value", "digits", "english", "french"),
    [
        (0.8612, 3, "0.861", "0,861"),
        (1234567.5, 1, "1,234,567.5", "1\u202f234\u202f567,5"),
        (-2.5, 1, "\u22122.5", "\u22122,5"),
        (-0.0001, 2, "0.00", "0,00"),
        (None, 2, "\u2013", "\u2013"),
    ],
)
def test_numbers(value, digits, english, french):
    assert (number(value, "en", digits), number(value, "fr", digits)) == (english, french)


def test_percentages_figures_and_durations():
    assert (percent(0.95, "en"), percent(0.95, "fr"), percent(None, "en")) == ("95%", "95\u202f%", "\u2013")
    assert figure("dice", 0.5, "en") == "0.500"
    assert figure("hd95", 12.5, "fr") == "12,50"
    assert figure("volume_error_relative", -0.1234, "en") == "\u221212.3%"
    assert [duration(s, "fr") for s in (90, 600, 9000)] == ["90\u202fs", "10\u202fmin", "2,5\u202fh"]
