"""Rows that do not fulfil a condition leave, with a reason. Cost: that of the Polars expression."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.expression import ConditionText, parse
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.prepare.columns import expression


class Filter(Map):
    """Keep the rows for which the condition is true; those for which it is false or null leave with `reason`.

    >>> rows = pl.DataFrame({"age": [17, 40, None]})
    >>> Filter(where="age >= 18", reason="minor").apply(rows)["_reason"].to_list()
    ['minor', None, 'minor']
    """

    where: ConditionText = Field(description="condition that a row must fulfil to stay")
    reason: str = Field("filtered", min_length=1, description="reason under which the ledger counts those that leave")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(where="n > 0 and text is not null")

    def needs(self) -> tuple[str, ...]:
        """The columns that the condition reads."""
        return parse(self.where).columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, those that leave marked; raises ConfigurationError for a column that is missing or unsuitable."""
        # A condition of literals alone has one value, which `leave` spreads over the rows.
        return leave(rows, self.reason, ~expression(rows, self.where, condition=True).fill_null(False))
