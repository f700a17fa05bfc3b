"""A step of each kind that no room exports yet: small, right, and written as a user would write them beside a plan.

The laws face them in `test_kinds.py`; `test_law1_conservation.py` and others run them in a project, by dotted path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import Field

from tillage.core import ID, PARENT, Fit, Fitted, Group, Map, State, Whole, leave
from tillage.core.keys import child_ids

KEY = "_key"


class Words(Map):
    """Each row keeps the first word of a text; every further word becomes a child row of its own."""

    makes_children: ClassVar[bool] = True

    column: str = Field("text", description="column of texts")

    @classmethod
    def example(cls) -> Self:
        return cls()

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        words = rows.select(ID, pl.col(self.column).str.split(" ").alias("words"))
        own = rows.with_columns(words["words"].list.first().alias(self.column))
        if PARENT not in own.columns:
            own = own.with_columns(pl.lit(None, dtype=pl.UInt128).alias(PARENT))
        made = [own]
        for n in range(1, int(words["words"].list.len().max() or 0)):  # type: ignore[arg-type]
            more = rows.filter(words["words"].list.len() > n)
            word = words.filter(pl.col("words").list.len() > n)["words"].list.get(n)
            child = more.with_columns(
                word.alias(self.column), more[ID].alias(PARENT), child_ids(more[ID], f"words:{n}").alias(ID)
            )
            made.append(child.select(own.columns))
        return pl.concat(made)


class Centred(Fitted):
    """The column less what a `Drift` learnt."""

    @classmethod
    def example(cls) -> Self:
        return cls(state={"column": "n", "level": 1.5, "rows": 3})

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns((pl.col(self.state["column"]) - self.state["level"]).alias("centred"))


class Drift(Fit):
    """The exponentially fading mean of a column: the order of the rows matters."""

    column: str = Field("n", description="column of numbers")
    rate: float = Field(0.25, gt=0, le=1, description="weight of the newest value")

    @classmethod
    def example(cls) -> Self:
        return cls()

    def start(self) -> State:
        return {"level": 0.0, "rows": 0}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        level = state["level"]
        for value in rows[self.column].to_list():
            level += self.rate * ((value or 0) - level)
        return {"level": level, "rows": state["rows"] + rows.height}

    def finish(self, state: State) -> Centred:
        return Centred(state={"column": self.column, **state})


class Ranked(Whole):
    """A dense rank by a column, 1 for the smallest; rows beyond `most` leave."""

    column: str = Field("n", description="column that is ranked")
    most: int = Field(4, ge=1, description="greatest rank that stays")

    @classmethod
    def example(cls) -> Self:
        return cls(most=2)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        rank = pl.col(self.column).rank("dense").cast(pl.Int64)
        rows = inputs["rows"].with_columns(rank.alias("rank"))
        return leave(rows, "beyond", pl.col("rank") > self.most)


class Joined(Group):
    """Each row of `left` beside each row of `right` under the same key."""

    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    on: str = Field("city", description="column whose values must be equal")
    take: tuple[str, ...] = Field(("n",), description="columns of `right` that are added, as right_NAME")

    @classmethod
    def example(cls) -> Self:
        return cls()

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        return (self.on,)

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        right: Any = rows["right"].select(KEY, *(pl.col(c).alias(f"right_{c}") for c in self.take))
        return rows["left"].drop(ID, PARENT, strict=False).join(right, on=KEY)
