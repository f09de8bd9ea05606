"""Intervals: what they are by hand and by scipy, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calque.evaluation.intervals import intervals
from calque.evaluation.quantiles import normal_edge, normal_share, student_edge
from calque.evaluation.scores import Bootstrap, CaseScore
from calque.evaluation.summary import summarise
from calque.labels import Labels

SKEWED = np.random.default_rng(4).beta(9, 1.5, 30)
EACH = [str(k) for k in range(30)]


@pytest.mark.parametrize(("method", "scipys"), [("percentile", "percentile"), ("bca", "BCa")])
def test_equal_to_scipys_but_for_chance(method, scipys):
    low, high = intervals(SKEWED[:, None], EACH, Bootstrap(method=method, resamples=20000))[:, 0]
    oracle = stats.bootstrap(
        (SKEWED,), np.mean, n_resamples=20000, method=scipys, rng=np.random.default_rng(0)
    )
    expected = oracle.confidence_interval
    assert (low, high) == pytest.approx(
        (expected.low, expected.high), abs=0.06 * (expected.high - expected.low)
    )


def test_bca_follows_the_skew_and_the_expanded_one_is_wider():
    ends = {
        m: intervals(SKEWED[:, None], EACH, Bootstrap(method=m))[:, 0]
        for m in ("percentile", "bca", "bca_expanded")
    }
    assert ends["bca"][0] < ends["percentile"][0]  # the long tail is on the left
    assert ends["bca"][1] < ends["percentile"][1]
    assert ends["bca_expanded"][0] < ends["bca"][0] < ends["bca"][1] < ends["bca_expanded"][1]


def test_halls_interval_by_hand():
    """The transformation, put back: the studentised mean at each end is where the cubic equals t."""
    n, mean, s = len(SKEWED), SKEWED.mean(), SKEWED.std(ddof=1)
    skew = np.mean((SKEWED - mean) ** 3) / SKEWED.std() ** 3
    ends = intervals(SKEWED[:, None], EACH, Bootstrap())[:, 0]
    t = np.sqrt(n) * (mean - ends) / s
    a = skew / np.sqrt(n)
    cubic = t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6
    assert cubic == pytest.approx(stats.t.ppf([0.975, 0.025], n - 1))


def test_halls_interval_without_skewness_is_students():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 0.0])
    low, high = intervals(values[:, None], list("abcdef"), Bootstrap())[:, 0]
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 5, 0, values.std(ddof=1) / np.sqrt(6)))


def test_halls_interval_counts_patients_not_cases():
    tripled = intervals(np.repeat(SKEWED, 3)[:, None], list(np.repeat(EACH, 3)), Bootstrap())
    assert tripled == pytest.approx(intervals(SKEWED[:, None], EACH, Bootstrap()))


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30, 99, 199, 200, 5000])
def test_quantiles_are_scipys(freedom):
    for share in (0.005, 0.025, 0.2, 0.5, 0.975):
        assert student_edge(freedom, share) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9, abs=1e-12)
        assert normal_share(normal_edge(share)) == pytest.approx(share)


def test_few_patients_are_said():
    cases = [CaseScore(case=str(k), patient=str(k), classes={}) for k in range(12)]
    scores = summarise(cases, Labels.from_names({"liver": 1}), metrics=["dice"])
    assert scores.few_patients
    assert scores.unseen_share == pytest.approx(0.22, abs=0.01)  # 0.78 ** 12 is 5 %


@pytest.mark.parametrize("method", ["percentile", "bca", "bca_expanded"])
def test_edges(method):
    how = Bootstrap(method=method)
    assert np.isnan(intervals(np.zeros((0, 2)), [], how)).all()
    values = np.array([[0.5, np.nan, 1.0], [0.5, np.nan, np.nan], [0.5, np.nan, np.nan]])
    found = intervals(values, ["a", "b", "c"], how)
    assert found[:, 0].tolist() == [0.5, 0.5]  # nothing varies
    assert np.isnan(found[:, 1]).all()
    assert found[:, 2].tolist() == [1.0, 1.0]
    two = intervals(np.array([[0.0], [1.0]]), ["a", "b"], how)[:, 0]
    assert two.tolist() == [0.0, 1.0]
    outlier = intervals(np.array([[1.0]] * 19 + [[0.0]]), [str(k) for k in range(20)], how)[:, 0]
    assert 0.0 < outlier[0] < 0.95
    assert outlier[1] == 1.0


@pytest.mark.parametrize("patients", [10, 20, 50])
def test_coverage_of_the_default_is_within_93_and_97_percent(patients):
    """On skewed Dice; benchmarks/coverage.py has more sorts of figures, and where no method holds."""
    generator = np.random.default_rng(patients)
    values = generator.beta(12, 2, (patients, 4000))
    low, high = intervals(values, [str(k) for k in range(patients)], Bootstrap())
    share = np.mean((low <= 12 / 14) & (high >= 12 / 14))
    assert 0.93 - 0.008 < share < 0.97 + 0.008  # two standard errors of 4000 data sets
