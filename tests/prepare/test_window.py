"""Window against nested loops over exact fractions."""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import BadData, ConfigurationError
from tillage.core.keys import hash_text
from tillage.prepare import Window
from tillage.prepare.window import read_look

LOOKS = {
    "lag1": "lag(s, 1)", "lag2": "lag(x, 2)", "count": "count(x, 4)", "total": "sum(x, 3 rows)", "mean": "mean(x, 4)",
    "least": "min(x, 5 rows)", "most": "max(n, 3)", "whole": "sum(n, 2 rows)", "half": "mean(n, 2)",
    "few": "min(n, 1 row)",
}  # fmt: skip
FLOATS = (
    st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.1, 0.2, 1e16, -1e16, math.nan, math.inf, -math.inf, -0.0])
)
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 9), FLOATS, st.none() | st.integers(-9, 9)), max_size=14
)
SCHEMA = {"k": pl.String, "t": pl.Int64, "x": pl.Float64, "n": pl.Int64}


def frame(rows: list[Any]) -> pl.DataFrame:
    made = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return made.with_columns(
        _id=pl.int_range(pl.len()).cast(pl.UInt128), s=pl.col("n").cast(pl.String), row=pl.int_range(pl.len())
    )


def looked(rows: pl.DataFrame, looks: dict[str, str], time: str = "t") -> list[dict[str, Any]]:
    step = Window(by=("k",), time=time, columns=looks)
    keyed = rows.with_columns(hash_text(rows, step.key(rows, "rows")).alias("_key"))
    return step.apply({"rows": keyed}).sort("row").select(*looks).to_dicts()


def oracle(rows: list[Any], place: int, text: str) -> Any:
    look = read_look(text)
    key, time = rows[place][:2]
    seen = [
        (r[1], i, {"x": r[2], "n": r[3], "s": None if r[3] is None else str(r[3])}[look.column])
        for i, r in enumerate(rows)
        if time is not None and r[0] == key and r[1] is not None and r[1] < time
    ]
    seen.sort(key=lambda s: s[:2])
    if look.function == "lag":
        return seen[-int(look.rows or 0)][2] if len(seen) >= int(look.rows or 0) else None
    reach = seen[-look.rows :] if look.rows else [s for s in seen if s[0] >= time - int(look.length or 0)]
    values = [v for _, _, v in reach if v is not None]
    if look.function == "count":
        return len(values)
    if look.function in {"min", "max"}:
        numbers = [v for v in values if not math.isnan(v)]
        return (min if look.function == "min" else max)(numbers) if numbers else None
    if not values:
        return 0 if look.function == "sum" else None
    if all(math.isfinite(v) for v in values):
        exact = sum(map(Fraction, values), Fraction(0)) / (len(values) if look.function == "mean" else 1)
        return float(exact)
    return sum(v for v in values if not math.isfinite(v))


@settings(max_examples=250, deadline=None)
@given(ROWS)
def test_as_nested_loops(rows: list[Any]) -> None:
    for place, got in enumerate(looked(frame(rows), LOOKS)):
        for name, text in LOOKS.items():
            expected = oracle(rows, place, text)
            same = got[name] == expected or repr(got[name]) == repr(expected) == "nan"
            assert same, (place, text, got[name], expected)


def test_lengths_of_time() -> None:
    days = [dt.date(2024, 1, d) for d in (1, 2, 8, 9, 31)]
    rows = frame([("a", i, float(10**i), i) for i in range(5)]).with_columns(t=pl.Series(days))
    assert [r["w"] for r in looked(rows, {"w": "sum(n, 1w)"})] == [0, 0, 1, 3, 0]
    times = rows.with_columns(pl.col("t").cast(pl.Datetime("ms", "UTC")))
    for length, expected in (("7d", [0, 0, 1, 3, 0]), ("168h", [0, 0, 1, 3, 0]), ("167h", [0, 0, 1, 2, 0])):
        assert [r["w"] for r in looked(times, {"w": f"sum(n, {length})"})] == expected
    assert [r["w"] for r in looked(times, {"w": "sum(n, 86400s)"})] == [0, 0, 0, 2, 0]


def test_columns_and_types() -> None:
    rows = frame([("a", 1, 0.5, 1), ("a", 2, 1.5, 2)])
    step = Window(by=("k",), time="t", columns={"x": "mean(n, 1 row)", "d": "lag(x, 1)"})
    out = step.apply({"rows": rows.with_columns(_key=1)})
    assert out.columns == ["_key", "k", "t", "x", "n", "s", "row", "d"]
    assert out.select("x", "d").rows() == [(None, None), (1.0, 0.5)]
    nulls = rows.with_columns(n=pl.lit(None))
    got = looked(nulls, {"a": "sum(n, 9)", "b": "mean(n, 9)", "c": "max(n, 9)", "d": "count(n, 9)"})
    assert got == [{"a": 0, "b": None, "c": None, "d": 0}] * 2
    big = frame([("a", -(2**63), 0.5, 2**62), ("a", 5, 0.5, 2**62), ("a", 2**63 - 1, 1.0, 0)])
    assert [r["c"] for r in looked(big, {"c": "count(n, 100)"})] == [0, 0, 0]
    with pytest.raises(BadData, match="beyond 64-bit"):
        looked(big, {"c": "sum(n, 2 rows)"})
    assert looked(frame([]), LOOKS) == []


def test_complaints() -> None:
    rows = frame([("a", 1, 0.5, 1)])
    with pytest.raises(ConfigurationError, match="Column 's' holds String, of which there is no sum"):
        looked(rows, {"c": "sum(s, 2 rows)"})
    with pytest.raises(ConfigurationError, match="does not order rows in time"):
        looked(rows, {"c": "lag(x, 1)"}, time="s")
    with pytest.raises(ConfigurationError, match="is a bare number, not '7d'"):
        looked(rows, {"c": "sum(x, 7d)"})
    with pytest.raises(ConfigurationError, match="No column is called 'y'"):
        looked(rows, {"c": "lag(y, 1)"})
    for wrong, message in (
        ("lag(x)", "not of the form"), ("med(x, 1)", "No function is called 'med'"),
        ("lag(x, 7d)", "looks back by rows"), ("sum(x, 0)", "no length of time"),
        ("sum(x, 0 rows)", "no number of rows"), ("sum(x, soon)", "no length of time"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=message):
            Window(by=("k",), time="t", columns={"c": wrong})
    with pytest.raises(ValidationError, match="orders or groups the rows"):
        Window(by=("k",), time="t", columns={"t": "lag(x, 1)"})
    step = Window.example()
    assert Window.model_validate(step.params()) == step


def test_a_time_beyond_64_bits_is_told() -> None:
    rows = frame([("a", 1, 1.0, 1), ("a", 2, 2.0, 2)]).with_columns(t=pl.Series([1, 2**63], dtype=pl.UInt64))
    with pytest.raises(BadData, match="'t' orders rows in time and holds 9223372036854775808"):
        looked(rows, {"last": "lag(x, 1)"})
