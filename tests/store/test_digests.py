"""Digests: blind to chunking and order, and to nothing else; the same in every version of the libraries.

Mutations caught: digests: half of `_id` left out of the hash; the row count or the schema left out of `table_digest`;
only the lower halves summed; the carry of a limb lost; the seed of the hash changed. (`_canonical` may be left out
unnoticed with polars-hash 0.9, which makes one NaN and one zero itself.)
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.core.rows import ID, ids
from tillage.store.digests import FEW, MODULUS, content_hashes, row_hashes, row_sum, table_digest

COLUMNS = {"text": pl.String, "n": pl.Int64, "x": pl.Float64, "yes": pl.Boolean, "day": pl.Date}
ROW = st.tuples(
    st.integers(0, 2**128 - 1),
    st.none() | st.text(max_size=4),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(),
    st.none() | st.booleans(),
    st.none() | st.dates(),
)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={ID: pl.UInt128, **COLUMNS}, orient="row")


@given(st.lists(ROW, max_size=30), st.randoms(use_true_random=False), st.lists(st.integers(0, 30), max_size=4))
def test_order_and_chunks_do_not_matter(rows: list[tuple[Any, ...]], draw: Any, cuts: list[int]) -> None:
    whole = row_sum(frame(rows))
    shuffled = rows.copy()
    draw.shuffle(shuffled)
    ends = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    pieces = [frame(shuffled[a:b]) for a, b in pairwise(ends)]
    assert sum(map(row_sum, pieces)) % MODULUS == whole
    assert row_sum(pl.concat(pieces)) == whole
    assert sum(row_hashes(frame(rows)).to_list()) % MODULUS == whole, "the sum is that of the rows' own hashes"


def same(a: Any, b: Any) -> bool:
    """Whether two cells are one value to us: all NaN are, and both zeros."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and bool(a == b)


@given(ROW, ROW)
def test_every_cell_counts(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    first = row_sum(frame([one]))
    for place in range(len(one)):
        mixed = (*one[:place], other[place], *one[place + 1 :])
        assert (row_sum(frame([mixed])) == first) == same(one[place], other[place])


@given(st.lists(ROW, max_size=5))
def test_few_rows_made_ready_one_by_one_have_the_hashes_of_many(rows: list[tuple[Any, ...]]) -> None:
    """The expressions are the twin; NaNs of every sign and payload, zeros of both signs, halves of 32 bits."""
    bits = [0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001, 0x8000000000000000, 0xFFF0000000000000]
    odd = [struct.unpack("<d", struct.pack("<Q", b))[0] for b in bits]
    whole = frame([*rows, *((5 << n * 20, None, None, value, None, None) for n, value in enumerate(odd))])
    both = whole.with_columns(pl.col("x").cast(pl.Float32).alias("half"), pl.lit("r").alias("_reason"))
    assert both.height <= FEW
    assert row_sum(both) == sum(row_hashes(both).to_list()) % MODULUS
    assert [row_sum(both[n : n + 1]) for n in range(both.height)] == row_hashes(both).to_list()


@given(st.lists(ROW, min_size=1, max_size=5))
def test_a_row_twice_is_not_a_row_once(rows: list[tuple[Any, ...]]) -> None:
    assert row_sum(frame([*rows, rows[0]])) == (row_sum(frame(rows)) + row_sum(frame(rows[:1]))) % MODULUS
    assert row_sum(frame([*rows, rows[0]])) != row_sum(frame(rows))


def test_one_nan_and_one_zero() -> None:
    bits = [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF]
    nans = np.array([struct.unpack("<d", struct.pack("<Q", b))[0] for b in bits])
    assert content_hashes(pl.DataFrame({"x": nans})).n_unique() == 1
    for dtype in (pl.Float64, pl.Float32):
        zeros = pl.DataFrame({"x": pl.Series([0.0, -0.0, None, 5e-324, math.nan], dtype=pl.Float64).cast(dtype)})
        hashes = content_hashes(zeros).to_list()
        assert hashes[0] == hashes[1]
        assert len(set(hashes)) == (4 if dtype == pl.Float64 else 3)  # 5e-324 is zero in 32 bits


def test_values_do_not_run_into_their_neighbours() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("abc", None), (None, "abc")]
    rows = pl.DataFrame(pairs, schema={"a": pl.String, "b": pl.String}, orient="row")
    assert content_hashes(rows).n_unique() == len(pairs)


def test_columns_of_ours_do_not_count_and_order_of_columns_does() -> None:
    plain = frame([(1, "a", 2, 0.5, True, None)])
    noted = plain.with_columns(pl.lit("r").alias("_reason"), pl.lit(5).alias("_object"))
    assert row_sum(noted) == row_sum(plain)
    turned = plain.select(ID, *reversed(COLUMNS))
    assert row_sum(turned) != row_sum(plain)


def test_rows_without_a_column_have_an_id_all_the_same() -> None:
    bare = pl.DataFrame({ID: ids([1, 2])})
    assert row_sum(bare) != row_sum(bare[:1])
    assert content_hashes(bare).to_list() == [0, 0]
    assert row_sum(bare.clear()) == 0


@pytest.mark.parametrize(
    "other",
    [
        ({"n": "Int64", "text": "String"}, 2, 7),
        ({"text": "String", "n": "Int32"}, 2, 7),
        ({"texts": "String", "n": "Int64"}, 2, 7),
        ({"text": "String"}, 2, 7),
        ({"text": "String", "n": "Int64"}, 3, 7),
        ({"text": "String", "n": "Int64"}, 2, 8),
    ],
)
def test_schema_count_and_sum_are_all_in_the_digest(other: tuple[dict[str, str], int, int]) -> None:
    assert table_digest({"text": "String", "n": "Int64"}, 2, 7) != table_digest(*other)


def test_sums_carry_over_every_limb() -> None:
    """Many rows, against Python's own integers."""
    rows = pl.DataFrame({ID: ids(range(3000)), "n": range(3000)})
    assert row_sum(rows) == sum(row_hashes(rows).to_list()) % MODULUS


GOLDEN = frame(
    [
        (0, "", 0, 0.0, False, None),
        (1, "a", -1, -0.5, True, None),
        (2**64, "发烧，脖子僵硬", 2**63 - 1, math.nan, None, None),
        (2**127 + 5, None, None, math.inf, None, None),
    ]
).with_columns(pl.date_range(pl.date(2024, 2, 28), pl.date(2024, 3, 2), "1d").alias("day"))


def test_golden_values() -> None:
    """Noted once, so that a new library that hashes differently is noticed: old digests would mean nothing to it."""
    assert [f"{h:032x}" for h in row_hashes(GOLDEN).to_list()] == ROW_HASHES
    assert [f"{h:032x}" for h in content_hashes(GOLDEN).to_list()] == CONTENT_HASHES
    assert f"{row_sum(GOLDEN):032x}" == ROW_SUM
    schema = {c: str(t) for c, t in GOLDEN.schema.items() if c != ID}
    assert table_digest(schema, GOLDEN.height, row_sum(GOLDEN)) == DIGEST


ROW_HASHES = [
    "4e40e321e56ba2010edeebad1a969464",
    "a853a8c166002d1ec45532791bfda5e2",
    "522a37f4003fae94b2fa8a29523ce06c",
    "ce4bca09a2cd17513e167edadfd49388",
]
CONTENT_HASHES = [
    "c747a14b492c9bc514c0c71361803d02",
    "36818274bedebcf02f0d0f7f26c94e55",
    "78eee2d88b5760af7e3907dda137c198",
    "6e7ff0460d6cc023e9dbecf92e62666b",
]
ROW_SUM = "170a8de0ee789505c445272a68a5ae3a"
DIGEST = "6908d99b6a8fbaaeb848794bd0a868502cb48d2faff400c0e7330ecc9f6753cb"
