"""One contract for both ways of showing progress, and what is special to each."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from calque.cli import progress as module
from calque.cli.progress import Bars, Lines

Make = Callable[[Console], Bars | Lines]


def _console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=100), text


@pytest.fixture(params=[Bars, Lines])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def test_the_name_and_the_messages_are_shown(make: Make) -> None:
    console, text = _console(terminal=make is Bars)
    shown = make(console)
    with shown.task("prepare", total=3) as task:
        for case in "abc":
            task.advance(note=case)
        shown.say("left out: [case_7]")
    assert "prepare" in text.getvalue()
    assert "left out: [case_7]" in text.getvalue()  # brackets are not markup


def test_nested_and_unknown_totals(make: Make) -> None:
    console, text = _console(terminal=make is Bars)
    shown = make(console)
    with shown.task("outer"), shown.task("inner", total=2) as inner:
        inner.advance(2.5, "further than the total")
    assert "outer" in text.getvalue()
    with shown.task("again", total=0):
        pass
    assert "again" in text.getvalue()


def test_many_threads_may_report(make: Make) -> None:
    console, text = _console(terminal=make is Bars)
    with make(console).task("threads", total=200) as task, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: task.advance(), range(200)))
    assert "threads" in text.getvalue()


def test_errors_pass_and_leave_no_bar_behind(make: Make) -> None:
    console, text = _console(terminal=make is Bars)
    shown = make(console)
    with pytest.raises(ZeroDivisionError), shown.task("doomed"):
        raise ZeroDivisionError
    before = text.getvalue()
    assert "doomed: done" not in before
    assert "done doomed" not in before
    shown.say("afterwards")
    assert "afterwards" in text.getvalue()
    if isinstance(shown, Bars):
        assert shown._bars is None


def test_plain_lines_are_few_and_hold_no_control_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    console, text = _console(terminal=False)
    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))  # a second between any two looks
    with Lines(console).task("train", total=1000) as task:
        for _ in range(1000):
            task.advance(note="loss 0.5")
    lines = text.getvalue().splitlines()
    assert 50 <= len(lines) <= 110
    assert "\x1b" not in text.getvalue()
    assert any("50 % loss 0.5" in line for line in lines)
