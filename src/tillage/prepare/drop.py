"""Leave the columns named behind. Cost: nothing is copied."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.step import Map
from tillage.prepare.columns import require


class Drop(Map):
    """Leave these columns out.

    >>> Drop(columns=("a",)).apply(pl.DataFrame({"_id": [1], "a": [2], "b": [3]})).columns
    ['_id', 'b']
    """

    columns: Columns = Field(min_length=1, description="columns to leave out")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x",))

    def needs(self) -> tuple[str, ...]:
        """The columns named: a misspelt one would else stay unnoticed."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows without these columns; raises ConfigurationError for one that is missing."""
        require(rows, self.columns)
        return rows.drop(set(self.columns))
