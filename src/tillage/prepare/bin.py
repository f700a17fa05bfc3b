"""Numbers become the number of the range in which they lie: ranges of one width, of one count, or as given.

The edges are learnt once and pinned; the outermost ranges are open, so that every later number has one. Learning costs
a scan for `width` and a sort for `quantile` (`measure.Ranks`); a bin costs a binary search among the edges.
Source: scikit-learn's KBinsDiscretizer, whose ranges these are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field, FiniteFloat, model_validator

from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure import Extremes, Ranks, Statistic
from tillage.prepare.column_fold import ColumnFold
from tillage.prepare.columns import require_type

Way = Literal["width", "quantile"]
Labels = Literal["number", "range"]


class Binned(Fitted):
    """Bins by the edges in its state: `{"labels": ..., "columns": {column: [edge, ...]}}`.

    A number below the first edge lies in bin 0, one that equals an edge in the bin above it. Null and NaN become null,
    infinities lie in the outermost bins.

    >>> binned = Binned(state={"labels": "range", "columns": {"age": [18.0, 65.0]}})
    >>> binned.apply(pl.DataFrame({"age": [3, 18, 90, None]}))["age"].to_list()
    ['below 18', '18 to 65', '65 and above', None]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"labels": "number", "columns": {"x": [0.0, 0.2, 1e3], "n": []}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it bins."""
        return tuple(self.state["columns"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows binned; raises ConfigurationError for a column that is missing or holds no numbers."""
        require_type(rows, self.needs(), "numbers")
        return rows.with_columns(self._binned(rows[c], edges) for c, edges in self.state["columns"].items())

    def _binned(self, values: pl.Series, edges: list[float]) -> pl.Series:
        floats = values.cast(pl.Float64).fill_nan(None)
        places = np.searchsorted(np.array(edges, np.float64), floats.to_numpy(), side="right")
        bins = pl.Series(values.name, places, dtype=pl.Int64).set(floats.is_null(), None)
        if self.state["labels"] == "number":
            return bins
        names = range_names(edges)
        return bins.replace_strict(range(len(names)), names, return_dtype=pl.String)


class Bin(ColumnFold):
    """Learn the ranges of some columns; the result is a `Binned`.

    `width`: `bins` ranges of one width between the smallest and the largest number. `quantile`: `bins` ranges with
    equally many rows, as far as equal numbers allow it. Where `edges` are given nothing is learnt: there is one range
    below the first, one above the last, and one between each two. Ranges that would be empty because their edges are
    equal are left out.

    >>> step = Bin(columns=("x",), bins=2)
    >>> binned = step.finish(step.update(step.start(), pl.DataFrame({"x": [0.0, 1.0, 10.0]})))
    >>> binned.apply(pl.DataFrame({"x": [-5.0, 4.9, 5.0]}))["x"].to_list()
    [0, 0, 1]
    """

    model_config = ConfigDict(populate_by_name=True)

    with_: Way = Field("width", alias="with", description="ranges of one width, or of equally many rows")
    bins: int = Field(5, ge=2, le=10_000, description="how many ranges `width` and `quantile` make")
    edges: tuple[FiniteFloat, ...] = Field(
        (), description="where ranges meet, rising, instead of those that are learnt"
    )
    labels: Labels = Field("number", description="a bin is its number, from 0, or a text such as '18 to 65'")

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError(f"'edges' must rise, got {list(self.edges)}")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), edges=(0.0, 0.25, 3.0), labels="range")

    def statistic(self) -> Statistic | None:
        """Extremes or ranks; nothing where the edges are given."""
        if self.edges:
            return None
        return Extremes() if self.with_ == "width" else Ranks(tuple(i / self.bins for i in range(1, self.bins)))

    def finish(self, state: State) -> Binned:
        """The Map that bins."""
        return Binned(state={"labels": self.labels, "columns": {c: self._edges(c, state) for c in self.columns}})

    def _edges(self, column: str, state: State) -> list[float]:
        statistic = self.statistic()
        if statistic is None:
            return list(self.edges)
        found = statistic.finish(state[column])
        if None in found.values():
            return []
        if self.with_ == "quantile":
            return sorted({float(edge) for edge in found.values()})
        low, high = float(found["min"]), float(found["max"])
        if low == high:
            return []
        # Each end is divided by itself: their difference may be beyond float64.
        edges = [low * (1 - i / self.bins) + high * (i / self.bins) for i in range(1, self.bins)]
        return sorted(set(edges))


def range_names(edges: list[float]) -> list[str]:
    """The name of each range, in order; edges have six digits, or all where six do not tell them apart.

    >>> range_names([0.5, 10.0])
    ['below 0.5', '0.5 to 10', '10 and above']
    """
    if not edges:
        return ["any"]
    names = [f"{edge:.6g}" for edge in edges]
    if len(set(names)) < len(names):
        names = [repr(edge) for edge in edges]
    return [f"below {names[0]}", *(f"{a} to {b}" for a, b in pairwise(names)), f"{names[-1]} and above"]
