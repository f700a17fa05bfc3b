"""Freshness, drift and batches against scipy, numpy and plain Python; their states in any order."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import ks_2samp

from tillage.core import ConfigurationError, Verdict
from tillage.core.state import digest
from tillage.govern import Expect


def one(rows: pl.DataFrame, cut: int = 0, **check: Any) -> Verdict:
    step = Expect.model_validate({"checks": [check]})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    both = step.merge(first, second)
    assert digest(both) == digest(step.merge(second, first)) == digest(step.update(first, rows[cut:]))
    (found,) = step.finish(both)
    return found


def test_how_old_the_newest_value_is() -> None:
    rows = pl.DataFrame({"at": ["2024-01-01T06:00:00Z", "2024-01-03 18:00", "2024-01-02", None]})
    found = one(rows, 2, column="at", fresh={"within": "12h", "as_of": dt.date(2024, 1, 4)})
    assert (found.name, found.passed, found.measured, found.limit) == ("at fresh", True, 6 * 3600, 12 * 3600)
    assert "2024-01-03T18:00:00+00:00, 6.0 hours before 2024-01-04T00:00:00+00:00" in found.why
    assert not one(rows, column="at", fresh={"within": "5h", "as_of": "2024-01-04"}).passed
    noon = dt.datetime(2024, 1, 4, 8, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    assert one(rows, column="at", fresh={"within": "1w", "as_of": noon}).measured == 6 * 3600


def test_fresh_against_another_column_and_for_every_type_of_time() -> None:
    day = [dt.date(2024, 1, 1), dt.date(2024, 1, 5), None]
    rows = pl.DataFrame({"made": day, "loaded": [dt.datetime(2024, 1, 6, tzinfo=dt.UTC)] * 3})
    assert one(rows, 1, column="made", fresh={"within": "1d", "of": "loaded"}).passed
    away = rows.with_columns(pl.col("loaded").dt.convert_time_zone("Asia/Shanghai"))
    found = one(away, 2, column="made", fresh={"within": "23h", "of": "loaded"})
    assert (found.passed, found.measured) == (False, 86_400)


def test_what_is_no_time_fails() -> None:
    soon = one(pl.DataFrame({"at": ["soon", "2024-01-01"]}), column="at", fresh={"within": "1d", "as_of": "2024-01-01"})
    assert (soon.passed, soon.measured) == (False, None)
    assert "1 values of 'at' are no times" in soon.why
    nothing = one(pl.DataFrame({"at": [None]}), column="at", fresh={"within": "1d", "as_of": "2024-01-01"})
    assert not nothing.passed
    with pytest.raises(ConfigurationError, match="needs times"):
        one(pl.DataFrame({"at": [5]}), column="at", fresh={"within": "1d", "as_of": "2024-01-01"})


numbers = st.lists(
    st.tuples(st.none() | st.floats(-5, 5) | st.sampled_from([0.0, 1.0, math.nan]), st.integers(0, 1)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(data=numbers, cut=st.integers(0, 40))
def test_the_greatest_distance_is_that_of_scipy(data: list[tuple[Any, int]], cut: int) -> None:
    rows = pl.DataFrame(data, schema={"x": pl.Float64, "old": pl.Int64}, orient="row")
    sides = [[x for x, old in data if old == side and x is not None and not math.isnan(x)] for side in (1, 0)]
    found = one(rows, cut, column="x", drift={"reference": "old = 1", "by": "ks", "limit": 0.5})
    if all(sides):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its p-value, which is not asked for
            oracle = ks_2samp(*sides).statistic
        assert found.measured == pytest.approx(oracle)
        assert found.passed == (found.measured is not None and float(found.measured) <= 0.5)
    if len({old for _, old in data}) == 1:
        assert (found.passed, found.measured) == (True, None)


def index(a: list[float], b: list[float]) -> float:
    p, q = ([max(n / sum(side), 1e-4) for n in side] for side in (a, b))
    return sum((y - x) * math.log(y / x) for x, y in zip(p, q, strict=True))


@settings(max_examples=100, deadline=None)
@given(data=numbers, cut=st.integers(0, 40))
def test_the_stability_index_of_numbers_by_tenths(data: list[tuple[Any, int]], cut: int) -> None:
    rows = pl.DataFrame(data, schema={"x": pl.Float64, "old": pl.Int64}, orient="row")
    known = [[x for x, old in data if old == side and x is not None and not math.isnan(x)] for side in (1, 0)]
    rest = [sum(old == side for _, old in data) - len(values) for side, values in zip((1, 0), known, strict=True)]
    found = one(rows, cut, column="x", drift={"reference": "old = 1"})
    if not known[0] or not known[1]:
        return
    edges = np.unique(np.quantile(known[0], np.arange(1, 10) / 10))
    counts = [
        [*np.bincount([sum(e < v for e in edges) for v in values], minlength=len(edges) + 1), none]
        for values, none in zip(known, rest, strict=True)
    ]
    assert found.measured == pytest.approx(index(*counts), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(st.sampled_from(["a", "b", "北京", None]), st.booleans()), min_size=1, max_size=30))
def test_the_stability_index_of_categories(data: list[tuple[str | None, bool]]) -> None:
    rows = pl.DataFrame(data, schema={"c": pl.String, "old": pl.Boolean}, orient="row")
    sides = [Counter(c for c, old in data if old == side) for side in (True, False)]
    found = one(rows, len(data) // 2, column="c", drift={"reference": "old", "limit": 0.2})
    if sides[0] and sides[1]:
        names = sorted({c for side in sides for c in side if c is not None})
        counts = [[float(side[c]) for c in [*names, None]] for side in sides]
        assert found.measured == pytest.approx(index(*counts), abs=1e-9)
        assert found.passed == (float(found.measured or 0) <= 0.2)


def test_a_drift_is_told() -> None:
    rows = pl.DataFrame({"x": [*range(100), *range(50, 150)], "day": ["2023"] * 100 + ["2024"] * 100})
    found = one(rows, 70, column="x", drift={"reference": "day < '2024'", "by": "ks", "limit": 0.3})
    assert (found.passed, found.measured) == (False, 0.5)
    assert found.why == "'x': greatest distance of 100 rows against 100 of the reference is 0.5."
    with pytest.raises(ConfigurationError, match="Use by: psi"):
        one(rows, column="day", drift={"reference": "x > 5", "by": "ks"})


def batches(sizes: list[int], value: float = 1.0) -> pl.DataFrame:
    day = [f"2024-01-{n + 1:02d}" for n, size in enumerate(sizes) for _ in range(size)]
    return pl.DataFrame({"day": day, "x": [value * (k % 5) for k in range(len(day))]})


def test_a_batch_of_another_size() -> None:
    sizes = [100, 98, 103, 101, 99, 100]
    assert one(batches([*sizes, 104]), 300, batch={"by": "day"}).passed
    found = one(batches([*sizes, 60]), 300, batch={"by": "day"})
    spread = max(1.4826 * float(np.median(np.abs(np.array(sizes) - 100))), 1.0)
    assert not found.passed
    assert found.measured == pytest.approx(40 / spread)
    assert "last batch, 2024-01-07, is 60; the median of 6 before is 100" in found.why
    few = one(batches([100, 5]), batch={"by": "day"})
    assert (few.passed, few.measured) == (True, None)
    assert one(batches([100] * 6 + [101]), batch={"by": "day"}).passed  # 1 % is nothing


def test_a_batch_of_another_mean_and_running_numbers() -> None:
    days = [n for n in range(1, 13) for _ in range(20)]
    rows = pl.DataFrame({"n": days, "x": [10.0 + (k * 7 + d) % 5 for k, d in enumerate(days)]})
    assert one(rows, 100, column="x", batch={"by": "n"}).passed
    moved = rows.with_columns(x=pl.when(pl.col("n") == 12).then(pl.col("x") + 9).otherwise("x"))
    found = one(moved, 100, column="x", batch={"by": "n"})
    assert not found.passed
    assert "last batch, 12," in found.why  # by number and not by text
    none = rows.with_columns(x=pl.when(pl.col("n") == 12).then(None).otherwise("x"))
    assert not one(none, column="x", batch={"by": "n"}).passed
    with pytest.raises(ConfigurationError, match="needs numbers"):
        one(rows.with_columns(t=pl.lit("a")), column="t", batch={"by": "n"})


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"column": "x", "fresh": {"within": "2d"}}, "needs 'as_of'"),
        ({"column": "x", "fresh": {"within": "2 days", "as_of": "2024-01-01"}}, "such as 90s"),
        ({"fresh": {"within": "2d", "of": "y"}}, "needs a column"),
        ({"column": "x", "drift": {"reference": "x >"}}, "x >"),
    ],
)
def test_words_that_do_not_go_together(check: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Expect.model_validate({"checks": [check]})


def test_columns_that_are_missing_are_told() -> None:
    rows = pl.DataFrame({"x": [1], "day": ["2024-01-01"]})
    with pytest.raises(ConfigurationError, match="Did you mean 'day'"):
        one(rows, column="x", batch={"by": "dya"})
    with pytest.raises(ConfigurationError, match="No column is called 'old'"):
        one(rows, column="x", drift={"reference": "old = 1"})


def test_batches_by_decimal_numbers_come_by_size() -> None:
    at = [float(n) for n in range(1, 13) for _ in range(20 if n == 12 else 100)]
    found = one(pl.DataFrame({"n": [*at, math.nan, math.inf, None]}), 300, batch={"by": "n"})
    assert (found.passed, "last batch, 12.0, is 20; the median of 11 before is 100" in found.why) == (False, True)


@pytest.mark.parametrize("values", [[b"\xff"] * 9, [dt.timedelta(1)] * 9])
def test_what_has_no_text_is_told(values: list[Any]) -> None:
    rows = pl.DataFrame({"c": values, "n": range(9)})
    for check in ({"column": "c", "drift": {"reference": "n < 4"}}, {"batch": {"by": "c"}}):
        with pytest.raises(ConfigurationError, match=r"Column 'c' holds (Binary|Duration).*no text"):
            one(rows, **check)
