"""Rows are Polars frames; this file says which columns are ours and what they mean.

    _id       UInt128, the row's identity, for ever
    _reason   why the row leaves (null: it stays); a step marks, the runner splits, counts and writes the ledger
    _into     the _id of the row that this one was merged into
    _parent   the _id of the row that this one was made from, by an earlier Map of the same table
    _origin   the _id of the real row behind a synthetic one (null: it is real); kept through all tables

In Parquet a 128-bit column is two UInt64 columns, `NAME:lo` and `NAME:hi`: other readers cannot open UInt128.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl

from tillage.core.errors import UnknownName

ID = "_id"
REASON = "_reason"
INTO = "_into"
PARENT = "_parent"
ORIGIN = "_origin"
RESERVED = (ID, REASON, INTO, PARENT, ORIGIN)

FEW = 16
"""Row_ids up to which they are told apart one by one."""

MERGED = "merged"
"""The reason of a row that was merged into another; `_into` names the keeper."""

_SHIFT = pl.lit(1 << 64, dtype=pl.UInt128)
"""Made once: Polars takes 40 microseconds to make a number of 128 bits, and every chunk asks for several."""


def user_columns(frame: pl.DataFrame) -> list[str]:
    """The columns that are the user's, in schema order.

    >>> user_columns(pl.DataFrame({"_id": [1], "text": ["a"], "_reason": [None]}))
    ['text']
    """
    return [c for c in frame.columns if not c.startswith("_")]


def column(frame: pl.DataFrame, name: str) -> pl.Series:
    """One column; raises UnknownName when the frame lacks it.

    >>> column(pl.DataFrame({"a": [1]}), "a").to_list()
    [1]
    """
    if name not in frame.columns:
        raise UnknownName("column", name, frame.columns)
    return frame[name]


def drop_columns(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The frame without those of the columns that it has; costs no query, which `DataFrame.drop` would.

    >>> drop_columns(pl.DataFrame({"a": [1], "b": [2]}), "b", "c").columns
    ['a']
    """
    kept = [c for c in frame.columns if c not in names]
    return frame[kept] if kept else pl.DataFrame()


def leave(rows: pl.DataFrame, reason: str, where: pl.Expr) -> pl.DataFrame:
    """Mark the rows for which `where` is true as leaving with `reason`; a row that already leaves keeps its reason.

    >>> frame = pl.DataFrame({"_id": [1, 2], "n": [1, -1]})
    >>> leave(frame, "negative", pl.col("n") < 0)["_reason"].to_list()
    [None, 'negative']
    """
    before = pl.col(REASON) if REASON in rows.columns else pl.lit(None, dtype=pl.String)
    return rows.with_columns(pl.coalesce(before, pl.when(where).then(pl.lit(reason))).alias(REASON))


def split_left(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that stay, rows that leave); the first is without `_reason` and `_into`."""
    plain = drop_columns(rows, REASON, INTO)
    if REASON not in rows.columns:
        return plain, rows.clear().hstack([pl.Series(REASON, [], dtype=pl.String)])
    reasons = rows[REASON]
    if reasons.null_count() == len(reasons):
        return plain, rows.clear()
    return plain.filter(reasons.is_null()), rows[reasons.is_not_null().arg_true()]


def low(name: str) -> pl.Expr:
    """The lower 64 bits of a UInt128 column."""
    return pl.col(name).cast(pl.UInt64, wrap_numerical=True)


def high(name: str) -> pl.Expr:
    """The upper 64 bits of a UInt128 column."""
    return (pl.col(name) // _SHIFT).cast(pl.UInt64, wrap_numerical=True)


def wide(lo: pl.Expr, hi: pl.Expr) -> pl.Expr:
    """The UInt128 of its two halves.

    >>> pl.select(wide(pl.lit(5, dtype=pl.UInt64), pl.lit(1, dtype=pl.UInt64))).item() == 2**64 + 5
    True
    """
    return hi.cast(pl.UInt128) * _SHIFT | lo.cast(pl.UInt128)


class Halves(NamedTuple):
    """Row_ids as Parquet keeps them, for who has just made them so and need not take them apart again.

    >>> Halves(pl.Series([5], dtype=pl.UInt64), pl.Series([1], dtype=pl.UInt64)).joined().item() == 2**64 + 5
    True
    """

    lo: pl.Series
    hi: pl.Series

    def joined(self) -> pl.Series:
        """The row_ids, a series named `_id`."""
        both = pl.DataFrame([self.lo.alias("lo"), self.hi.alias("hi")])
        return both.select(wide(pl.col("lo"), pl.col("hi")).alias(ID))[ID]


def to_storage(frame: pl.DataFrame, made: Halves | None = None) -> pl.DataFrame:
    """The frame with each UInt128 column as `NAME:lo`, `NAME:hi`; `made`: the halves of its `_id`, if they are known.

    Only what is wide passes a query, so that columns which stand are handed on as they are.
    """
    columns: list[pl.Series] = []
    for column in frame.get_columns():
        name = column.name
        if column.dtype != pl.UInt128 or not name.startswith("_"):
            columns.append(column)
            continue
        if made is not None and name == ID:
            lo, hi = made
        else:
            lo, hi = column.to_frame().select(lo=low(name), hi=high(name)).get_columns()
        columns += [lo.alias(f"{name}:lo"), hi.alias(f"{name}:hi")]
    return pl.DataFrame(columns)


def from_storage(frame: pl.DataFrame) -> pl.DataFrame:
    """The inverse of `to_storage`."""
    columns: list[pl.Expr] = []
    for name in frame.columns:
        own = name.startswith("_")
        if own and name.endswith(":lo"):
            base = name[:-3]
            columns.append(wide(pl.col(name), pl.col(f"{base}:hi")).alias(base))
        elif not (own and name.endswith(":hi")):
            columns.append(pl.col(name))
    return frame.select(columns)


def ids(values: Iterable[int] = ()) -> pl.Series:
    """A series of row_ids named `_id`."""
    some = list(values)
    return pl.Series(ID, some, dtype=pl.UInt128) if some else _NO_IDS.clone()


_NO_IDS = pl.Series(ID, [], dtype=pl.UInt128)
"""Made once: of a forgotten row most lists of others are empty, and one costs 5 microseconds to make."""


def distinct(values: Sequence[pl.Series]) -> pl.Series:
    """The row_ids of these series, at least one, each once; of few without a query, which costs more."""
    some = [one for one in values if len(one)]
    if not some:
        return values[0]
    if len(some) == 1 and len(some[0]) == 1:
        return some[0]
    if sum(map(len, some)) <= FEW:
        return ids(dict.fromkeys(row for one in some for row in one.to_list()))
    return pl.concat(some).unique()


def where_true(frame: pl.DataFrame, mask: pl.Series) -> pl.DataFrame:
    """The rows for which a mask is true, column by column: a query costs ten times as much before the first row.

    >>> where_true(pl.DataFrame({"a": [1, 2], "b": ["x", None]}), pl.Series([False, True])).rows()
    [(2, None)]
    """
    return pl.DataFrame([column.filter(mask) for column in frame.iter_columns()])


def only(frame: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
    """The rows whose `_id` is among `wanted`."""
    if len(wanted) == 1:  # the question of who forgets or traces one row, at a third of the cost
        return where_true(frame, frame[ID] == wanted)
    return frame.filter(pl.col(ID).is_in(wanted.implode()))  # a semi-join costs up to twice as much


def without(frame: pl.DataFrame, unwanted: pl.Series) -> pl.DataFrame:
    """The rows whose `_id` is not among `unwanted`."""
    if unwanted.is_empty():
        return frame
    if len(unwanted) == 1:
        stays = frame[ID] != unwanted
        return frame if stays.all() else where_true(frame, stays)
    return frame.filter(~pl.col(ID).is_in(unwanted.implode()))
