"""Paired tests against scipy, and by what they promise: no more false alarms than they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tillage.measure import METRICS
from tillage.measure.paired import compared, greater_mean, holm, mcnemar, paired_bootstrap


@given(first=st.integers(0, 40), second=st.integers(0, 40), both=st.integers(0, 5))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int, both: int) -> None:
    a = np.repeat([True, False, True], [first, second, both])
    b = np.repeat([False, True, True], [first, second, both])
    found = mcnemar(a, b)
    assert (found.first, found.second) == (first, second)
    n = first + second
    expected = min(1.0, 2 * stats.binom.cdf(min(first, second), n, 0.5)) if n else 1.0
    assert found.p == pytest.approx(expected)


def test_welch_fisher_and_clusters() -> None:
    random = np.random.default_rng(1)
    inside = np.repeat([True, False], [30, 70])
    value = random.normal(np.where(inside, 1.0, 0.6), np.where(inside, 2.0, 1.0))
    expected = stats.ttest_ind(value[inside], value[~inside], equal_var=False, alternative="greater").pvalue
    assert greater_mean(inside, value) == pytest.approx(expected)
    wrong = (random.random(100) < np.where(inside, 0.5, 0.2)).astype(float)
    table = [[wrong[inside].sum(), (1 - wrong)[inside].sum()], [wrong[~inside].sum(), (1 - wrong)[~inside].sum()]]
    fisher = stats.fisher_exact(np.array(table, int), alternative="greater")
    assert greater_mean(inside, wrong) == pytest.approx(fisher.pvalue)
    assert greater_mean(~inside, wrong) > 0.9, "one-sided"
    assert greater_mean(inside, np.ones(100)) == 1.0
    assert greater_mean(np.arange(100) == 0, wrong) == 1.0, "one row says nothing"


def test_the_variance_by_clusters_is_the_sandwich_of_the_regression() -> None:
    """The textbook matrices of a regression on a constant and the indicator, with the correction CR1."""
    random = np.random.default_rng(2)
    groups = np.sort(random.integers(0, 25, 200))
    inside = random.random(200) < 0.4
    value = random.normal(size=25)[groups] + random.normal(size=200) + 0.5 * inside
    x = np.column_stack([np.ones(200), inside])
    bread = np.linalg.inv(x.T @ x)
    residual = value - x @ (bread @ x.T @ value)
    scores = np.array([x[groups == g].T @ residual[groups == g] for g in range(25)])
    cover = bread @ (scores.T @ scores) @ bread * 25 / 24 * 199 / 198
    t = (value[inside].mean() - value[~inside].mean()) / np.sqrt(cover[1, 1])
    assert greater_mean(inside, value, groups) == pytest.approx(stats.t.sf(t, 24))
    assert greater_mean(inside, value, groups % 2) == 1.0, "two groups say nothing"


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_order_and_never_lowers(p: list[float]) -> None:
    raised = holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, raised, strict=True))
    order = np.argsort(p, kind="stable")
    assert sorted(raised) == [raised[i] for i in order]
    if p:
        assert min(raised) == pytest.approx(min(1, len(p) * min(p)))


def mean_of(_: Any, values: Any) -> float:
    return float(values.mean())


def test_the_paired_bootstrap_has_the_spread_of_the_difference() -> None:
    random = np.random.default_rng(3)
    shared = random.normal(0, 5, 400)
    a, b = shared + random.normal(0.1, 1, 400), shared + random.normal(0, 1, 400)
    found = paired_bootstrap(mean_of, shared, a, b)
    error = (a - b).std(ddof=1) / 20
    assert found.value == pytest.approx((a - b).mean())
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.03)
    assert paired_bootstrap(mean_of, shared, a, a).p == 1.0


def test_groups_are_drawn_whole() -> None:
    random = np.random.default_rng(4)
    groups = random.permutation(np.repeat(np.arange(20), 30))
    a, b = random.normal(size=20)[groups], np.zeros(600)
    alone, whole = (paired_bootstrap(mean_of, b, a, b, g) for g in (None, groups))
    assert whole.value == alone.value
    assert (whole.high - whole.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(30), rel=0.25)
    assert paired_bootstrap(mean_of, b, a, b, np.arange(600)) == alone


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mae", "rmse", "r2"])
def test_both_scores_are_those_of_the_metric(metric: str) -> None:
    random = np.random.default_rng(5)
    if metric in ("accuracy", "macro_f1"):
        truth, first, second = (pl.Series(random.choice(["a", "b", "c"], 80)) for _ in range(3))
    else:
        truth, first, second = (pl.Series(random.normal(size=80)) for _ in range(3))
    found = compared(metric, truth, first, second)
    assert found["first"] == pytest.approx(METRICS[metric](truth, first))
    assert found["second"] == pytest.approx(METRICS[metric](truth, second))
    assert found["difference"] == pytest.approx(found["first"] - found["second"])
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    grouped = compared(metric, truth, first, second, pl.Series(np.arange(80) // 8))
    assert grouped["test"] == "paired bootstrap over groups"
