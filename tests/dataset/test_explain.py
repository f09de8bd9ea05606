"""Every kind of finding has a page, and every page a kind."""

from __future__ import annotations

import re

import pytest

from calque.dataset.doctor.explain import explain, pages
from calque.dataset.doctor.kinds import KINDS
from calque.errors import InputError

SECTIONS = ["What was found", "Why it matters", "What to do", "Repair"]


def test_pages_and_kinds_are_the_same() -> None:
    assert {path.stem for path in pages().glob("*.md")} - {"README"} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_page_says_what_why_and_what_to_do(name: str) -> None:
    text = explain(name)
    assert text.startswith(f"# {name}\n\n*{KINDS[name].severity}*: {KINDS[name].what}")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for section in text.split("\n## ")[1:]:
        assert len(section.partition("\n")[2].strip()) > 10


def test_the_index_lists_them_all() -> None:
    index = (pages() / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\)", index, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_names_are_kebab_case(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(InputError, match="no such finding") as caught:
        explain("mask-wrong")
    assert "mask-misplaced" in str(caught.value)
