"""The page on a check: self-contained, escaped, bounded, in two languages, filtered without JavaScript."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from tests.dataset.building import edit, mask, msd, scan, write

from calque.dataset import check, open_dataset
from calque.dataset.doctor.kinds import KINDS
from calque.dataset.model import Case, Dataset
from calque.errors import InputError
from calque.geometry import Grid
from calque.labels import Labels
from calque.reporting import check_page as module
from calque.reporting.check_page import check_page
from calque.reporting.thumbnails import thumbnail
from calque.reporting.words_check import FRENCH_KINDS, WORDS


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _sick(root: Path) -> Path:
    msd(root, cases=12)
    (root / "imagesTr" / "c1.nii.gz").unlink()
    write(root / "labelsTr" / "c2.nii.gz", mask(2).astype("f4"))
    write(root / "labelsTr" / "c3.nii.gz", mask(3, (0, 1, 9)))
    write(root / "labelsTr" / "c4.nii.gz", mask(4)[:-1])
    write(root / "imagesTr" / "c5.nii.gz", np.where(mask(5) > 1, np.nan, scan(5)))
    return root


def _page(root: Path, lang: str = "en") -> tuple[str, _Reader]:
    dataset = open_dataset(root)
    path = check_page(dataset, check(dataset), root.parent / f"check.{lang}.html", lang=lang)
    text, reader = path.read_text(encoding="utf-8"), _Reader()
    reader.feed(text)
    return text, reader


def _views(reader: _Reader) -> dict[str, str]:
    return {
        str(a["data-name"]): str(a["class"]) for a in reader.named("article") if "view" in str(a["class"])
    }


def test_every_flagged_case_is_shown_first_with_its_badges(tmp_path: Path) -> None:
    text, reader = _page(_sick(tmp_path / "data"))
    views = _views(reader)
    assert list(views)[:4] == ["c1", "c3", "c4", "c5"]  # errors first
    assert list(views)[4] == "c2"
    assert "is-image-missing" in views["c1"]
    assert "is-labels-undeclared" in views["c3"]
    assert "is-grids-differ" in views["c4"]
    assert "There is no such file" in text
    assert "the mask has another shape" in text
    assert len(reader.named("img")) == len(views) - 1  # of c1 there is nothing to show


def test_filters_work_without_scripts(tmp_path: Path) -> None:
    text, reader = _page(_sick(tmp_path / "data"))
    radios = {str(a["id"]) for a in reader.named("input") if a.get("type") == "radio"}
    shown = {kind for names in _views(reader).values() for kind in re.findall(r"is-([a-z-]+)", names)}
    assert radios == {"only-all"} | {f"only-{kind}" for kind in shown}
    for kind in shown:
        assert f"body:has(#only-{kind}:checked) .view:not(.is-{kind}) {{ display: none; }}" in text


def test_nothing_comes_from_outside(tmp_path: Path) -> None:
    text, reader = _page(_sick(tmp_path / "data"))
    for tag in ("img", "link", "script", "a"):
        for attributes in reader.named(tag):
            for target in (attributes.get("src"), attributes.get("href")):
                assert target is None or target.startswith(("data:", "#"))
    assert "@import" not in text
    assert not re.search(r"url\((?!data:)", text)


def test_names_are_escaped(tmp_path: Path) -> None:
    root = edit(_sick(tmp_path / "data"), name="<script>alert(1)</script>")
    text, _ = _page(root)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_large_cohort_gives_a_bounded_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURES", 4)
    monkeypatch.setattr(module, "UNFLAGGED", 3)
    text, reader = _page(_sick(tmp_path / "data"))
    assert list(_views(reader)) == ["c1", "c3", "c4", "c5"]
    assert text.count('<th scope="row" class="id">c2</th>') == 1  # it is in the table still


def test_pictures_have_no_sides_of_a_patient(tmp_path: Path) -> None:
    case, grid = Case("p", (tmp_path / "p.nii.gz",), tmp_path / "m.nii.gz", "p"), ((1, 30, 60), (1, 1, 1))
    write(case.images[0], np.full(grid[0], 7.0), Grid.from_parts(*grid))
    write(tmp_path / "m.nii.gz", np.zeros(grid[0], np.uint8), Grid.from_parts(*grid))
    labels = Labels.from_names({"cell": 1})
    shown = thumbnail(case, Dataset("d", tmp_path, "manifest", ("grey",), labels, (case,)))
    assert shown.uri is not None
    pixels = np.asarray(Picture.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))))
    assert (shown.width, shown.height) == (255, 128)
    assert pixels.max() <= 2  # letters would be white


def test_a_sound_dataset_says_so(tmp_path: Path) -> None:
    text, reader = _page(msd(tmp_path / "data", cases=12))
    assert "nothing is wrong that could be seen" in text
    assert len(_views(reader)) == 13
    assert not reader.named("fieldset")


def test_french_says_the_same(tmp_path: Path) -> None:
    root = _sick(tmp_path / "data")
    text, reader = _page(root, "fr")
    assert _views(reader) == _views(_page(root)[1])
    assert "L’image n’existe pas" in text
    assert 'lang="fr"' in text


def test_both_languages_have_all_words() -> None:
    assert set(WORDS["en"]) == set(WORDS["fr"])
    assert set(FRENCH_KINDS) == set(KINDS)
    for key, words in WORDS["en"].items():
        assert re.findall(r"{\w+}", words) == re.findall(r"{\w+}", WORDS["fr"][key])


def test_an_unknown_language_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(msd(tmp_path / "data"))
    with pytest.raises(InputError, match="language"):
        check_page(dataset, check(dataset), tmp_path / "x.html", lang="de")
    assert not (tmp_path / "x.html").exists()
