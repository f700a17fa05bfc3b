"""Training rows that say what a test row says would make its score a memory test: they leave with reason `leak`.

Equal rows are found by one 128-bit hash of their normalised columns: 33 bytes of state a row, and a change costs the
rows that share a hash with what came or went. Near ones cost what near duplicates cost (`prepare/near_leaks.py`). No
test row ever leaves, so a score stays comparable with earlier ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from tillage.core.columns import Columns
from tillage.core.rows import ID, INTO, REASON, leave, user_columns
from tillage.core.step import Keyed, Whole
from tillage.prepare.columns import require
from tillage.prepare.near import CONTENT, TEXT, Near
from tillage.prepare.near_leaks import IS_TEST, OTHER, NearLeaks
from tillage.prepare.normalize import normalize_text
from tillage.prepare.split import LEAK, TEST
from tillage.prepare.touched import KEY, content_keys, follow


class DropLeaks(Whole):
    """Each row that is not on the test side and equals a test row leaves with reason `leak`.

    Equal means: texts are equal after NFKC, lower case and single spaces, other values as they are; two nulls are
    equal. Every row whose `column` does not say `test` counts as training.

    With `similarity` below 1 a row leaves, too, when its texts (all of them as one) have at least that Jaccard
    similarity with those of a test row, as `drop_duplicates` understands it, and its other values are equal. A text of
    fewer than five tokens is near its equal alone, and a table without texts has no near rows.

    >>> rows = pl.DataFrame({"text": ["A b", "a  B", "c"], "split": ["test", "train", "train"]})
    >>> rows = rows.with_columns(_id=pl.int_range(3).cast(pl.UInt128))
    >>> DropLeaks(columns=("text",)).compute({"rows": rows})["_reason"].to_list()
    [None, 'leak', None]
    """

    incremental: ClassVar[bool] = True

    columns: Columns = Field(
        (), description="columns that must be equal: what a model would see; none: all but `column` and `ignore`"
    )
    ignore: tuple[str, ...] = Field((), description="columns that are not compared when `columns` is empty")
    column: str = Field("split", description="column that says train or test")
    similarity: float = Field(
        1.0, ge=0.1, le=1, description="least Jaccard similarity of word 5-grams, 0.1 to 1; 1: equal rows only"
    )

    @model_validator(mode="after")
    def _side_apart(self) -> Self:
        if self.column in self.columns:
            raise ValueError(f"'{self.column}' tells the sides apart, so in 'columns' it would make every row differ")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame: rows of the city `test` are the test side."""
        return cls(columns=("text",), column="city")

    def needs(self) -> tuple[str, ...]:
        """The columns compared and the column of sides."""
        return (*self.columns, self.column)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, training rows that leave marked with `_reason`."""
        rows = inputs["rows"]
        near, entries = self._near(rows), self.entries(rows)
        decisions = _decide(entries) if near is None else near.decide(entries)
        return leave(rows, LEAK, pl.lit(decisions[REASON].is_not_null()))

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_id`, `_key` (the hash of the normalised columns) and `is_test`; for near leaks those of `NearLeaks`."""
        require(rows, self.needs())
        columns = self._compared(rows)
        texts = [normalize_text(rows[c], lower=True) for c in columns if rows.schema[c] == pl.String]
        normal = rows.with_columns(texts)
        is_test = pl.col(self.column).cast(pl.String).eq_missing(pl.lit(TEST)).alias(IS_TEST)
        near = self._near(rows)
        if near is None:
            return normal.select(ID, content_keys(normal, columns).alias(KEY), is_test)
        others = [c for c in columns if c not in near.rule.columns]
        same = content_keys(normal, others) if others else pl.repeat(0, rows.height, dtype=pl.UInt128, eager=True)
        return near.entries(normal, [is_test, pl.lit(same).alias(OTHER)])

    def _near(self, rows: pl.DataFrame) -> NearLeaks | None:
        texts = tuple(c for c in self._compared(rows) if rows.schema[c] == pl.String)
        return NearLeaks(Near(texts, self.similarity), LEAK) if self.similarity < 1 and texts else None

    def _compared(self, rows: pl.DataFrame) -> list[str]:
        unseen = {self.column, *self.ignore}
        return sorted(set(self.columns) or {c for c in user_columns(rows) if c not in unseen})

    def recalled(self) -> tuple[str, ...]:
        """The texts of near leaks."""
        return (TEXT,) if self.similarity < 1 else ()

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on training rows that a test row came to, or ceased to, equal."""
        if CONTENT not in added.columns:
            return follow(state, added, removed, _decide)
        return NearLeaks(Near((), self.similarity), LEAK).follow(state, added, removed)


def _decide(entries: pl.DataFrame) -> pl.DataFrame:
    tested = entries.filter(IS_TEST)[KEY].unique()
    leaks = ~pl.col(IS_TEST) & pl.col(KEY).is_in(tested.implode())
    return entries.select(
        ID,
        pl.when(leaks).then(pl.lit(LEAK)).alias(REASON),
        pl.lit(None, dtype=pl.UInt128).alias(INTO),
    )
