"""Aggregate against SQLite for whole numbers and texts, and against exact fractions for floats."""

from __future__ import annotations

import math
import sqlite3
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import BadData, ConfigurationError
from tillage.prepare import Aggregate
from tillage.prepare.aggregate import expansion, read_call

ALL = {
    "rows": "count()", "c": "count(v)", "s": "sum(v)", "a": "mean(v)", "lo": "min(v)", "hi": "max(v)",
    "u": "n_unique(v)",
}  # fmt: skip


def keyed(frame: pl.DataFrame, *by: str) -> pl.DataFrame:
    return frame.with_columns(_key=pl.struct(by).rank("dense").cast(pl.UInt128))


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "北京"]),
            st.none() | st.integers(-5, 5) | st.integers(-(2**40), 2**40),
            st.none() | st.text("xyz", max_size=2),
        ),
        max_size=30,
    )
)
def test_whole_numbers_and_texts_against_sqlite(data: list[tuple[str, int | None, str | None]]) -> None:
    rows = pl.DataFrame(data, schema={"k": pl.String, "v": pl.Int64, "t": pl.String}, orient="row")
    step = Aggregate(by=("k",), columns={**ALL, "t0": "min(t)", "t1": "max(t)", "tu": "n_unique(t)"})
    got = step.apply({"rows": keyed(rows, "k")}).drop("_key").sort("k").rows()
    db = sqlite3.connect(":memory:")
    db.execute("create table r (k text, v integer, t text)")
    db.executemany("insert into r values (?, ?, ?)", data)
    want = db.execute(
        "select k, count(*), count(v), coalesce(sum(v), 0), null, min(v), max(v), count(distinct v), min(t), max(t), "
        "count(distinct t) from r group by k order by k"
    ).fetchall()
    db.close()
    means = {k: [v for key, v, _ in data if key == k and v is not None] for k, *_ in want}
    assert got == [(*w[:4], sum(means[w[0]]) / len(means[w[0]]) if means[w[0]] else None, *w[5:]) for w in want]


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(finite | st.sampled_from([0.1, 1e16, -1e16, 1e-300, 1e308, -1e308]), min_size=1), r=st.randoms())
def test_float_sums_are_exact_whatever_the_order(values: list[float], r: object) -> None:
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        want = float(exact)
    except OverflowError:
        want = math.inf if exact > 0 else -math.inf
    step = Aggregate(by=("k",), columns={"s": "sum(v)", "a": "mean(v)"})
    shuffled = list(values)
    r.shuffle(shuffled)  # type: ignore[attr-defined]
    outs = [
        step.apply({"rows": keyed(pl.DataFrame({"k": ["a"] * len(vs), "v": vs}), "k")})
        for vs in (values, shuffled, sorted(values))
    ]
    assert outs[0]["s"].item() == want
    assert outs[0].equals(outs[1])
    assert outs[0].equals(outs[2])
    assert math.isclose(outs[0]["a"].item(), float(exact / len(values)), rel_tol=1e-15, abs_tol=5e-324)


def test_what_is_not_finite_adds_up_as_usual() -> None:
    inf, nan = math.inf, math.nan
    rows = pl.DataFrame(
        {"k": ["a", "a", "b", "b", "c", "c", "d", "e"], "v": [inf, 1.0, inf, -inf, nan, 2.0, None, nan]}
    )
    out = Aggregate(by=("k",), columns=ALL).apply({"rows": keyed(rows, "k")}).fill_nan(777.0)
    assert out["s"].to_list() == [inf, 777.0, 777.0, 0.0, 777.0]
    assert out["a"].to_list() == [inf, 777.0, 777.0, None, 777.0]
    assert out["lo"].to_list() == [1.0, -inf, 2.0, None, 777.0]
    assert out["hi"].to_list() == [inf, inf, 2.0, None, 777.0]
    assert out["u"].to_list() == [2, 2, 2, 0, 1]


def test_zero_has_one_sign() -> None:
    rows = pl.DataFrame({"k": [-0.0, 0.0], "v": [0.0, -0.0], "_key": [7, 7]}, schema_overrides={"_key": pl.UInt128})
    step = Aggregate(by=("k",), columns=ALL)
    for frame in (rows, rows[::-1]):
        out = step.apply({"rows": frame})
        assert [math.copysign(1, out[c].item()) for c in ("k", "s", "lo", "hi")] == [1, 1, 1, 1]
        assert out["u"].item() == 1


def test_keys_taken_apart_give_the_same() -> None:
    rows = pl.DataFrame({"k": [i % 5 for i in range(50)], "v": [math.sin(i) for i in range(50)]})
    rows = keyed(rows, "k")
    step = Aggregate(by=("k",), columns=ALL)
    whole = step.apply({"rows": rows})
    apart = pl.concat([step.apply({"rows": rows.filter(pl.col("k") % 2 == side)}) for side in (1, 0)]).sort("_key")
    assert whole.equals(apart)
    assert step.apply({"rows": rows.sample(fraction=1, shuffle=True, seed=1)}).equals(whole)
    assert whole.columns == ["_key", "k", *ALL]
    assert whole["_key"].dtype == pl.UInt128


def test_sums_of_small_and_large_integers() -> None:
    small = pl.DataFrame({"k": ["a"] * 3, "v": [100, 100, 100]}, schema_overrides={"v": pl.Int8})
    assert Aggregate(by=("k",), columns=ALL).apply({"rows": keyed(small, "k")})["s"].to_list() == [300]
    for bound in (2**63 - 1, -(2**63)):
        edge = keyed(pl.DataFrame({"k": ["a"] * 2, "v": [bound, 0]}), "k")
        assert Aggregate(by=("k",), columns={"s": "sum(v)"}).apply({"rows": edge})["s"].item() == bound
        beyond = keyed(pl.DataFrame({"k": ["a"] * 2, "v": [bound, bound]}), "k")
        assert Aggregate(by=("k",), columns={"a": "mean(v)"}).apply({"rows": beyond})["a"].item() == float(bound)
        with pytest.raises(BadData, match=r"sum\(v\) in column 's' .* beyond 64-bit"):
            Aggregate(by=("k",), columns={"s": "sum(v)"}).apply({"rows": beyond})


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    texts = {**Aggregate.example().columns, "texts": "n_unique(text)"}
    step = Aggregate(by=("city",), columns=texts)
    full = step.apply({"rows": keyed(rows, "city")})
    key = pl.lit(None, dtype=pl.UInt128).alias("_key")
    assert step.apply({"rows": empty.with_columns(key)}).schema == full.schema
    out = step.apply({"rows": keyed(nothing, "city")})
    assert out.select("rows", "known", "total", "average", "texts").row(0) == (6, 0, 0, None, 0)
    assert step.key(rows, "rows") == ("city",)
    assert set(step.needs()) == {"city", "x", "n", "text", "day"}
    with pytest.raises(ConfigurationError, match=r"'cty'. Did you mean 'city'"):
        Aggregate(by=("cty",), columns={"n": "count()"}).key(rows, "rows")
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and this step needs numbers"):
        Aggregate(by=("city",), columns={"n": "mean(text)"}).apply({"rows": keyed(rows, "city")})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=9, max_size=40))
def test_an_expansion_has_the_exact_sum_of_what_it_stands_for(values: list[float]) -> None:
    short = expansion(values)
    assert sum(map(Fraction, short)) == sum(map(Fraction, values))
    assert short == values or len(short) < len(values)
    other = expansion(values[::-1])
    assert short == other or values in (short, other[::-1])  # an order that goes beyond the largest float stays


def test_what_is_not_finite_stands_for_all() -> None:
    assert expansion([1.0] * 9 + [math.inf, math.inf]) == [math.inf]
    assert expansion([math.inf, -math.inf, *[2.0] * 8]) == [-math.inf, math.inf]
    assert str(expansion([math.nan] * 3 + [0.5] * 8)) == "[nan]"
    huge = [1.7e308] * 9 + [-1.7e308] * 9
    assert sum(map(Fraction, expansion(huge))) == 0


def test_calls_are_read_strictly() -> None:
    assert read_call(' sum ( "blood (mm)" ) ') == ("sum", "blood (mm)")
    assert read_call("count( )") == ("count", "")
    assert read_call("max(体温)") == ("max", "体温")
    for text in ("sum", "sum()", "sum(a) + 1", "sum(a))", "SUM(a)", "eval(a)", ""):
        with pytest.raises(ValueError, match=r"function|form|needs a column"):
            read_call(text)
    with pytest.raises(ValidationError, match="Did you mean 'count'"):
        Aggregate(by=("a",), columns={"n": "cuont(b)"})
    with pytest.raises(ValidationError, match="'a' is a column of 'by' and of 'columns'"):
        Aggregate(by=("a",), columns={"a": "count()"})
