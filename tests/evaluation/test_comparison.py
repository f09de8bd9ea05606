"""Models against each other, and volumes against volumes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calque.errors import InputError
from calque.evaluation import Scores, compare, summarise
from calque.evaluation.comparison import MEAN
from calque.evaluation.scores import CaseScore, ClassScore
from calque.evaluation.volumes import agreements

from .maps import LABELS


def scores(organ, lesion=None, patients=None, metric="dice", skip=()) -> Scores:
    """Scores whose values are given, one case each."""
    lesion = [0.5] * len(organ) if lesion is None else lesion
    cases = []
    for k, values in enumerate(zip(organ, lesion, strict=True)):
        classes = {
            name: ClassScore(state="missed" if value is None else "present", values={metric: value})
            for name, value in zip(LABELS.names, values, strict=True)
        }
        patient = str(k) if patients is None else patients[k]
        cases.append(CaseScore(case=f"case {k}", patient=patient, classes=classes))
    kept = [case for k, case in enumerate(cases) if k not in skip]
    return summarise(kept, LABELS, metrics=[metric])


RNG = np.random.default_rng(0)
TRUE = RNG.uniform(0.6, 0.9, 24)
BETTER = TRUE + RNG.normal(0.04, 0.02, 24)
SAME = TRUE + RNG.normal(0.0, 0.02, 24)


def test_differences_equal_scipy_and_holm_by_hand():
    found = compare({"a": scores(TRUE), "b": scores(BETTER), "c": scores(SAME)})
    organ = {(d.first, d.second): d for d in found.differences if d.target == "organ"}
    d = organ["a", "b"]
    assert d.mean == pytest.approx(np.mean(TRUE - BETTER))
    assert d.low < d.mean < d.high < 0
    assert d.p == pytest.approx(stats.wilcoxon(TRUE - BETTER).pvalue)
    family = [d.p for d in found.differences if d.p is not None]
    assert len(family) == 6  # three pairs, of the organ and of the mean; lesions never differ
    for one in found.differences:
        if one.p is not None:
            place = sorted(family).index(one.p)
            steps = [min(1.0, (6 - k) * p) for k, p in enumerate(sorted(family)[: place + 1])]
            assert one.p_holm == pytest.approx(max(steps))
    assert organ["a", "c"].p_holm > 0.05 > organ["a", "b"].p_holm
    assert [d.p for d in found.differences if d.target == "lesion"] == [None] * 3


def test_ranks_and_how_firm_they_are():
    found = compare({"a": scores(TRUE), "b": scores(BETTER), "c": scores(SAME)})
    ranks = {r.model: r for r in found.ranks if r.target == "organ"}
    assert ranks["b"].rank == 1.0
    assert ranks["b"].shares[0] > 0.99
    assert all(sum(r.shares) == pytest.approx(1.0) for r in ranks.values())
    assert sum(r.rank for r in ranks.values()) == 6
    far = compare({"a": scores(TRUE, metric="hd"), "b": scores(BETTER, metric="hd")})
    assert {r.model: r.rank for r in far.ranks if r.target == MEAN} == {"a": 1.0, "b": 2.0}  # lower is better


def test_patients_are_tested_not_scans():
    """Four patients with ten scans each: Wilcoxon sees four."""
    patients = [str(k // 10) for k in range(40)]
    one, other = np.full(40, 0.5), np.full(40, 0.5) + np.repeat([0.01, 0.02, 0.03, 0.04], 10)
    found = compare({"a": scores(one, patients=patients), "b": scores(other, patients=patients)})
    d = next(d for d in found.differences if d.target == "organ")
    assert (d.n, d.patients, d.p) == (40, 4, pytest.approx(0.125))


def test_what_is_not_in_all_is_left_out_and_said():
    gaps = [0.5, None, 0.7, 0.9]
    found = compare({"a": scores(gaps, skip=(3,)), "b": scores([0.4, 0.5, 0.6, 0.7])})
    assert (found.cases, found.left_out) == (3, ("case 3",))
    d = next(d for d in found.differences if d.target == "organ")
    assert (d.n, d.left_out, d.mean) == (2, 1, pytest.approx(0.1))
    assert next(r for r in found.ranks if r.target == "organ").n == 2


def test_scores_made_otherwise_are_not_compared():
    with pytest.raises(InputError, match="two models"):
        compare({"a": scores(TRUE)})
    with pytest.raises(InputError, match="same way"):
        compare({"a": scores(TRUE), "b": scores(TRUE, metric="iou")})
    with pytest.raises(InputError, match="no scored case in common"):
        compare({"a": scores([0.1, 0.2], skip=(0,)), "b": scores([0.1, 0.2], skip=(1,))})


def test_a_comparison_lives_as_json():
    found = compare({"a": scores(TRUE), "b": scores([None] * 24)})
    assert type(found).from_json(found.to_json()) == found


def volumes(predicted, truth) -> Scores:
    names = ("volume_predicted_ml", "volume_truth_ml")
    cases = []
    for k, pair in enumerate(zip(predicted, truth, strict=True)):
        state = "present" if all(pair) else "absent" if not any(pair) else "spurious"
        one = ClassScore(state=state, values=dict(zip(names, map(float, pair), strict=True)))
        cases.append(CaseScore(case=str(k), patient=str(k), classes={"organ": one}))
    return summarise(cases, LABELS, metrics=names)


def test_bland_altman_by_hand():
    found = agreements(volumes([11, 19, 33, 0, 5], [10, 20, 30, 0, 0]))["organ"]
    gaps = np.array([1.0, -1.0, 3.0, 5.0])
    assert (found.n, found.patients) == (4, 4)  # where neither has it, there is nothing to agree on
    assert found.differences_ml == tuple(gaps)
    assert found.means_ml == (10.5, 19.5, 31.5, 2.5)
    assert found.bias_ml == pytest.approx(2.0)
    half = 1.96 * gaps.std(ddof=1)
    assert (found.lower_ml, found.upper_ml) == pytest.approx((2.0 - half, 2.0 + half), abs=1e-3)
    assert found.bias_low < 2.0 < found.bias_high
    assert agreements(volumes([0], [0]))["organ"].n == 0
    assert agreements(scores(TRUE)) == {}
