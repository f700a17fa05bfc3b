"""Columns of numbers brought to one scale: (value - centre) / spread, with both learnt once and pinned.

`standard` and `min_max` are exact in any order of the rows; `robust` takes its quantiles from `measure.Ranks`, which is
exact up to 65,536 different values a column. A state is two numbers a column.
Sources: scikit-learn's StandardScaler, MinMaxScaler and RobustScaler, whose definitions these are.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import polars as pl
from pydantic import ConfigDict, Field, model_validator

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure import Extremes, Moments, Ranks, Statistic
from tillage.prepare.column_fold import ColumnFold
from tillage.prepare.columns import divided, require_type

Way = Literal["standard", "min_max", "robust"]


class Scaled(Fitted):
    """Scales by the numbers in its state: `{"columns": {column: {"centre": number, "spread": number}}}`.

    The columns become float64. Nulls, NaN and infinities stay; a column of which nothing was learnt keeps its values.

    >>> scaled = Scaled(state={"columns": {"x": {"centre": 10.0, "spread": 2.0}}})
    >>> scaled.apply(pl.DataFrame({"x": [10, 14, None]}))["x"].to_list()
    [0.0, 2.0, None]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"columns": {"x": {"centre": 0.5, "spread": 2.0}, "n": {"centre": 1.0, "spread": 3.0}}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it scales."""
        return tuple(self.state["columns"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows scaled; raises ConfigurationError for a column that is missing or holds no numbers."""
        require_type(rows, self.needs(), "numbers")
        return rows.with_columns(
            divided(pl.col(c).cast(pl.Float64) - by["centre"], by["spread"]) for c, by in self.state["columns"].items()
        )


class Scale(ColumnFold):
    """Learn the scale of some columns; the result is a `Scaled`.

    `standard`: mean 0 and standard deviation 1 (divided by n). `min_max`: from 0 to 1 for the values seen; others may
    lie beyond. `robust`: median 0, and the range between two quantiles 1. A column of one value only is centred.

    >>> step = Scale(columns=("x",))
    >>> scaled = step.finish(step.update(step.start(), pl.DataFrame({"x": [1.0, None, 3.0]})))
    >>> scaled.apply(pl.DataFrame({"x": [2.0, 4.0]}))["x"].to_list()
    [0.0, 2.0]
    """

    model_config = ConfigDict(populate_by_name=True)

    with_: Way = Field("standard", alias="with", description="what centre and spread are taken from")
    quantiles: tuple[float, float] = Field(
        (0.25, 0.75), description="shares (0 to 1) of rows below the ends of the range that `robust` makes 1"
    )

    @model_validator(mode="after")
    def _quantiles_make_a_range(self) -> Self:
        low, high = self.quantiles
        if not 0 <= low < high <= 1:
            raise ValueError(f"'quantiles' must be two shares from 0 to 1, the lower first, got {low} and {high}")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), with_="robust")

    def statistic(self) -> Statistic:
        """Moments, extremes or ranks."""
        if self.with_ == "standard":
            return Moments()
        return Extremes() if self.with_ == "min_max" else Ranks((self.quantiles[0], 0.5, self.quantiles[1]))

    def finish(self, state: State) -> Scaled:
        """The Map that scales; raises BadData when values lie further apart than float64 reaches."""
        return Scaled(state={"columns": {c: self._by(c, state[c]) for c in self.columns}})

    def _by(self, column: str, state: State) -> dict[str, float]:
        centre, spread = self._learnt(self.statistic().finish(state))
        if not (math.isfinite(centre) and math.isfinite(spread)):
            raise BadData(
                f"The values of '{column}' lie so far apart that their spread is beyond float64.",
                fix="Look for wrong values with `tillage show`, and filter or clip them before `scale`.",
            )
        return {"centre": centre, "spread": spread or 1.0}

    def _learnt(self, found: dict[str, Any]) -> tuple[float, float]:
        """(centre, spread); 0 and 0 when there was no value."""
        if self.with_ == "standard":
            count = found["count"]
            spread = math.sqrt(found["variance"] * ((count - 1) / count)) if count > 1 else 0.0
            return found["mean"] or 0.0, spread
        if self.with_ == "min_max":
            if found["min"] is None:
                return 0.0, 0.0
            return float(found["min"]), float(found["max"]) - float(found["min"])
        low, centre, high = (found[str(q)] for q in (self.quantiles[0], 0.5, self.quantiles[1]))
        return (0.0, 0.0) if centre is None else (centre, high - low)
