"""Join against nested loops, and in a project against a rebuild."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.keys import hash_text
from tillage.prepare import Join

KEYS = st.none() | st.sampled_from(["a", "b", "c"])
TIMES = st.none() | st.integers(0, 12)
ROWS = st.lists(st.tuples(KEYS, TIMES, st.integers(0, 99)), max_size=12)


def frame(
    rows: list[Any], names: tuple[str, ...] = ("k", "t", "v"), start: int = 0, time: Any = pl.Int64
) -> pl.DataFrame:
    schema = dict(zip(names, (pl.String, time, pl.Int64), strict=True))
    ids = pl.Series("_id", range(start, start + len(rows)), dtype=pl.UInt128)
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(ids)


def joined(step: Join, left: pl.DataFrame, right: pl.DataFrame) -> list[Any]:
    ports = {"left": left, "right": right}
    keyed = {p: rows.with_columns(hash_text(rows, step.key(rows, p)).alias("_key")) for p, rows in ports.items()}
    out = step.apply(keyed)
    assert "_id" not in out.columns
    assert set(out["_key"]) <= set(keyed["left"]["_key"])
    return sorted(out.drop("_key").rows(), key=repr)


@settings(max_examples=150, deadline=None)
@given(left=ROWS, right=ROWS, how=st.sampled_from(["left", "inner"]))
def test_plain_joins_as_nested_loops(left: list[Any], right: list[Any], how: str) -> None:
    expected = []
    for k, t, v in left:
        partners = [(t2, v2) for k2, t2, v2 in right if k is not None and k == k2]
        expected += [(k, t, v, *p) for p in partners] or ([(k, t, v, None, None)] if how == "left" else [])
    step = Join.model_validate({"on": ["k"], "right_on": ["key"], "how": how})
    got = joined(step, frame(left), frame(right, ("key", "when", "v"), 100))
    assert got == sorted(expected, key=repr)


@settings(max_examples=250, deadline=None)
@given(left=ROWS, right=ROWS, how=st.sampled_from(["left", "inner"]), within=st.none() | st.integers(1, 6))
def test_as_of_a_time_as_nested_loops(left: list[Any], right: list[Any], how: str, within: int | None) -> None:
    expected = []
    for k, t, v in left:
        best = None
        for place, (k2, t2, v2) in enumerate(right):
            known = k is not None and k == k2 and t is not None and t2 is not None and t2 <= t
            if known and (within is None or t - t2 <= within) and (best is None or (t2, place) >= best[:2]):
                best = (t2, place, v2)
        if best is not None or how == "left":
            expected.append((k, t, v, best and best[2]))
    given = {"on": ["k"], "as_of": "t", "how": how, "within": within and str(within)}
    got = joined(Join.model_validate(given), frame(left), frame(right, start=100))
    assert got == sorted(expected, key=repr)


def test_dates_and_names() -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(10)]
    left = frame([("a", days[5], 1), ("a", days[9], 2)], time=pl.Date)
    right = frame([("a", days[2], 7), ("a", days[6], 8)], ("k", "since", "v"), 100, pl.Date)
    step = Join(on=("k",), as_of="t", right_as_of="since", take=("since", "v"), within="3d")
    assert joined(step, left, right) == [("a", days[9], 2, days[6], 8), ("a", days[5], 1, days[2], 7)]
    short = Join(on=("k",), as_of="t", right_as_of="since", within="2d")
    assert [row[-1] for row in joined(short, left, right)] == [None, None]
    times = (
        left.with_columns(pl.col("t").cast(pl.Datetime("us"))),
        right.with_columns(pl.col("since").cast(pl.Datetime("us"))),
    )
    hours = Join(on=("k",), as_of="t", right_as_of="since", within="71h")
    assert [row[-1] for row in joined(hours, *times)] == [None, None]
    hours = Join(on=("k",), as_of="t", right_as_of="since", within="72h")
    assert [row[-1] for row in joined(hours, *times)] == [8, 7]


def test_complaints() -> None:
    left, right = frame([("a", 1, 1)]), frame([("a", 1, 1)], start=9)
    with pytest.raises(ConfigurationError, match="No column is called 'w'"):
        joined(Join(on=("k",), take=("w",)), left, right)
    with pytest.raises(ConfigurationError, match="makes a column 'v_right', and there is one"):
        joined(Join(on=("k",)), left.with_columns(v_right=1), right)
    with pytest.raises(ConfigurationError, match="holds String, which does not order rows in time"):
        joined(Join(on=("k",), as_of="k"), left, right)
    with pytest.raises(ConfigurationError, match="which do not compare"):
        joined(Join(on=("k",), as_of="t"), left, right.with_columns(t=pl.lit(dt.date(2024, 1, 1))))
    with pytest.raises(ConfigurationError, match="a length of it is a bare number, not '3d'"):
        joined(Join(on=("k",), as_of="t", within="3d"), left, right)
    for wrong, message in (
        ({"right_on": ["a", "b"]}, "'right_on' names 2"), ({"within": "3d"}, "need 'as_of'"),
        ({"as_of": "t", "within": "soon"}, "no length of time"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=message):
            Join.model_validate({"on": ["k"], **wrong})
    step = Join.example()
    assert Join.model_validate(step.params()) == step


@pytest.mark.parametrize(
    ("left", "right", "fits"),
    [
        (pl.Int64(), pl.Float64(), False),
        (pl.Date(), pl.Datetime("us", "UTC"), False),
        (pl.Datetime("us"), pl.Datetime("ns"), False),
        (pl.Boolean(), pl.Int64(), False),
        (pl.Int64(), pl.Int32(), True),
        (pl.Int64(), pl.String(), True),
        (pl.Null(), pl.Float64(), True),
    ],
)
def test_keys_that_are_never_written_alike_are_an_error(left: pl.DataType, right: pl.DataType, fits: bool) -> None:
    ones = pl.DataFrame({"k": pl.Series([None if left == pl.Null else 1]).cast(left), "v": [1]})
    other = pl.DataFrame({"key": pl.Series([1]).cast(right), "w": [2]})
    ones, other = (rows.with_columns(_id=pl.lit(n, pl.UInt128)) for n, rows in enumerate((ones, other)))
    step = Join(on=("k",), right_on=("key",))
    if fits:
        assert joined(step, ones, other)[0][-1] == (None if left == pl.Null else 2)
    else:
        with pytest.raises(ConfigurationError, match=r"'k' holds .* and 'key' of the right table .* never written"):
            joined(step, ones, other)
