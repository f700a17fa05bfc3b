"""Give columns other names. Cost: nothing is copied."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import user_columns
from tillage.core.step import Map
from tillage.prepare.columns import NewName, require


class Rename(Map):
    """Give columns other names, all at once, so that two may swap.

    >>> Rename(columns={"a": "b", "b": "a"}).apply(pl.DataFrame({"_id": [1], "a": [2], "b": [3]})).columns
    ['_id', 'b', 'a']
    """

    columns: dict[str, NewName] = Field(min_length=1, description="old name to new name")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns={"city": "town"})

    def needs(self) -> tuple[str, ...]:
        """The old names."""
        return tuple(self.columns)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows under the new names; raises ConfigurationError when two columns would bear one name."""
        require(rows, self.columns)
        after = [self.columns.get(c, c) for c in user_columns(rows)]
        twice = sorted({c for c in after if after.count(c) > 1})
        if twice:
            raise ConfigurationError(
                (Problem(f"After renaming, two columns would be called '{c}'.") for c in twice),
                fix="Give one of them another name, or drop it first.",
            )
        return rows.rename(self.columns)
