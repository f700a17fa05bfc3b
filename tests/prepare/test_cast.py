"""Cast against Python's own readings of the same values."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import Cast


def cast(values: list[Any], to: str, dtype: Any = pl.String) -> list[tuple[Any, ...]]:
    out = Cast.model_validate({"columns": {"v": to}}).apply(pl.DataFrame({"v": pl.Series(values, dtype=dtype)}))
    null = Cast.model_validate({"columns": {"v": to}, "failing": "null"}).apply(
        pl.DataFrame({"v": pl.Series(values, dtype=dtype)})
    )
    assert null.columns == ["v"]
    assert null["v"].to_list() == out["v"].to_list()
    return out.rows()


def test_texts() -> None:
    bad = (None, "not_int64")
    assert cast(["007", " +5 ", "-3", "12.0", "4.", "", " ", None], "int64") == [
        (v, None) for v in (7, 5, -3, 12, 4, None, None, None)
    ]
    for text in ("1.5", "1e3", "0x1", "1_000", "1,000", "\u0663", "9223372036854775808", "nan", "a", "--1"):
        assert cast([text], "int64") == [bad], text
    assert cast(["9223372036854775807"], "int64") == [(2**63 - 1, None)]
    assert cast(["1.5", "1e3", ".5", "-2"], "float64") == [(v, None) for v in (1.5, 1000.0, 0.5, -2.0)]
    for text in ("nan", "inf", "1e999", "1,5", "1_0", "."):
        assert cast([text], "float64") == [(None, "not_float64")], text
    assert cast(["Yes", "0", "TRUE", "no", "maybe", ""], "bool") == [
        (True, None), (False, None), (True, None), (False, None), (None, "not_bool"), (None, None),
    ]  # fmt: skip
    assert cast([" a "], "text") == [(" a ", None)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**70), 2**70) | st.integers(-99, 99), max_size=8))
def test_integers_written_out(values: list[int]) -> None:
    fits = [-(2**63) <= v < 2**63 for v in values]
    expected = [(v, None) if ok else (None, "not_int64") for v, ok in zip(values, fits, strict=True)]
    assert cast([str(v) for v in values], "int64") == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63).map(float), max_size=8))
def test_floats(values: list[float]) -> None:
    assert cast([repr(v) for v in values], "float64") == [(v, None) for v in values]
    whole = [v.is_integer() and -(2**63) <= v < 2**63 for v in values]
    expected = [(int(v), None) if ok else (None, "not_int64") for v, ok in zip(values, whole, strict=True)]
    assert cast(values, "int64", pl.Float64) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2), max_size=8))
def test_integers_as_floats(values: list[int]) -> None:
    expected = [(float(v), None) if abs(v) <= 2**53 else (None, "not_float64") for v in values]
    assert cast(values, "float64", pl.Int64) == expected


def test_between_types() -> None:
    assert cast([1, 0, 2, None], "bool", pl.Int64) == [(True, None), (False, None), (None, "not_bool"), (None, None)]
    assert cast([math.nan, math.inf, 2.0], "int64", pl.Float64) == [(None, None), (None, "not_int64"), (2, None)]
    assert cast([True, None], "int64", pl.Boolean) == [(1, None), (None, None)]
    assert cast([True], "text", pl.Boolean) == [("true", None)]
    assert cast([2**64 - 1, 5], "int64", pl.UInt64) == [(None, "not_int64"), (5, None)]
    assert cast([Decimal("1.50"), Decimal("2.00")], "int64", pl.Decimal(9, 2)) == [(None, "not_int64"), (2, None)]
    moment = dt.datetime(2024, 1, 5, 23, tzinfo=dt.UTC)
    assert cast([moment], "date", pl.Datetime("us", "UTC")) == [(moment.date(), None)]
    assert cast([moment.date()], "datetime", pl.Date) == [(moment.replace(hour=0), None)]
    assert cast(["2024-01-05", "5.1.24"], "date") == [(moment.date(), None), (None, "not_date")]
    assert cast(["2024-01-06T07:00:00+08:00"], "datetime") == [(moment, None)]


def test_the_first_column_that_fails_gives_the_reason() -> None:
    rows = pl.DataFrame({"a": ["1", "x", "x"], "b": ["y", "2024-01-05", "y"]})
    out = Cast(columns={"b": "date", "a": "int64"}).apply(rows)
    assert out["_reason"].to_list() == ["not_date", "not_int64", "not_date"]


def test_nothing(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    for frame in (nothing, empty):
        for to in ("int64", "float64", "text", "bool", "date", "datetime"):
            out = Cast.model_validate({"columns": {"text": to}}).apply(frame)
            assert out["text"].null_count() == frame.height
            assert out["_reason"].null_count() == frame.height


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, of which nothing can be made date"):
        Cast(columns={"n": "date"}).apply(rows)
    with pytest.raises(ConfigurationError, match="Did you mean 'text'"):
        Cast(columns={"txt": "int64"}).apply(rows)
    with pytest.raises(ValidationError, match="int64"):
        Cast.model_validate({"columns": {"n": "integer"}})
    step = Cast.example()
    assert Cast.model_validate(step.params()) == step


def test_the_other_zero_is_written_as_the_one() -> None:
    rows = pl.DataFrame({"x": [0.0, -0.0, -1.5]})
    assert Cast(columns={"x": "text"}).apply(rows)["x"].to_list() == ["0.0", "0.0", "-1.5"]
