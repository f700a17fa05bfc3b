"""Rows that say the same become one: the others leave as merged into it.

Exact duplicates are rows under one 128-bit hash of their columns: one pass, 32 bytes of state a row (hash and `_id`).
A change costs the rows that share a hash with what came or went. Near duplicates cost some 25 microseconds a kilobyte
of text and keep about 0.5 kB a row; a change costs the clusters that it reaches (`prepare/near.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tillage.core.columns import Columns
from tillage.core.rows import ID, INTO, MERGED, REASON, leave, user_columns
from tillage.core.step import Keyed, Whole
from tillage.prepare.columns import require
from tillage.prepare.near import TEXT, Near
from tillage.prepare.touched import KEY, content_keys, follow

_ORDER = "order"


class KeepFirst(BaseModel):
    """Keep the row with the smallest value of a column; NaN and then null come last, and ties go to the `_id`.

    >>> KeepFirst(first="day").first
    'day'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: str = Field(description="column whose smallest value is kept")


class KeepLast(BaseModel):
    """Keep the row with the greatest value of a column; NaN and then null come last, and ties go to the `_id`.

    >>> KeepLast(last="day").last
    'day'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    last: str = Field(description="column whose greatest value is kept")


class DropDuplicates(Whole):
    """Of rows alike in `columns` one stays; each other leaves with reason `merged` and the keeper's `_id` in `_into`.

    Two nulls are equal, as in SQL's DISTINCT and GROUP BY (not as in its `=`), and so are two NaN; the empty text is no
    null. Rows without a value in the only column compared thus become one: filter them apart first if each shall stay.

    >>> rows = pl.DataFrame({"text": ["a", "b", "a"]}).with_columns(_id=pl.int_range(3).cast(pl.UInt128))
    >>> DropDuplicates(columns=("text",)).compute({"rows": rows}).select("_reason", "_into").rows()
    [(None, None), (None, None), ('merged', 0)]

    With `similarity` below 1 texts are alike when the Jaccard similarity of their shingles is at least that. A token is
    one Han character or a run of other non-space, in lower case; a shingle is five tokens, or the whole of a shorter
    text. Alike is passed on: if a is like b and b like c, all three are one, even when a is not like c. Pairs are found
    by MinHash, which misses one in 100 of those just at the threshold and hardly any above; they are compared exactly,
    so that none is wrong. Several columns count as one text; a row that is null in all of them equals such rows only.

    >>> rows = rows.with_columns(text=pl.Series(["a b c d e f g", "A B C D E F G h", "a"]))
    >>> DropDuplicates(columns=("text",), similarity=0.7).compute({"rows": rows})["_into"].to_list()
    [None, 0, None]

    Sources: Broder (1997); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.
    """

    incremental: ClassVar[bool] = True

    columns: Columns = Field((), description="columns that must be equal, where two nulls are; none named: all of them")
    similarity: float = Field(
        1.0, ge=0.1, le=1, description="least Jaccard similarity of word 5-grams, 0.1 to 1; 1: equal rows only"
    )
    keep: Literal["smallest_id"] | KeepFirst | KeepLast = Field(
        "smallest_id", description="which row stays: the smallest _id, or the first or last by a column"
    )

    @model_validator(mode="after")
    def _near_columns_named(self) -> Self:
        if self.similarity < 1 and not self.columns:
            raise ValueError("near duplicates are compared by texts: name them, as in columns: [text]")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text", "x"), keep=KeepFirst(first="day"))

    def needs(self) -> tuple[str, ...]:
        """The columns compared, and the one that chooses the keeper."""
        return tuple(dict.fromkeys([*self.columns, *self._order()]))

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, those that leave marked with `_reason` and `_into`."""
        rows = inputs["rows"]
        near, entries = self._near(), self.entries(rows)
        decisions = self._decide(entries) if near is None else near.decide(entries, self._decide)
        marked = rows.with_columns(decisions[INTO])
        return leave(marked, MERGED, pl.col(INTO).is_not_null())

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_id`, `_key` (the hash of the columns), and with `keep: {first: ...}` that column as `order`.

        For near duplicates those of `Near.entries`: one under the text and one under each of its buckets.
        """
        require(rows, self.needs())
        order = [pl.col(c).alias(_ORDER) for c in self._order()]
        near = self._near()
        if near is not None:
            return near.entries(rows, order)
        # Sorted by name, so that a source which swaps two columns changes no key.
        columns = sorted(self.columns or user_columns(rows))
        keys = content_keys(rows, columns)
        return rows.select(ID, keys.alias(KEY), *order)

    def recalled(self) -> tuple[str, ...]:
        """The texts of near duplicates."""
        return () if self._near() is None else (TEXT,)

    def reads_again(self) -> bool:
        """Texts are read again of near duplicates that share a bucket."""
        return self._near() is not None

    def decides_by_key(self) -> bool:
        """Near duplicates are merged along chains."""
        return self._near() is None

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on the rows compared with them and those removed that now fare otherwise."""
        near = self._near()
        if near is not None:
            return near.follow(state, added, removed, self._decide)
        return follow(state, added, removed, self._decide)

    def _near(self) -> Near | None:
        return Near(self.columns, self.similarity) if self.similarity < 1 else None

    def _order(self) -> tuple[str, ...]:
        if isinstance(self.keep, KeepFirst):
            return (self.keep.first,)
        return (self.keep.last,) if isinstance(self.keep, KeepLast) else ()

    def _decide(self, entries: pl.DataFrame) -> pl.DataFrame:
        if _ORDER in entries.columns:
            by = pl.col(_ORDER).fill_nan(None) if entries.schema[_ORDER].is_float() else pl.col(_ORDER)
            no_number = pl.col(_ORDER).is_nan() if entries.schema[_ORDER].is_float() else pl.lit(False)
            missing = pl.when(pl.col(_ORDER).is_null()).then(2).when(no_number).then(1).otherwise(0)
            last = isinstance(self.keep, KeepLast)
            ordered = entries.with_row_index("place").sort(missing, by, ID, descending=[False, last, False])
            kept = ordered.with_columns(keeper=pl.col(ID).first().over(KEY)).sort("place")
        else:
            kept = entries.with_columns(keeper=pl.col(ID).min().over(KEY))
        merged = pl.when(pl.col("keeper") != pl.col(ID))
        return kept.select(
            ID, merged.then(pl.lit(MERGED)).alias(REASON), merged.then("keeper").otherwise(None).alias(INTO)
        )
