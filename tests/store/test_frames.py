"""Frames as bytes: what goes in comes out, in both ways of writing, whole and in part."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from tillage.core.rows import ID, Halves, only, to_storage
from tillage.store import frames

KINDS: list[Any] = [
    pl.Int64,
    pl.Float64,
    pl.String,
    pl.Boolean,
    pl.Date,
    pl.Datetime("us", "UTC"),
    pl.Binary,
    pl.Duration("us"),
]


def many(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sample(frames.FEW + 1, with_replacement=True, seed=1) if frame.height else frame


@given(dataframes(allowed_dtypes=KINDS, max_cols=5, max_size=20), st.booleans())
def test_a_frame_comes_back(frame: pl.DataFrame, large: bool) -> None:
    row_ids = pl.Series(ID, [(n * 7919) << 90 | n for n in range(frame.height)], dtype=pl.UInt128)
    places = pl.Series("_record", [n * 2**63 // 3 % 2**64 for n in range(frame.height)], dtype=pl.UInt64)
    holes = pl.Series("_hole", [n if n % 2 else None for n in range(frame.height)], dtype=pl.UInt64)
    frame = frame.select(pl.all().name.map(lambda n: f"c{n}")).with_columns(row_ids, places)
    given = many(frame.with_columns(holes)) if large else frame
    data, suffix = frames.packed(given)
    name = f"x.{suffix}"
    bare = not any(column.null_count() for column in given.iter_columns())
    assert suffix == ("arrow" if bare and given.height <= frames.FEW else "parquet")
    assert_frame_equal(frames.unpacked(data, name), given)
    some = given.columns[::2]
    assert_frame_equal(frames.unpacked(data, name, some), given.select(some))
    assert_frame_equal(frames.unpacked(data, name, but=ID), given.drop(ID))
    assert_frame_equal(frames.halves(bytes(data), name), to_storage(given))
    assert_frame_equal(
        frames.halves(bytes(data), name, [f"{ID}:lo", f"{ID}:hi"]).select(f"{ID}:lo", f"{ID}:hi"),
        to_storage(given.select(ID)),
    )
    assert_frame_equal(frames.halves(bytes(data), name, ["_record"]), given.select("_record"))
    wanted = pl.concat([row_ids[1::3], pl.Series(ID, [1], dtype=pl.UInt128)])
    assert_frame_equal(frames.some(data, name, wanted), only(given, wanted))


def test_places_that_rise_by_one_take_no_room() -> None:
    places = pl.Series("_record", range(1 << 40, (1 << 40) + 50_000), dtype=pl.UInt64)
    data, suffix = frames.packed(places.to_frame())
    assert len(data) < 1000
    assert frames.unpacked(data, f"x.{suffix}")["_record"].equals(places)
    users, _ = frames.packed(places.rename("record").to_frame())
    assert pq.read_table(BytesIO(users))["record"].to_pylist() == places.to_list()


LONG = "a secret that is long enough to stand in a buffer"
SECRETS = [
    pl.Series("x", [LONG, *["b"] * 2000]),
    pl.Series("x", [LONG.encode(), *[b"b"] * 2000]),
    pl.Series("x", [[LONG], *[["b"]] * 2000]),
    pl.Series("x", [int.from_bytes(b"a secret"), *[1] * 2000]),
    pl.Series("x", [int.from_bytes(b"a secret, hidden"), *[1] * 2000], dtype=pl.UInt128),
]


@pytest.mark.parametrize("column", SECRETS, ids=["text", "bytes", "list", "number", "id"])
@pytest.mark.parametrize("how", ["sliced", "filtered", "masked", "set"])
def test_nothing_is_written_but_what_is_shown(column: pl.Series, how: str) -> None:
    """A text of a row that was taken out, a value under a null: both stay in Polars' buffers, neither in ours."""
    whole = column.to_frame()
    first = pl.Series([True, *[False] * 2000])
    if how == "sliced":
        frame = whole[1:]
    elif how == "filtered":
        frame = whole.filter(~first)
    elif how == "masked":
        frame = whole.with_columns(pl.when(~first).then("x"))
    else:
        frame = whole.with_columns(pl.when(first).then(None).otherwise("x").alias("x"))
    data, suffix = frames.packed(frame)
    stored = frames.unpacked(bytes(data), f"x.{suffix}")
    assert stored.equals(frame)
    buffer = BytesIO()
    stored.write_ipc_stream(buffer, compression="uncompressed")
    for written in (bytes(data), buffer.getvalue()):
        assert b"secret" not in written
        assert b"secret"[::-1] not in written


def test_others_can_open_what_is_large() -> None:
    frame = pl.DataFrame({ID: pl.Series([2**100] * (frames.FEW + 1), dtype=pl.UInt128), "n": 1})
    data, _ = frames.packed(frame)
    table = pq.read_table(BytesIO(data))
    assert table.column_names == [f"{ID}:lo", f"{ID}:hi", "n"]
    assert table[f"{ID}:hi"][0].as_py() == 2**36


@pytest.mark.parametrize("rows", [3, frames.FEW + 1])
def test_a_column_that_is_not_there_says_so(rows: int) -> None:
    data, suffix = frames.packed(pl.DataFrame({ID: pl.Series(range(rows), dtype=pl.UInt128)}))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        frames.unpacked(data, f"x.{suffix}", ["other"])


@pytest.mark.parametrize("rows", [1, 20_000])
def test_halves_that_are_at_hand_give_the_same_bytes(rows: int) -> None:
    draw = np.random.default_rng(rows)
    made = Halves(*(pl.Series(draw.integers(0, 2**64, rows, dtype=np.uint64)) for _ in range(2)))
    frame = pl.DataFrame([made.joined(), made.joined().alias("_into") ^ 1, made.lo.alias("n")])
    one, other = frames.packed(frame, made), frames.packed(frame)
    assert bytes(one[0]) == bytes(other[0])
    assert frames.unpacked(one[0], f"x.{one[1]}").equals(frame)
