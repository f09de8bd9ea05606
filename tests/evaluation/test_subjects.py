"""Tables about cases: patients, subgroups, manifests."""

from __future__ import annotations

import numpy as np
import pytest

from calque.errors import InputError, ReadError
from calque.evaluation import evaluate, score_case, summarise
from calque.evaluation.groups import with_groups
from calque.evaluation.subjects import NOT_GIVEN, read_subjects
from calque.io import write_labels

from .maps import LABELS, cube, label_map


def table(tmp_path, text: str):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return read_subjects(tmp_path / "t.csv")


@pytest.fixture
def scores():
    truth = label_map(cube(2, 6))
    cases = [
        score_case(label_map(cube(2, 6 + k)), truth, case=f"c{k}", patient=f"p{k // 2}") for k in range(4)
    ]
    return summarise(cases, LABELS)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_groups_by_case(scores, tmp_path, separator):
    text = "\ufeffcase,sex,site\nc0,f,A\nc1,m,\nc2,f,B\nother,m,B\n".replace(",", separator)
    grouped = with_groups(scores, table(tmp_path, text))
    found = {(g.column, g.value): g.cases for g in grouped.groups}
    assert found == {
        ("sex", "f"): ("c0", "c2"),
        ("sex", "m"): ("c1",),
        ("sex", NOT_GIVEN): ("c3",),
        ("site", "A"): ("c0",),
        ("site", "B"): ("c2",),
        ("site", NOT_GIVEN): ("c1", "c3"),
    }
    women = grouped.groups[0]
    dice = [scores.case(c).classes["organ"].values["dice"] for c in ("c0", "c2")]
    assert women.summaries["organ"]["dice"].mean == pytest.approx(np.mean(dice))
    assert women.foreground["dice"].n == 2
    assert grouped.summaries == scores.summaries
    assert type(scores).from_json(grouped.to_json()) == grouped


def test_groups_by_patient(scores, tmp_path):
    found = table(tmp_path, "patient,scanner\np0,1.5 T\np1,3 T\n").groups(
        [(c.case, c.patient) for c in scores.cases]
    )
    assert found == {"scanner": {"1.5 T": ("c0", "c1"), "3 T": ("c2", "c3")}}


def test_numbers_are_cut_at_their_thirds(tmp_path):
    ages = [30, 35, 40, 50, 55, 60, 70, 80, 9]
    rows = "".join(f"c{k},{age}\n" for k, age in enumerate(ages))
    found = table(tmp_path, "case,age\n" + rows).groups([(f"c{k}", "p") for k in range(10)])["age"]
    assert {name: len(cases) for name, cases in found.items()} == {
        "≤ 35": 3,
        "> 35, ≤ 55": 3,
        "> 55": 3,
        NOT_GIVEN: 1,
    }
    few = table(tmp_path, "case,n\na,10\nb,9\nc,10\n").groups([(c, c) for c in "abc"])
    assert few == {"n": {"9": ("b",), "10": ("a", "c")}}


def test_tables_that_cannot_be(scores, tmp_path):
    for text, match in (
        ("name,sex\na,f\n", "column case or patient"),
        ("", "column case or patient"),
        ("case,sex,sex\na,f,f\n", "each column once"),
        ("case,sex\na\n", "more or fewer cells"),
        ("case,sex\na,f\na,m\n", "stands twice"),
    ):
        with pytest.raises(InputError, match=match):
            table(tmp_path, text)
    with pytest.raises(ReadError):
        read_subjects(tmp_path / "no.csv")
    with pytest.raises(InputError, match="names none of the cases"):
        with_groups(scores, table(tmp_path, "case,sex\nx,f\n"))
    many = "case,id\n" + "".join(f"c{k},x{k}\n" for k in range(40))
    with pytest.raises(InputError, match="too many values"):
        table(tmp_path, many).groups([(f"c{k}", "p") for k in range(40)])


def test_manifest(tmp_path):
    for k in range(3):
        write_labels(label_map(cube(2, 6)), tmp_path / "truth" / "deep" / f"t{k}.nii.gz")
        write_labels(label_map(cube(2, 6 + k)), tmp_path / "predicted" / f"guess{k}.nii.gz")
    (tmp_path / "m.csv").write_text(
        "case,predicted,truth,patient,sex\n"
        "a,guess0.nii.gz,deep/t0.nii.gz,p,f\nb,guess2.nii.gz,deep/t1.nii.gz,p,f\n"
        "c,guess9.nii.gz,deep/t2.nii.gz,q,m\nd,guess1.nii.gz,,q,m\n"
    )
    scores = evaluate(tmp_path / "predicted", tmp_path / "truth", labels=LABELS, manifest=tmp_path / "m.csv")
    assert [(c.case, c.patient) for c in scores.cases] == [("a", "p"), ("b", "p")]
    assert (scores.findings.missing, scores.findings.unexpected) == (("c",), ("d",))
    assert [(g.value, g.cases) for g in scores.groups] == [("f", ("a", "b"))]
    (tmp_path / "m.csv").write_text("case,truth\na,t0.nii.gz\n")
    with pytest.raises(InputError, match="which files belong together"):
        evaluate(tmp_path / "predicted", tmp_path / "truth", manifest=tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("case,predicted,truth\na,x.nii.gz,y.nii.gz\n")
    with pytest.raises(InputError, match="both of its files"):
        evaluate(tmp_path / "predicted", tmp_path / "truth", manifest=tmp_path / "m.csv")
