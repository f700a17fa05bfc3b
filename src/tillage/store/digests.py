"""The digest of a table: schema, row count, and the sum modulo 2^128 of each row's XXH3-128.

Blind to chunking, order, clocks. Row encoding: polars-hash `hash_rows` version 1, over `_id` in halves and the user's
columns in schema order, with one NaN, and -0.0 as 0.0. It tests equality. 0.17 CPU s a million rows of ten columns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
import polars as pl
import polars_hash as plh

from tillage.core.rows import ID, high, low

MODULUS = 1 << 128


def row_hashes(frame: pl.DataFrame) -> pl.Series:
    """UInt128 a row, over `_id` and the user's columns."""
    return _row_hashes(frame)["h"]


def content_hashes(frame: pl.DataFrame) -> pl.Series:
    """UInt128 a row over the user's columns alone."""
    columns = _canonical(_shape(frame))
    return _hashes(frame, columns)["h"] if columns else pl.zeros(frame.height, pl.UInt128, eager=True)


def _row_hashes(frame: pl.DataFrame) -> pl.DataFrame:
    return _hashes(frame, (*_OWN, *_canonical(_shape(frame))))


def _hashes(frame: pl.DataFrame, columns: Sequence[pl.Expr]) -> pl.DataFrame:
    """The column `h`; step by step, since to plan one query took longer than the steps."""
    return frame.select_seq(columns).select_seq(_BYTES).select_seq(_HASH)


FEW = 16
"""Rows up to which they are made ready one by one: three queries fewer, which cost what hashing 10,000 rows does."""


def _hashes_of_few(frame: pl.DataFrame) -> list[int]:
    """What `row_hashes` gives, without the queries that halve the ids and make all NaNs and zeros one."""
    named = frame[ID].to_list()
    columns = [
        pl.Series("_lo", [row & _LOWEST for row in named], dtype=pl.UInt64),
        pl.Series("_hi", [row >> 64 for row in named], dtype=pl.UInt64),
    ]
    users = [column for column in frame.get_columns() if not column.name.startswith("_")]
    columns += [_canonical_of_few(column) if column.dtype.is_float() else column for column in users]
    hashed = pl.DataFrame(columns).select_seq(_BYTES).select_seq(_HASH)["h"].to_list()
    return [int(value) for value in hashed]


def _canonical_of_few(column: pl.Series) -> pl.Series:
    found = column.to_list()
    if all(value is None or (value and not math.isnan(value)) for value in found):
        return column
    values = [
        value if value is None else math.nan if math.isnan(value) else value or 0.0  # -0.0 is false, too
        for value in found
    ]
    return pl.Series(column.name, values, dtype=column.dtype)


_LOWEST = (1 << 64) - 1
_OWN = (low(ID).alias("_lo"), high(ID).alias("_hi"))
_BYTES = plh.hash_rows(pl.all(), version=1).alias("h")
_HASH = plh.col("h").nchash.xxh3_128(seed=0)
_HALVES = (low("h").alias("lo"), high("h").alias("hi"))


def row_sum(frame: pl.DataFrame) -> int:
    """The sum modulo 2^128 of the row hashes, which are over `_id` and the user's columns.

    >>> frame = pl.DataFrame({"_id": pl.Series([1, 2], dtype=pl.UInt128), "x": [0.0, 1.0]})
    >>> row_sum(frame) == row_sum(frame.reverse()) == (row_sum(frame[:1]) + row_sum(frame[1:])) % MODULUS
    True
    """
    if frame.height <= FEW:
        return sum(_hashes_of_few(frame)) % MODULUS if frame.height else 0
    halves = _row_hashes(frame).select_seq(_HALVES)
    return (_sum(halves["lo"].to_numpy()) + (_sum(halves["hi"].to_numpy()) << 64)) % MODULUS


def table_digest(columns: Mapping[str, str], rows: int, total: int) -> str:
    """The digest of a table from its schema, its row count and its row sum, in hexadecimal."""
    schema = json.dumps(list(columns.items()), ensure_ascii=False, separators=(",", ":"))
    return sha256(f"{schema}\n{rows}\n{total:032x}".encode()).hexdigest()


def _sum(values: np.ndarray) -> int:
    # 32-bit limbs: exact in uint64 up to 2^32 rows
    return int((values & np.uint64(0xFFFFFFFF)).sum(dtype=np.uint64)) + (
        int((values >> np.uint64(32)).sum(dtype=np.uint64)) << 32
    )


def _shape(frame: pl.DataFrame) -> tuple[tuple[str, pl.DataType | None], ...]:
    """The user's columns; with its type each that has numbers which must be made one."""
    return tuple((c, t if t.is_float() else None) for c, t in frame.schema.items() if not c.startswith("_"))


@lru_cache(maxsize=64)
def _canonical(shape: tuple[tuple[str, pl.DataType | None], ...]) -> tuple[pl.Expr, ...]:
    """Kept, since to make the expressions took as long as to hash a thousand rows with them."""
    return tuple(pl.col(column) if dtype is None else _one(column, dtype) for column, dtype in shape)


def _one(column: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(column)  # adding 0.0 would be optimised away
    one = pl.when(value.is_nan()).then(float("nan")).when(value == 0).then(0.0).otherwise(value)
    return one.cast(dtype).alias(column)
