"""The columns that are ours, rows that leave, and 128 bits kept in two columns."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.core import rows as r

WIDE = st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, 2**64 - 1, 2**64, 2**127, 2**128 - 1])


@given(st.lists(WIDE | st.none(), min_size=1))
def test_the_halves_make_the_whole(numbers: list[int | None]) -> None:
    frame = pl.DataFrame({"_id": pl.Series(numbers, dtype=pl.UInt128)})
    halves = frame.select(lo=r.low("_id"), hi=r.high("_id"))
    assert halves.schema == {"lo": pl.UInt64, "hi": pl.UInt64}
    assert halves["lo"].to_list() == [None if n is None else n & (2**64 - 1) for n in numbers]
    assert halves["hi"].to_list() == [None if n is None else n >> 64 for n in numbers]
    assert halves.select(r.wide(pl.col("lo"), pl.col("hi")).alias("w"))["w"].to_list() == numbers


@given(st.lists(st.tuples(WIDE, st.none() | WIDE, st.text(max_size=3)), max_size=5))
def test_storage_and_back(values: list[tuple[int, int | None, str]]) -> None:
    frame = pl.DataFrame(
        values, schema={"_id": pl.UInt128, "_parent": pl.UInt128, "text": pl.String}, orient="row"
    ).with_columns(n=pl.lit(1, dtype=pl.Int8))
    stored = r.to_storage(frame)
    assert stored.columns == ["_id:lo", "_id:hi", "_parent:lo", "_parent:hi", "text", "n"]
    assert pl.UInt128 not in stored.dtypes
    assert r.from_storage(stored).equals(frame)
    assert r.from_storage(stored).schema == frame.schema


def test_the_first_reason_stays() -> None:
    frame = pl.DataFrame({"_id": r.ids([1, 2, 3, 4]), "n": [1, -1, None, -5]})
    once = r.leave(frame, "negative", pl.col("n") < 0)
    assert once["_reason"].to_list() == [None, "negative", None, "negative"]  # null is no reason to leave
    twice = r.leave(once, "small", pl.col("n") < 3)
    assert twice["_reason"].to_list() == ["small", "negative", None, "negative"]
    assert "_reason" not in frame.columns
    assert r.leave(frame, "none", pl.lit(value=False))["_reason"].dtype == pl.String


def test_split_parts_those_that_stay_from_those_that_leave() -> None:
    frame = pl.DataFrame({"_id": r.ids([1, 2, 3]), "n": [1, 2, 3], "_into": r.ids([0, 1, 0])})
    marked = r.leave(frame, r.MERGED, pl.col("n") == 2)
    stay, left = r.split_left(marked)
    assert stay.columns == ["_id", "n"]
    assert stay["n"].to_list() == [1, 3]
    assert left.select("_id", "_reason", "_into").rows() == [(2, "merged", 1)]
    stay, left = r.split_left(frame)
    assert (stay.columns, stay.height) == (["_id", "n"], 3)
    assert left.is_empty()
    assert left.schema["_reason"] == pl.String


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20)))
def test_only_and_without_part_the_rows_and_keep_their_order(have: list[int], wanted: list[int]) -> None:
    frame = pl.DataFrame({"_id": r.ids(have), "n": pl.Series(have, dtype=pl.Int64)})
    for name in ("_id", "other"):
        assert r.only(frame, r.ids(wanted).rename(name))["n"].to_list() == [n for n in have if n in wanted]
        assert r.without(frame, r.ids(wanted).rename(name))["n"].to_list() == [n for n in have if n not in wanted]


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), min_size=1, max_size=4))
def test_distinct_ids_are_each_there_once_be_they_few_or_many(lists: list[list[int]]) -> None:
    found = r.distinct([r.ids(values) for values in lists])
    assert found.dtype == pl.UInt128
    assert found.name == "_id"
    assert sorted(found.to_list()) == (sorted({n for values in lists for n in values}) if any(lists) else [])


def test_columns_of_the_user() -> None:
    frame = pl.DataFrame({name: [1] for name in (*r.RESERVED, "b", "a", "_key")})
    assert r.user_columns(frame) == ["b", "a"]
    assert r.ids().dtype == pl.UInt128
    with pytest.raises(OverflowError):
        r.ids([2**128])


def test_columns_are_dropped_from_any_frame() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None], "_reason": [None, "y"]})
    for names in ((), ("a",), ("_reason", "none of it"), ("b", "a"), ("a", "b", "_reason")):
        for rows in (frame, frame.clear(), frame[:1]):
            kept = r.drop_columns(rows, *names)
            assert kept.equals(rows.select([c for c in rows.columns if c not in names]))
            assert kept.schema == {c: t for c, t in rows.schema.items() if c not in names}
