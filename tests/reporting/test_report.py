"""The page as a whole: self-contained, escaped, accessible, complete."""

from __future__ import annotations

import re

import numpy as np
import pytest

from calque.errors import InputError, ReadError
from calque.evaluation import Rules, Scores, compare, evaluate, score_case, summarise
from calque.evaluation.scores import Failure, Findings
from calque.geometry import Grid
from calque.image import LabelMap
from calque.io import write_labels
from calque.labels import Labels
from calque.model import archive
from calque.model.card import Card
from calque.reporting import report, report_comparison
from calque.reporting.words import LANGUAGES

from .pages import read_page
from .runs import EVIL, LABELS, make_plan, make_run, masks

SECTIONS = [
    "summary",
    "distributions",
    "pictures",
    "cases",
    "agreement",
    "curves",
    "plan",
    "check",
    "methods",
    "reproduce",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), names=("good", "fair", 'p"o&o<r'))


@pytest.fixture(scope="module", params=list(LANGUAGES))
def page(request, run):
    path = report(run, run.parent / f"{request.param}.html", lang=request.param)
    return request.param, path.read_text(encoding="utf-8")


def test_every_section_is_there(page):
    lang, text = page
    tree = read_page(text)
    assert [s.attributes["id"] for s in tree.all("section") if "id" in s.attributes] == SECTIONS
    assert [a.attributes["href"] for a in tree.all("nav")[0].all("a")] == [f"#{s}" for s in SECTIONS]
    assert tree.all("html")[0].attributes["lang"] == lang
    warning = " ".join(LANGUAGES[lang]["warning"].split())  # `words` makes every space a plain one
    assert tree.words().count(warning) == 2


def test_nothing_comes_from_outside(page):
    _, text = page
    tree = read_page(text)
    for tag, name in (
        ("img", "src"),
        ("link", "href"),
        ("script", "src"),
        ("iframe", "src"),
        ("source", "srcset"),
    ):
        for element in tree.all(tag):
            assert element.attributes.get(name, "data:").startswith("data:")
    assert all(a.attributes["href"].startswith("#") for a in tree.all("a"))
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:)|fetch\(|XMLHttpRequest", text)


def test_names_are_escaped(page):
    _, text = page
    tree = read_page(text)
    assert len(tree.all("script")) == 1
    assert not tree.all("i") or all(not i.words() for i in tree.all("i"))  # legend chips alone
    assert tree.all("h1")[0].words() == EVIL
    assert 'p"o&o<r' in tree.words()
    assert "<b>lesion</b>" in tree.words()
    assert "it <i>fits</i>" in tree.words()


def test_pictures_and_tables_speak(page):
    _, text = page
    tree = read_page(text)
    images = tree.all("img")
    assert len(images) == 4 + 3 * 3 * 3 + 2 + 1  # charts, three cases in three planes thrice, volumes, curves
    assert all(len(image.attributes["alt"]) > 10 for image in images)
    for table in tree.all("table"):
        assert table.all("caption")[0].words()
        assert all(th.attributes["scope"] in ("row", "col") for th in table.all("th"))
        widths = {len(row.all("th") + row.all("td")) for row in table.all("tr")}
        assert len(widths) == 1
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_figures_are_those_of_the_scores(page, run):
    lang, text = page
    scores = Scores.read(run / "fold_0" / "scores.json")
    mean = scores.foreground["dice"].mean
    card = read_page(text).all("dl")[0].all("dd")[0].words()
    assert card == (f"{mean:.3f}" if lang == "en" else f"{mean:.3f}".replace(".", ","))
    rows = read_page(text).all("section")[3].all("tbody")[0].all("tr")
    assert [row.all("th")[0].words() for row in rows] == ['p"o&o<r', "fair", "good"]
    ranks = [h.words() for h in read_page(text).all("h3")]
    assert ["good" in ranks[0], "fair" in ranks[1], 'p"o&o<r' in ranks[2]] == [True] * 3


def test_missing_structures_are_counted_beside_the_mean(page):
    lang, text = page
    word = LANGUAGES[lang]["undefined"].lower()
    assert f"n = 1, 2 {word}" in read_page(text).all("section")[0].words()


def test_folds_are_taken_together(tmp_path):
    names = tuple(f"case {k}" for k in range(4))
    text = report(make_run(tmp_path, names, folds=2), tmp_path / "r.html").read_text()
    tree = read_page(text)
    assert "2 folds" in tree.words()
    assert len(tree.all("section")[3].all("tbody")[0].all("tr")) == 4
    assert "fold_0: 10 steps" in tree.words()
    assert "fold_1: 10 steps" in tree.words()


def test_from_a_file_of_scores_alone(tmp_path):
    predicted, truth = masks(1)
    scores = summarise(
        [score_case(predicted, truth, case="a", patient="p")],
        LABELS,
        findings=Findings(
            missing=("gone",), unexpected=("extra",), failed=(Failure(case="sick", error="why <x>"),)
        ),
    )
    scores.write(tmp_path / "s.json")
    tree = read_page(report(tmp_path / "s.json", tmp_path / "deep" / "r.html").read_text())
    sections = [s.attributes.get("id") for s in tree.all("section")]
    assert sections == [None, "summary", "distributions", "cases", "methods", "reproduce"]
    assert all(word in tree.all("section")[0].words() for word in ("gone", "extra", "sick: why <x>"))
    assert "no interval: one patient" in tree.words()


def test_from_scores_and_folders(tmp_path):
    for k, name in enumerate(("a", "b")):
        predicted, truth = masks(k)
        write_labels(predicted, tmp_path / "predicted" / f"{name}.nii.gz")
        write_labels(truth, tmp_path / "truth" / f"{name}.nii.gz")
    scores = evaluate(tmp_path / "predicted", tmp_path / "truth", labels=LABELS)
    folders = {"truth": tmp_path / "truth", "predicted": tmp_path / "predicted"}
    tree = read_page(report(scores, tmp_path / "r.html", **folders).read_text())
    assert len(tree.all("h3")) == 2  # best and worst; no case twice
    assert len([i for i in tree.all("img") if "Scan" in i.attributes["alt"]]) == 0
    with pytest.raises(InputError, match="both masks"):
        report(scores, tmp_path / "r.html", truth=tmp_path / "truth")


def test_pictures_of_two_dimensions(tmp_path):
    labels = Labels.from_names({"cell": 1})
    array = np.zeros((1, 20, 30), np.uint8)
    array[0, 5:15, 5:20] = 1
    grid = Grid.from_parts(array.shape, (1, 1, 1))
    for folder, shift in (("predicted", 2), ("truth", 0)):
        write_labels(LabelMap(np.roll(array, shift, 2), grid, labels), tmp_path / folder / "a.nii.gz")
    scores = evaluate(tmp_path / "predicted", tmp_path / "truth")
    folders = {"truth": tmp_path / "truth", "predicted": tmp_path / "predicted"}
    tree = read_page(report(scores, tmp_path / "r.html", **folders).read_text())
    pictures = next(s for s in tree.all("section") if s.attributes.get("id") == "pictures")
    assert len(pictures.all("img")) == 2
    assert "radiologist" not in pictures.words()


def test_a_file_that_moved_is_said_and_the_rest_stands(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "data" / "poor_scan.nii.gz").unlink()
    tree = read_page(report(run, tmp_path / "r.html").read_text())
    assert "could not be drawn" in tree.words()
    assert len(tree.all("h3")) == 3


def test_cases_without_any_value(tmp_path):
    empty = np.zeros((4, 4, 4), np.uint8)
    grid = Grid.from_parts(empty.shape, (1, 1, 1))
    nothing = LabelMap(empty, grid, LABELS)
    scores = summarise([score_case(nothing, nothing, case="a")], LABELS)
    words = read_page(report(scores, tmp_path / "r.html").read_text()).all("main")[0].words()
    assert "nan" not in words.lower().split()
    assert "None" not in words.split()


def test_wrong_use(tmp_path, run):
    with pytest.raises(InputError, match="language"):
        report(run, tmp_path / "r.html", lang="de")
    with pytest.raises(InputError, match="no scores yet"):
        report(tmp_path, tmp_path / "r.html")
    with pytest.raises(ReadError):
        report(tmp_path / "no.json", tmp_path / "r.html")
    with pytest.raises(InputError, match="knows its own files"):
        report(run, tmp_path / "r.html", truth=tmp_path, predicted=tmp_path)
    assert not (tmp_path / "r.html").exists()


def softly(label_map: LabelMap) -> np.ndarray:
    """Probabilities that are not quite sure."""
    hard = np.stack([label_map.array == value for value in (0, 1, 2)])
    return 0.85 * hard + 0.05


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_subgroups_calibration_and_filter(tmp_path, lang):
    cases = []
    for k in range(4):
        predicted, truth = masks(k)
        soft = softly(predicted)
        metrics = ("dice", "nsd", "hd95", "hd90", "ece", "volume_predicted_ml", "volume_truth_ml")
        cases.append(score_case(predicted, truth, Rules(metrics), case=f"c{k}", probabilities=soft))
    scores = summarise(cases, LABELS, metrics=metrics)
    (tmp_path / "g.csv").write_text(f"case,{EVIL.replace(',', '')}\nc0,f\nc1,m\nc2,f\n")
    text = report(scores, tmp_path / "r.html", lang=lang, groups=tmp_path / "g.csv").read_text()
    tree = read_page(text)
    sections = {s.attributes["id"]: s for s in tree.all("section") if "id" in s.attributes}
    assert {"groups", "calibration", "agreement"} <= set(sections)
    assert [row.all("td")[0].words() for row in sections["groups"].all("tbody")[0].all("tr")] == [
        "f",
        "m",
        LANGUAGES[lang]["groups.none"],
    ]
    assert "ECE" in sections["calibration"].all("img")[0].attributes["alt"]
    assert "Bland" in sections["agreement"].all("img")[0].attributes["alt"]
    flagged = [row.words() for row in sections["cases"].all("tbody")[0].all("tr")]
    assert sum(LANGUAGES[lang]["flag.missed"].format(name="<b>lesion</b>") in row for row in flagged) == 3
    assert "HD90" in tree.words()
    assert tree.all("label")[0].attributes["for"] == tree.all("input")[0].attributes["id"]


def test_the_model_card_is_shown(tmp_path):
    run = make_run(tmp_path)
    card = Card(
        created="2026-11-22", calque="0.1", torch="2.13", dataset="demo <x>", cases=7, limits="Adults only."
    )
    archive.write(run / "model.calque", make_plan(), card, [b"weights"])
    tree = read_page(report(run, tmp_path / "r.html").read_text())
    shown = next(s for s in tree.all("section") if s.attributes.get("id") == "card").words()
    assert "demo <x>" in shown
    assert "Adults only." in shown


@pytest.mark.parametrize("lang", list(LANGUAGES))
def test_a_comparison(tmp_path, lang):
    models = {
        name: summarise([score_case(*masks(k + shift), case=f"c{k}") for k in range(3)], LABELS)
        for name, shift in (("ours", 0), (EVIL, 1))
    }
    text = report_comparison(compare(models), tmp_path / "c.html", lang=lang).read_text()
    tree = read_page(text)
    assert len(tree.all("script")) == 1
    assert EVIL in tree.all("h1")[0].words()
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:)|https?://", text)
    assert all(len(image.attributes["alt"]) > 10 for image in tree.all("img"))
    for table in tree.all("table"):
        assert table.all("caption")[0].words()
        assert len({len(row.all("th") + row.all("td")) for row in table.all("tr")}) == 1
    with pytest.raises(InputError, match="language"):
        report_comparison(compare(models), tmp_path / "d.html", lang="de")
