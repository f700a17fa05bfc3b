"""What the steps that learn from rows have in common: which rows, and for columns one by one a statistic each.

A subclass says which statistic it keeps, which types it can learn from, and what it makes of the states. Cost: that of
the statistic.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.expression import ConditionText, parse
from tillage.core.state import State
from tillage.core.step import Fold
from tillage.measure import Statistic
from tillage.prepare.columns import expression, remedy, require


class RowFold(Fold):
    """A Fold that learns from all rows, or from those of a condition: those that train a model, those of the past."""

    learn_from: ConditionText | None = Field(
        None, description="condition of the rows that are learnt from, such as split = 'train'; none: all"
    )

    def learnt(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are learnt from; raises ConfigurationError for a condition that does not suit them."""
        if self.learn_from is None:
            return rows
        return rows.filter(expression(rows, self.learn_from, condition=True))

    def named(self, *columns: str) -> tuple[str, ...]:
        """These columns, each once, and those that the condition reads."""
        read = parse(self.learn_from).columns if self.learn_from is not None else ()
        return tuple(dict.fromkeys([*columns, *read]))


class ColumnFold(RowFold):
    """A Fold over `columns`; nulls, NaN and infinities are no values to learn from."""

    wants: ClassVar[str] = "numbers"
    """What a column that does not suit is to be made: "numbers" or "text"."""

    columns: Columns = Field(min_length=1, description="columns that it learns from, and that it changes")

    @abstractmethod
    def statistic(self) -> Statistic | None:
        """What is kept of each column; None when there is nothing to learn."""

    def suits(self, dtype: pl.DataType) -> bool:
        """Whether a column of this type can be learnt from: numbers, unless a step says otherwise."""
        return is_number(dtype)

    def needs(self) -> tuple[str, ...]:
        """The columns, and those of the condition."""
        return self.named(*self.columns)

    def start(self) -> State:
        """No value seen in any column."""
        statistic = self.statistic()
        return {c: statistic.start() for c in self.columns} if statistic else {}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing or unsuitable."""
        require(rows, self.columns)
        wrong = [c for c in self.columns if not self.suits(rows.schema[c])]
        if wrong:
            raise ConfigurationError(
                Problem(
                    f"Column '{c}' holds {rows.schema[c]}, and {self.name()} cannot learn from that. "
                    f"{remedy(c, rows.schema[c], self.wants)}"
                )
                for c in wrong
            )
        statistic, rows = self.statistic(), self.learnt(rows)
        return {c: statistic.update(state[c], known(rows[c])) for c in self.columns} if statistic else {}

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        statistic = self.statistic()
        return {c: statistic.merge(a[c], b[c]) for c in self.columns} if statistic else {}


def is_number(dtype: pl.DataType) -> bool:
    """Whether statistics can be taken of a column of this type: integers to 64 bits, floats, or no value at all.

    >>> is_number(pl.Int8()), is_number(pl.String())
    (True, False)
    """
    return dtype == pl.Null or dtype.is_float() or (dtype.is_integer() and dtype not in {pl.Int128, pl.UInt128})


def known(values: pl.Series) -> pl.Series:
    """The values that can be learnt from, under a name of our own, whatever the user calls the column.

    >>> known(pl.Series("x", [1.0, None, float("nan"), float("inf")])).to_list()
    [1.0]
    """
    values = values.rename("value").drop_nulls()
    return values.filter(values.is_finite()) if values.dtype.is_float() else values
