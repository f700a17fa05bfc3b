"""The shape of every statistic here: a state that can be merged in any order, exactly.

A state is a tree of `core.state`, so it can be saved, sent to another machine and merged there. Equal sets of values
give equal states, and so equal bytes, however they were cut into batches and in whatever order they came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import polars as pl

from tillage.core.errors import UsageError
from tillage.core.state import State


class Statistic(ABC):
    """A summary of one column.

    >>> from tillage.measure import Counts
    >>> counts = Counts()
    >>> a, b = (counts.update(counts.start(), pl.Series(v)) for v in ([1, None], [3]))
    >>> counts.finish(counts.merge(a, b))
    {'rows': 3, 'nulls': 1}
    """

    @abstractmethod
    def start(self) -> State:
        """The state before any value; the identity of `merge`."""

    @abstractmethod
    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        """The state after `values`; `state` is left as it was. `ids`: their row_ids, which only a sample needs."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of both sets of values; neither argument is changed."""

    @abstractmethod
    def finish(self, state: State) -> Any:
        """The result."""


def numbers(values: pl.Series) -> pl.Series:
    """The values without nulls, as Int64, UInt64 or Float64; raises UsageError when they are no such numbers.

    >>> numbers(pl.Series([1, None], dtype=pl.Int8)).dtype
    Int64
    """
    dtype = values.dtype
    if dtype in {pl.UInt64, pl.Int64, pl.Float64}:
        return values.drop_nulls()
    if dtype.is_float():
        return values.drop_nulls().cast(pl.Float64)
    if dtype in {pl.Boolean, pl.Null} or (dtype.is_integer() and dtype not in {pl.Int128, pl.UInt128}):
        return values.drop_nulls().cast(pl.Int64)
    raise UsageError(
        f"Column '{values.name}' is of type {dtype}, and numbers are needed.",
        fix="Convert it to int64 or float64 beforehand.",
    )


def positive_zero(values: pl.Series) -> pl.Series:
    """The floats without nulls, with 0.0 for -0.0: the two are equal, and must not differ in a state.

    >>> positive_zero(pl.Series([-0.0])).to_list()
    [0.0]
    """
    return pl.Series(values.name, values.to_numpy() + 0.0, dtype=values.dtype)  # Polars leaves `+ 0.0` out
