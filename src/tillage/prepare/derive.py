"""New columns computed from old ones by expressions. Cost: that of the Polars expressions."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.expression import ExpressionText, parse
from tillage.core.step import Map
from tillage.prepare.columns import NewName, expression


class Derive(Map):
    """Add columns (or replace them), each computed from the columns as they came in.

    No expression sees another's result, so their order means nothing; what builds on a new column goes into a second
    `derive`.

    >>> rows = pl.DataFrame({"weight": [70.0], "height": [1.75]})
    >>> Derive(columns={"bmi": "round(weight / (height * height), 1)"}).apply(rows)["bmi"].to_list()
    [22.9]
    """

    columns: dict[NewName, ExpressionText] = Field(min_length=1, description="name of the new column to its expression")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns={"double": "n * 2", "x": "coalesce(x, 0)", "where": "city || '/' || day"})

    def needs(self) -> tuple[str, ...]:
        """The columns that the expressions read."""
        return tuple(dict.fromkeys(c for text in self.columns.values() for c in parse(text).columns))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns; raises ConfigurationError for a column that is missing or of the wrong type."""
        return rows.with_columns(expression(rows, text).alias(name) for name, text in self.columns.items())
