"""Durations, sizes and triples as people write them."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from calque.cli.options import in_words, parse_duration, parse_size, parse_triple, parse_whole_triple


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("45", 45), ("1.5h", 5400), ("2H", 7200), (" 4m ", 240)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0m", "30m1h", "-5m", "ten", "5d", "1..5m", "nan", "inf", "."])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 2**30), ("512M", 2**29), ("1.5g", 3 * 2**29), ("100", 100), ("2 KiB", 2048), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "0GB", "-1GB", "8XB", "8 GB please", "1.2.3G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a size"):
        parse_size(text)


def test_triples() -> None:
    assert parse_triple("5,3.5,3.5") == (5.0, 3.5, 3.5)
    assert parse_whole_triple("64x96x80") == (64, 96, 80)
    for text in ("1,2", "1,2,3,4", "a,b,c", "1,0,1", "1,-2,3", ""):
        with pytest.raises(typer.BadParameter):
            parse_triple(text)
    with pytest.raises(typer.BadParameter, match="whole"):
        parse_whole_triple("1.5,2,3")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(12, "12 s"), (240, "4 min"), (5400, "1 h 30 min"), (61, "1 min 1 s"), (0.2, "0 s")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
