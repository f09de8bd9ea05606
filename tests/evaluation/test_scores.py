"""Summaries, intervals, and the way to disk and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calque.errors import InputError, ReadError
from calque.evaluation import Rules, Scores, read_csv, score_case, summarise, write_csv
from calque.evaluation.scores import Bootstrap, CaseScore, ClassScore, Failure, Findings

from .maps import LABELS, cube, label_map


def case(name, organ, lesion=None, patient=None) -> CaseScore:
    """A case whose Dice are given; None: absent."""
    return CaseScore(
        case=name,
        patient=patient or name,
        classes={
            n: ClassScore(state="absent" if v is None else "present", values={"dice": v})
            for n, v in (("organ", organ), ("lesion", lesion))
        },
    )


def dice(*cases: CaseScore, **options) -> Scores:
    return summarise(cases, LABELS, metrics=["dice"], **options)


def test_figures_by_hand():
    scores = dice(case("a", 0.5, 0.1), case("b", 0.7), case("c", 0.9, 0.3), case("d", 1.0))
    organ, lesion = scores.summaries["organ"]["dice"], scores.summaries["lesion"]["dice"]
    assert (organ.n, organ.absent, organ.undefined, organ.patients) == (4, 0, 0, 4)
    assert (organ.mean, organ.median) == pytest.approx((0.775, 0.8))
    assert organ.std == pytest.approx(np.std([0.5, 0.7, 0.9, 1.0], ddof=1))
    assert (organ.q25, organ.q75) == pytest.approx((0.65, 0.925))
    assert organ.worst == ("a", "b", "c")
    assert (lesion.n, lesion.absent, lesion.mean) == (2, 2, pytest.approx(0.2))
    assert lesion.worst == ("a", "c")
    # per case first: 0.3, 0.7, 0.6, 1.0
    assert scores.foreground["dice"].mean == pytest.approx(0.65)
    assert scores.complete


def test_interval_is_that_of_a_plain_bootstrap():
    values = np.random.default_rng(1).normal(0.8, 0.1, 40)
    found = dice(*(case(str(k), v) for k, v in enumerate(values))).summaries["organ"]["dice"]
    generator = np.random.default_rng(2)
    means = [generator.choice(values, 40).mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.004)
    assert found.low < found.mean < found.high


def test_whole_patients_are_drawn():
    """Ten scans of each of four patients: the interval is that of four, far wider than that of forty."""
    means = (0.2, 0.4, 0.6, 0.8)
    cases = [case(f"{p}-{k}", m, patient=str(p)) for p, m in enumerate(means) for k in range(10)]
    by_patient = dice(*cases).summaries["organ"]["dice"]
    by_case = dice(*(c.model_copy(update={"patient": c.case}) for c in cases)).summaries["organ"]["dice"]
    four = dice(*(case(str(p), m) for p, m in enumerate(means))).summaries["organ"]["dice"]
    assert (by_patient.n, by_patient.patients) == (40, 4)
    assert (by_patient.low, by_patient.high) == pytest.approx((four.low, four.high))
    assert by_patient.high - by_patient.low > 2 * (by_case.high - by_case.low)


def test_seed_and_level_rule_the_interval():
    cases = [case(str(k), v) for k, v in enumerate(np.linspace(0, 1, 15))]
    drawn = {"method": "bca"}
    one, again = (dice(*cases, bootstrap=Bootstrap(**drawn)) for _ in range(2))
    assert one == again
    other = dice(*cases, bootstrap=Bootstrap(**drawn, seed=1)).summaries["organ"]["dice"]
    narrow = dice(*cases, bootstrap=Bootstrap(**drawn, level=0.5)).summaries["organ"]["dice"]
    first = one.summaries["organ"]["dice"]
    assert other.low != first.low
    assert first.low < narrow.low < narrow.high < first.high


def test_one_patient_has_no_interval_and_none_no_figures():
    found = dice(case("a", 0.5), case("b", 0.6, patient="a")).summaries
    assert (found["organ"]["dice"].low, found["organ"]["dice"].high) == (None, None)
    assert found["lesion"]["dice"].n == 0
    assert found["lesion"]["dice"].mean is None
    assert dice().foreground["dice"].n == 0


def test_undefined_distances_are_counted_and_lead_the_worst():
    truth = label_map(cube(2, 6))
    cases = [
        score_case(label_map(cube(2, 7)), truth, Rules(["hd", "dice"]), case="large"),
        score_case(label_map(cube(0, 0)), truth, Rules(["hd", "dice"]), case="missed"),
        score_case(truth, truth, Rules(["hd", "dice"]), case="perfect"),
    ]
    found = summarise(cases, LABELS, metrics=["hd", "dice"]).summaries["organ"]
    assert (found["hd"].n, found["hd"].undefined, found["hd"].absent) == (2, 1, 0)
    assert found["hd"].worst == ("missed", "large", "perfect")
    assert (found["dice"].n, found["dice"].undefined) == (3, 0)


def test_json_there_and_back_holds_no_nan(tmp_path):
    truth = label_map(cube(2, 6))
    cases = [
        score_case(label_map(cube(0, 0)), truth, case="é<b>.1"),
        score_case(label_map(cube(0, 0)), label_map(cube(0, 0)), case="b"),
    ]
    findings = Findings(
        missing=("x",), unexpected=("y",), failed=(Failure(case="z", error="why\n  where: z"),)
    )
    scores = summarise(cases, LABELS, findings=findings)
    scores.write(tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)
    assert Scores.read(tmp_path / "s.json") == scores
    assert not scores.complete
    assert scores.case("b").patient == "b"
    with pytest.raises(InputError, match="no such case"):
        scores.case("c")


def test_csv_there_and_back(tmp_path):
    truth = label_map(cube(2, 6))
    cases = tuple(
        score_case(label_map(cube(2, k)), truth, case=f'a,"{k}";\u00e9', patient="p") for k in (2, 5, 7)
    )
    write_csv(summarise(cases, LABELS), tmp_path / "s.csv")
    assert read_csv(tmp_path / "s.csv") == cases
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 2
    assert "nan" not in "".join(lines).lower()
    with pytest.raises(ReadError):
        read_csv(tmp_path / "no.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a table"):
        read_csv(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text("case,patient,class,state,dice\na,a,organ,present,high\n")
    with pytest.raises(InputError, match="something else"):
        read_csv(tmp_path / "bad.csv")


def test_contradictions_are_refused():
    with pytest.raises(InputError, match="unique"):
        dice(case("a", 0.5), case("a", 0.6))
    with pytest.raises(InputError, match="not scored with these metrics"):
        summarise([case("a", 0.5)], LABELS, metrics=["iou"])
