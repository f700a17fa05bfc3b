"""Numbers that lie far from the others leave with their row, or are brought back to the bound.

The bounds are learnt once and pinned. `z_score` follows mean and standard deviation, which outliers themselves move;
`iqr` and `mad` follow quantiles (`measure.Ranks`), which they do not. A state is two numbers a column.
Sources: Tukey, Exploratory Data Analysis, 1977 (fences of 1.5 interquartile ranges); Iglewicz and Hoaglin, How to
Detect and Handle Outliers, 1993 (modified z-score, 3.5).
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field

from tillage.core.rows import leave
from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure import Moments, Ranks, Statistic
from tillage.measure.ranks import distribution, quantile
from tillage.prepare.column_fold import ColumnFold
from tillage.prepare.columns import require_type

Way = Literal["z_score", "iqr", "mad"]

REASON = "outlier"
"""The reason of a row that leaves."""

_LIMITS: dict[Way, float] = {"z_score": 3.0, "iqr": 1.5, "mad": 3.5}

_MAD_OF_NORMAL = 0.6744897501960817
"""The median absolute deviation of the standard normal distribution: its third quartile."""


class OutlierFold(ColumnFold):
    """Bounds of columns of numbers, learnt from where most of their values lie.

    A column without spread (half of its values are one for `iqr` and `mad`, all of them for `z_score`) has no bounds.
    """

    model_config = ConfigDict(populate_by_name=True)

    with_: Way = Field(
        "iqr", alias="with", description="what distances are counted in: standard deviations, IQR, MAD (as if normal)"
    )
    limit: float | None = Field(
        None, gt=0, le=1e6, description="distance beyond which a value is an outlier; none: 3 for z_score, 1.5, 3.5"
    )

    def statistic(self) -> Statistic:
        """Moments or ranks."""
        return Moments() if self.with_ == "z_score" else Ranks((0.25, 0.5, 0.75))

    def bounds(self, state: State) -> dict[str, list[float] | None]:
        """Column to its lowest and highest value that is no outlier; None where there are no bounds."""
        return {c: self._bounds(state[c]) for c in self.columns}

    def _bounds(self, state: Any) -> list[float] | None:
        limit = self.limit or _LIMITS[self.with_]
        found = self.statistic().finish(state)
        if self.with_ == "z_score":
            spread = math.sqrt(found["variance"] or 0.0)
            low = high = found["mean"]
        elif self.with_ == "iqr":
            low, high = found["0.25"], found["0.75"]
            spread = high - low if low is not None else 0.0
        else:
            low = high = found["0.5"]
            spread = _median_deviation(state, low) / _MAD_OF_NORMAL if low is not None else 0.0
        if not (0 < spread < math.inf):
            return None
        return [low - limit * spread, high + limit * spread]


class DropOutliers(OutlierFold):
    """Learn bounds; the result is an `OutliersDropped`, with which rows beyond them leave, reason `outlier`.

    A row leaves when one of its columns is beyond its bounds, infinities included; nulls and NaN stay.

    >>> step = DropOutliers(columns=("x",))
    >>> rows = pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 100.0]})
    >>> step.finish(step.update(step.start(), rows)).apply(rows)["_reason"].to_list()
    [None, None, None, None, 'outlier']
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), with_="mad")

    def finish(self, state: State) -> OutliersDropped:
        """The Map that marks rows."""
        return OutliersDropped(state={"columns": self.bounds(state)})


class ClipOutliers(OutlierFold):
    """Learn bounds; the result is an `OutliersClipped`, with which values beyond them become the bound.

    Whole numbers stay whole: their bound is the last whole number within. Nulls and NaN stay as they are.

    >>> step = ClipOutliers(columns=("x",))
    >>> rows = pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 100.0]})
    >>> step.finish(step.update(step.start(), rows)).apply(rows)["x"].to_list()
    [1.0, 2.0, 3.0, 4.0, 7.0]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), with_="z_score", limit=1.0)

    def finish(self, state: State) -> OutliersClipped:
        """The Map that clips."""
        return OutliersClipped(state={"columns": self.bounds(state)})


class _Bounded(Fitted):
    """What holds bounds of columns: `{"columns": {column: [lowest, highest] or None}}`."""

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"columns": {"x": [-1.0, 1e3], "n": [-3.5, 4.5], "id": None}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return tuple(self.state["columns"])


class OutliersDropped(_Bounded):
    """Marks rows by the bounds in its state: `{"columns": {column: [lowest, highest] or None}}`.

    >>> dropped = OutliersDropped(state={"columns": {"x": [0.0, 9.0]}})
    >>> dropped.apply(pl.DataFrame({"x": [9.0, 9.5]}))["_reason"].to_list()
    [None, 'outlier']
    """

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows marked; raises ConfigurationError for a column that is missing or holds no numbers."""
        require_type(rows, self.needs(), "numbers")
        beyond = [
            ~pl.col(c).cast(pl.Float64).fill_nan(None).is_between(*bounds)
            for c, bounds in self.state["columns"].items()
            if bounds is not None
        ]
        return leave(rows, REASON, pl.any_horizontal(beyond) if beyond else pl.lit(value=False))


class OutliersClipped(_Bounded):
    """Clips by the bounds in its state: `{"columns": {column: [lowest, highest] or None}}`.

    >>> clipped = OutliersClipped(state={"columns": {"n": [0.5, 9.5]}})
    >>> clipped.apply(pl.DataFrame({"n": [-4, 5, 12, None]}))["n"].to_list()
    [1, 5, 9, None]
    """

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows clipped; raises ConfigurationError for a column that is missing or holds no numbers."""
        require_type(rows, self.needs(), "numbers")
        return rows.with_columns(
            _clipped(name, rows.schema[name], *bounds)
            for name, bounds in self.state["columns"].items()
            if bounds is not None
        )


def _clipped(name: str, dtype: pl.DataType, low: float, high: float) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_integer():
        least, most = (pl.select(end).item() for end in (dtype.min(), dtype.max()))  # type: ignore[attr-defined]
        first, last = max(math.ceil(low), least), min(math.floor(high), most)
        if first > last:  # no whole number lies between the bounds
            first = last = min(max(round((low + high) / 2), least), most)
        return column.clip(pl.lit(first, dtype=dtype), pl.lit(last, dtype=dtype))
    if dtype == pl.Null:
        return column
    ends = pl.when(column < low).then(pl.lit(low)).when(column > high).then(pl.lit(high))
    is_nan = column.is_nan() if dtype.is_float() else pl.lit(value=False)
    return pl.when(is_nan).then(column).otherwise(ends.otherwise(column)).cast(dtype).alias(name)


def _median_deviation(state: Any, centre: float) -> float:
    """The median of the distances from `centre`, of a state of `Ranks`."""
    values, counts = distribution(state)
    away = np.abs(values - centre)
    order = np.argsort(away, kind="stable")
    return quantile(away[order], counts[order], 0.5)
