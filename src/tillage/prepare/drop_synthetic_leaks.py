"""Synthetic rows that were made from a test row leave the training side, whichever way the sides were told.

A split by a group puts a synthetic row where its own group stands, and a step may have changed that column since. Here
the row is looked up that it was made from. 33 bytes of state a row; a change costs the families of what came or went.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import polars as pl
from pydantic import Field

from tillage.core.rows import ID, INTO, ORIGIN, REASON, leave
from tillage.core.step import Keyed, Whole
from tillage.prepare.columns import require
from tillage.prepare.split import LEAK, TEST
from tillage.prepare.touched import KEY, follow

_IS_TEST, _MADE = "is_test", "made"


class DropSyntheticLeaks(Whole):
    """Each synthetic row (`_origin` is not null) leaves with reason `leak` where it tests, or its origin does.

    A real row never leaves. Rows without the column `_origin` are real.

    >>> rows = pl.DataFrame({"_id": [1, 2, 3, 4], "_origin": [None, 1, None, 3]}).cast(pl.UInt128)
    >>> rows = rows.with_columns(split=pl.Series(["test", "train", "train", "train"]))
    >>> DropSyntheticLeaks().compute({"rows": rows})["_reason"].to_list()
    [None, 'leak', None, None]
    """

    incremental: ClassVar[bool] = True

    column: str = Field("split", description="column that says train or test")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame: rows of the city `test` are the test side."""
        return cls(column="city")

    def needs(self) -> tuple[str, ...]:
        """The column of sides."""
        return (self.column,)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, those that leave marked with `_reason`."""
        rows = inputs["rows"]
        return leave(rows, LEAK, pl.lit(_decide(self.entries(rows))[REASON].is_not_null()))

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_id`, `_key` (the real row of the family), `is_test` and `made`."""
        require(rows, self.needs())
        origin = pl.col(ORIGIN) if ORIGIN in rows.columns else pl.lit(None, dtype=pl.UInt128)
        tests = pl.col(self.column).cast(pl.String).eq_missing(pl.lit(TEST))
        return rows.select(
            ID, pl.coalesce(origin, ID).alias(KEY), tests.alias(_IS_TEST), origin.is_not_null().alias(_MADE)
        )

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on synthetic rows whose origin came to a side, or left one."""
        return follow(state, added, removed, _decide)


def _decide(entries: pl.DataFrame) -> pl.DataFrame:
    tests = entries.filter(_IS_TEST)[KEY].unique()
    leaks = pl.col(_MADE) & pl.col(KEY).is_in(tests.implode())
    return entries.select(
        ID, pl.when(leaks).then(pl.lit(LEAK)).alias(REASON), pl.lit(None, dtype=pl.UInt128).alias(INTO)
    )
