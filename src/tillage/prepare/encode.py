"""Categories become numbers: a column of 0 and 1 for each (one-hot), or one column of codes (ordinal).

The categories are learnt once and pinned, so that a table keeps its columns whatever comes later: a value that is not
among them is "other". The state of the Fold holds every distinct value; that of the Map the listed ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import ConfigDict, Field, model_validator

from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import drop_columns, leave, user_columns
from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure import ValueCounts
from tillage.prepare.column_fold import ColumnFold
from tillage.prepare.columns import require

As = Literal["one_hot", "ordinal"]
Other = Literal["column", "nothing", "leave"]

OTHER = "other"
"""What the column of all values that have none of their own is called, after the name of the old one."""

REASON = "other_category"
"""The reason of a row that leaves because its value is not listed."""

_WHOLE = re.compile(r"-?[0-9]+")


class Encoded(Fitted):
    """Encodes by its state: `{"as": ..., "other": ..., "columns": {column: [category, ...]}}`, as `Encode` says.

    >>> state = {"as": "one_hot", "other": "column", "columns": {"city": ["Rome", "Ulm"]}}
    >>> rows = pl.DataFrame({"city": ["Ulm", "Oslo", None]})
    >>> Encoded(state=state).apply(rows).rows(named=True)[:2]
    [{'city_Rome': 0, 'city_Ulm': 1, 'city_other': 0}, {'city_Rome': 0, 'city_Ulm': 0, 'city_other': 1}]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"as": "one_hot", "other": "column", "columns": {"city": ["Rome", "Ulm"], "n": ["1", "2"]}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it encodes."""
        return tuple(self.state["columns"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows encoded; raises ConfigurationError for a column that is missing, or a name that is taken."""
        require(rows, self.needs())
        if self.state["other"] == "leave":
            for name, listed in self.state["columns"].items():
                where = pl.col(name).is_not_null() & ~_text(name).is_in(listed)
                rows = leave(rows, REASON, where)
        if self.state["as"] == "ordinal":
            return rows.with_columns(_codes(n, listed, self.state["other"]) for n, listed in self._listed())
        made = [flag for name, listed in self._listed() for flag in _flags(name, listed, self.state["other"])]
        self._names_are_free(rows, [flag.meta.output_name() for flag in made])
        return drop_columns(rows.with_columns(made), *self.needs())

    def _listed(self) -> list[tuple[str, list[str]]]:
        return list(self.state["columns"].items())

    def _names_are_free(self, rows: pl.DataFrame, names: list[str]) -> None:
        taken = sorted({n for n in names if n in user_columns(rows) or names.count(n) > 1})
        if taken:
            raise ConfigurationError(
                (Problem(f"encode makes a column '{name}', and there is one of that name.") for name in taken),
                fix="Rename or drop the other one before `encode`.",
            )


class Encode(ColumnFold):
    """Learn the categories of some columns; the result is an `Encoded`.

    `one_hot`: COLUMN gives way to COLUMN_CATEGORY for each category listed (1 where the row has it), and to
    COLUMN_other. `ordinal`: COLUMN becomes the place of its category, from 0, and -1 for others. Listed are the most
    frequent, at most `limit` (of equally frequent ones the first by text), in the order of their text, or of their
    size where all are integers; or those of `order`, as they stand there. Null is no category: all its flags are 0, its
    code is null.

    >>> step = Encode(columns=("city",), as_="ordinal", limit=2)
    >>> seen = pl.DataFrame({"city": ["Ulm", "Rome", "Ulm", "Rome", "Oslo"]})
    >>> step.finish(step.update(step.start(), seen)).apply(seen)["city"].to_list()
    [1, 0, 1, 0, -1]
    """

    wants: ClassVar[str] = "text"

    model_config = ConfigDict(populate_by_name=True)

    as_: As = Field("one_hot", alias="as", description="a column of 0 and 1 for each category, or one column of codes")
    limit: int = Field(20, ge=1, le=10_000, description="most categories of a column that are listed")
    min_count: int = Field(1, ge=1, description="rows that a category needs to be listed")
    order: dict[str, tuple[str, ...]] = Field(
        {}, description="column to its categories in order, instead of those that are found"
    )
    other: Other = Field(
        "column", description="a value not listed: counts as other, counts as nothing (0, null), or its row leaves"
    )

    @model_validator(mode="after")
    def _order_suits(self) -> Self:
        for name, listed in self.order.items():
            if name not in self.columns:
                raise ValueError(f"'order' names '{name}', which is not among 'columns'")
            if not listed or len(set(listed)) < len(listed):
                raise ValueError(f"'order' of '{name}' must name at least one category, and each once")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("city", "n"), order={"city": ("Ulm", "Rome")})

    def statistic(self) -> ValueCounts:
        """How often each value occurs."""
        return ValueCounts()

    def suits(self, dtype: pl.DataType) -> bool:
        """Texts, integers, truth values, dates: what has one text for each value."""
        return dtype in {pl.String, pl.Boolean, pl.Date, pl.Null} or dtype.is_integer()

    def finish(self, state: State) -> Encoded:
        """The Map that encodes."""
        columns = {c: list(self.order.get(c) or self._found(state[c])) for c in self.columns}
        return Encoded(state={"as": self.as_, "other": self.other, "columns": columns})

    def _found(self, counts: Mapping[str, int]) -> list[str]:
        own = {value: n for value, n in counts.items() if n >= self.min_count and value != OTHER}
        listed = list(ValueCounts(self.limit).finish(own))
        return sorted(listed, key=int) if all(map(_WHOLE.fullmatch, listed)) else sorted(listed)


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def _flags(column: str, listed: list[str], other: Other) -> list[pl.Expr]:
    flags = {f"{column}_{value}": _text(column) == value for value in listed}
    if other == "column":
        flags[f"{column}_{OTHER}"] = ~_text(column).is_in(listed)
    return [flag.fill_null(value=False).cast(pl.Int8).alias(name) for name, flag in flags.items()]


def _codes(column: str, listed: list[str], other: Other) -> pl.Expr:
    known = pl.col(column).is_not_null()
    rest = pl.when(known).then(pl.lit(-1 if other == "column" else None, dtype=pl.Int64))
    codes = _text(column).replace_strict(listed, range(len(listed)), default=None, return_dtype=pl.Int64)
    return pl.coalesce(codes, rest).alias(column)
