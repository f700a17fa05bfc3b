"""Rows that do not fulfil a condition leave, with a reason. Cost: that of the Polars expression."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.expression import ConditionText, parse
from tillage.core.rows import REASON, leave
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
        stays = rows.select(expression(rows, self.where, condition=True)).to_series()
        if stays.null_count() == 0 and stays.all():  # the rule where few rows pass, as in a request: a query less
            return rows if REASON in rows.columns else rows.hstack([_NONE.new_from_index(0, rows.height)])
        # A condition of literals alone has one value, which `leave` spreads over the rows.
        gone = pl.lit(~stays.fill_null(False)) if len(stays) == rows.height else pl.lit(True)
        return leave(rows, self.reason, gone)


_NONE = pl.Series(REASON, [None], dtype=pl.String)
