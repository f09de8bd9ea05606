"""Reports in a browser: quiet, self-contained, readable without scripts, fit for keyboard and weak eyes."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from calque.reporting import print_pdf
from calque.reporting.words import LANGUAGES

NAMES = [f"{kind} {lang}" for kind in ("report", "comparison") for lang in LANGUAGES]
EVERY = pytest.mark.parametrize("name", NAMES)

# Contrast of every text with what lies behind it, after WCAG 2.2 (1.4.3).
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
      if (colour[3] > 0) return null;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const style = getComputedStyle(node);
    if (!walker.currentNode.textContent.trim() || !node.getClientRects().length) continue;
    if (node.closest(".frame, script, style")) continue; // letters on pictures have shadows of their own
    const back = behind(node);
    if (back === null) { poor.push([node.outerHTML.slice(0, 80), "half transparent"]); continue; }
    const [a, b] = [light(parse(style.color)), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([node.outerHTML.slice(0, 80), ratio]);
  }
  return poor;
}"""


@pytest.fixture
def open_page(browser, pages):
    """Open a page by name; what the browser says and asks for is kept in `said` and `asked`."""
    contexts = []

    def opened(name: str, **options):
        context = browser.new_context(**({"viewport": {"width": 1240, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@EVERY
def test_quiet_self_contained_and_drawn(open_page, pages, name):
    page = open_page(name)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB"))
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 20)")
    assert page.locator("img").count() >= 4
    assert len(np.unique(shot.reshape(-1, 3)[::97], axis=0)) > 50  # something is on it
    assert page.evaluate("document.documentElement.lang") == name.split()[-1]


@EVERY
@pytest.mark.parametrize("width", [390, 1240])
def test_no_sideways_scrolling_of_the_page(open_page, name, width):
    page = open_page(name, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@EVERY
def test_without_scripts_everything_that_matters_is_there(open_page, name):
    page = open_page(name, java_script_enabled=False)
    assert page.locator("h1").is_visible()
    for table in page.locator("section > .wide table").all():
        assert table.locator("tbody tr").first.is_visible()
    assert all(image.is_visible() for image in page.locator("section > .charts img").all())
    assert page.locator(".script:visible").count() == 0  # no control that would do nothing
    if name.startswith("report"):
        assert page.locator("#cases tbody tr:visible").count() == 6
        details = page.locator("#summary details")
        details.locator("summary").click()
        assert details.locator("table").is_visible()


@EVERY
def test_structure_that_screen_readers_need(open_page, name):
    page = open_page(name)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("[...document.images].every((image) => image.alt.length > 10)")
    assert page.evaluate("[...document.querySelectorAll('table')].every((t) => t.caption && t.tHead)")
    assert page.evaluate("[...document.querySelectorAll('th')].every((th) => th.scope)")
    assert page.evaluate("[...document.querySelectorAll('input')].every((i) => i.labels.length === 1)")
    assert page.locator("main").count() == 1


@EVERY
def test_contrast(open_page, name):
    page = open_page(name)
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate(CONTRAST) == []


def test_the_test_of_contrast_sees_what_is_faint(open_page):
    page = open_page("report en")
    page.evaluate("document.querySelector('.lead').style.color = '#aaa'")
    assert len(page.evaluate(CONTRAST)) == 1


@EVERY
def test_keyboard(open_page, name):
    page = open_page(name)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = page.locator("table.sortable tbody tr").all_inner_texts()
    last = page.locator("table.sortable thead th button").first
    last.focus()
    page.keyboard.press("Enter")
    assert page.locator("table.sortable thead th").first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert page.locator("table.sortable thead th").first.get_attribute("aria-sort") == "descending"
    after = page.locator("table.sortable tbody tr").all_inner_texts()
    assert sorted(after) == sorted(before)
    firsts = page.locator("table.sortable tbody th").all_inner_texts()
    assert firsts == sorted(firsts, reverse=True)


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_filter(open_page, lang):
    page = open_page(f"report {lang}")
    field = page.locator("#filter")
    word = LANGUAGES[lang]["flag.missed"].format(name="lesion")
    field.fill(word)
    assert page.locator("#cases tbody tr:visible").all_inner_texts()[0].startswith("c4")
    assert page.locator("#cases tbody tr:visible").count() == 1
    expected = LANGUAGES[lang]["table.shown"].format().replace("{n}", "1").replace("{all}", "6")
    assert page.locator("output").inner_text() == expected
    field.fill("nobody")
    assert page.locator("#cases tbody tr:visible").count() == 0
    field.fill("")
    assert page.locator("#cases tbody tr:visible").count() == 6


@pytest.mark.parametrize("name", ["report en", "comparison fr"])
def test_print(open_page, pages, tmp_path, name):
    page = open_page(name)
    page.emulate_media(media="print")
    assert page.locator(".script:visible").count() == 0
    printed = print_pdf(pages[name], tmp_path / "deep" / "r.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["r.pdf"]
