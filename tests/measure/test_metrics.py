"""Metrics against scikit-learn, intervals against published values and plain resampling."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from tillage.core.errors import UsageError
from tillage.measure import METRICS, accuracy, bootstrap, confusion, macro_f1, mae, per_class, r2, rmse, wilson

LABELS = st.sampled_from(["a", "b", "c", "疼痛", ""]) | st.just("a")
TWO_COLUMNS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40)
NUMBERS = st.lists(st.tuples(*[st.floats(-1e6, 1e6).map(lambda v: round(v, 3))] * 2), min_size=2, max_size=40)


@given(TWO_COLUMNS)
def test_class_metrics_are_those_of_scikit_learn(rows: list[tuple[str, str]]) -> None:
    y, p = (list(column) for column in zip(*rows, strict=True))
    assert accuracy(y, p) == pytest.approx(theirs.accuracy_score(y, p), rel=1e-12)
    assert macro_f1(y, p) == pytest.approx(theirs.f1_score(y, p, average="macro", zero_division=0), rel=1e-12)
    labels, matrix = confusion(y, p)
    assert labels == sorted(set(y) | set(p))
    if len(labels) > 1:  # scikit-learn warns of a matrix of one class
        assert matrix.tolist() == theirs.confusion_matrix(y, p, labels=labels).tolist()
    expected = theirs.precision_recall_fscore_support(y, p, labels=labels, zero_division=0)
    rows_ = per_class(y, p)
    assert [row["label"] for row in rows_] == labels
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in rows_] == pytest.approx(column.tolist(), rel=1e-12)


@given(NUMBERS)
def test_number_metrics_are_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    y, p = (list(column) for column in zip(*rows, strict=True))
    assert mae(y, p) == pytest.approx(theirs.mean_absolute_error(y, p), rel=1e-9)
    assert rmse(y, p) == pytest.approx(theirs.root_mean_squared_error(y, p), rel=1e-9)
    if np.var(y) > 1e-9:  # scikit-learn's own rounding decides on what is nearly constant
        assert r2(y, p) == pytest.approx(theirs.r2_score(y, p), rel=1e-6, abs=1e-6)


def test_metrics_take_any_column_and_ignore_the_order_of_rows() -> None:
    y, p = np.array([3, 1, 2, 1]), pl.Series("p", [3, 1, 1, 2], dtype=pl.Int8)
    assert accuracy(y, p) == 0.5
    assert confusion(y, p)[0] == [1, 2, 3]
    assert macro_f1([True, False], np.array([True, True])) == pytest.approx(1 / 3)
    values = np.random.default_rng(0).lognormal(0, 9, 500)
    turned = np.random.default_rng(1).permutation(500)
    assert mae(values, values**0.5) == mae(values[turned], values[turned] ** 0.5)
    assert r2([2, 2], [2, 2]) == 1.0
    assert r2([2, 2], [2, 3]) == 0.0


def test_many_classes_need_no_matrix() -> None:
    labels = [str(i) for i in range(20_000)]
    assert macro_f1(labels, labels) == 1.0
    assert len(per_class(labels, labels)) == 20_000
    with pytest.raises(UsageError, match="20,000 classes is too large"):
        confusion(labels, labels)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1.0], [1.0, 2.0], "2 predictions for 1 true values"),
        ([], [], "0 predictions for 0 true values"),
        ([1.0, None], [1.0, 1.0], "missing values"),
        ([1.0, 2.0], [1.0, None], "missing values"),
    ],
)
def test_columns_that_do_not_fit_are_refused(metric: Any, y: list[Any], p: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        metric(y, p)


def test_types_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="truth must be finite numbers"):
        mae(["a"], [1.0])
    with pytest.raises(UsageError, match="predictions must be finite numbers"):
        r2([1.0], [float("nan")])
    with pytest.raises(UsageError, match="cannot be compared"):
        accuracy([[1]], ["a"])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_the_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_lies_within_0_and_1_and_around_the_share(pair: tuple[int, int]) -> None:
    low, high = wilson(*pair)
    assert 0 <= low <= (pair[0] / pair[1] if pair[1] else 0.5) <= high <= 1
    wider = wilson(*pair, confidence=0.99)
    assert wider[0] <= low
    assert high <= wider[1]


def test_wilson_without_trials_or_sense() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(UsageError, match="3 of 2"):
        wilson(3, 2)


RANDOM = np.random.default_rng(11)
TRUE = RANDOM.integers(0, 5, 400)
SAID = np.where(RANDOM.random(400) < 0.7, TRUE, RANDOM.integers(0, 5, 400))
HIGH = RANDOM.normal(50, 10, 400)
NEAR = HIGH + RANDOM.normal(0, 4, 400)
GROUPS = np.repeat(np.arange(40), 10)


def resampled(metric: Any, y: Any, p: Any, groups: Any) -> tuple[float, float]:
    """The bootstrap as the textbook has it: draw, gather the rows, compute."""
    random = np.random.default_rng(99)
    names = np.unique(groups)
    members = [np.flatnonzero(groups == name) for name in names]
    values = []
    for _ in range(1500):
        rows = np.concatenate([members[i] for i in random.integers(0, len(names), len(names))])
        values.append(metric(y[rows], p[rows]))
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("accuracy", lambda y, p: float(np.mean(y == p))),
        ("macro_f1", lambda y, p: theirs.f1_score(y, p, average="macro")),
        ("r2", theirs.r2_score),
        ("mae", lambda y, p: float(np.mean(np.abs(y - p)))),
        ("rmse", lambda y, p: float(np.sqrt(np.mean((y - p) ** 2)))),
    ],
)
def test_bootstrap_is_that_of_the_textbook(name: str, oracle: Any, grouped: bool) -> None:
    y, p = (TRUE, SAID) if name in {"accuracy", "macro_f1"} else (HIGH, NEAR)
    cheap = oracle if name != "macro_f1" else macro_f1  # checked against scikit-learn above
    expected = resampled(cheap if name != "r2" else r2, y, p, GROUPS if grouped else np.arange(400))
    low, high = bootstrap(name, y, p, GROUPS if grouped else None, rounds=1500)
    width = expected[1] - expected[0]
    assert low < METRICS[name](y, p) < high
    assert (low, high) == pytest.approx(expected, abs=0.15 * width)
    assert METRICS[name](y, p) == pytest.approx(oracle(y, p))


def test_bootstrap_by_group_is_wider_where_rows_of_a_group_go_together() -> None:
    y = np.repeat(RANDOM.integers(0, 2, 40), 10)
    p = np.where(np.repeat(RANDOM.random(40) < 0.6, 10), y, 1 - y)
    alone, together = bootstrap("accuracy", y, p), bootstrap("accuracy", y, p, GROUPS)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    named = pl.Series([f"patient {g}" if g else None for g in GROUPS])
    assert bootstrap("accuracy", y, p, named)[1] == pytest.approx(together[1], abs=0.03)


def test_bootstrap_repeats_itself_and_follows_its_arguments() -> None:
    first = bootstrap("macro_f1", TRUE, SAID, seed=1, rounds=200)
    assert bootstrap(macro_f1, TRUE, SAID, seed=1, rounds=200) == first
    assert bootstrap("macro_f1", TRUE, SAID, seed=2, rounds=200) != first
    low, high = bootstrap("macro_f1", TRUE, SAID, seed=1, rounds=200, confidence=0.5)
    assert first[0] < low < high < first[1]
    assert bootstrap("accuracy", [1, 1], [1, 1]) == (1.0, 1.0)
    with pytest.raises(UsageError, match="Did you mean 'accuracy'"):
        bootstrap("acuracy", TRUE, SAID)
    with pytest.raises(UsageError, match="3 groups for 400 rows"):
        bootstrap("accuracy", TRUE, SAID, [1, 2, 3])
    with pytest.raises(UsageError, match="at least one round"):
        bootstrap("accuracy", TRUE, SAID, rounds=0)


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("metric", [r2, mae, rmse])
def test_bootstrap_of_sums_is_that_of_rows(metric: Any, groups: Any) -> None:
    def row_by_row(y: Any, p: Any) -> float:
        return float(metric(y, p))

    slow = bootstrap(row_by_row, HIGH + 1e6, NEAR + 1e6, groups, rounds=60)
    assert bootstrap(metric, HIGH + 1e6, NEAR + 1e6, groups, rounds=60) == pytest.approx(slow, rel=1e-9)


def test_bootstrap_of_a_metric_of_ones_own() -> None:
    def share(y: Any, p: Any) -> float:
        return float((y == p).mean())

    assert bootstrap(share, TRUE, SAID) == pytest.approx(bootstrap("accuracy", TRUE, SAID), abs=0.01)
    by_group = bootstrap(share, TRUE, SAID, GROUPS, rounds=300)
    assert by_group == bootstrap("accuracy", TRUE, SAID, GROUPS, rounds=300)  # the same draws
    with pytest.raises(UsageError, match="1 predictions for 2 true"):
        bootstrap(share, [1, 2], [1])


def test_bootstrap_of_77_classes_takes_less_than_a_second() -> None:
    random = np.random.default_rng(5)
    y = random.integers(0, 77, 3080)
    p = np.where(random.random(3080) < 0.8, y, random.integers(0, 77, 3080))
    start = time.process_time()
    low, high = bootstrap("macro_f1", [f"intent {v}" for v in y], [f"intent {v}" for v in p])
    assert time.process_time() - start < 1
    assert low < macro_f1(y, p) < high
