"""Keep the columns named, in the order named. Cost: nothing is copied."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.step import Map
from tillage.prepare.columns import require


class Select(Map):
    """Keep only these columns, in this order.

    >>> Select(columns=("b",)).apply(pl.DataFrame({"_id": [1], "a": [2], "b": [3]})).columns
    ['_id', 'b']
    """

    columns: tuple[str, ...] = Field(min_length=1, description="columns to keep, in this order")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text", "id"))

    def needs(self) -> tuple[str, ...]:
        """The columns named."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with reserved columns first, then these; raises ConfigurationError for one that is missing."""
        require(rows, self.columns)
        reserved = [c for c in rows.columns if c.startswith("_")]
        return rows.select(reserved + list(dict.fromkeys(self.columns)))
