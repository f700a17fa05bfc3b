"""The parts of a date as columns of numbers: year, month, weekday and others. Cost: that of the Polars expressions.

Source: ISO 8601-1:2019 (weekdays from Monday, 1, to Sunday, 7; weeks that begin on Monday).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import user_columns
from tillage.core.step import Map
from tillage.prepare.columns import require
from tillage.prepare.time_zone import TimeZone

Part = Literal[
    "year", "quarter", "month", "week", "week_year", "day", "day_of_year", "weekday", "is_weekend", "hour", "minute"
]

_PARTS: Mapping[Part, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda t: t.dt.year(),
    "quarter": lambda t: t.dt.quarter(),
    "month": lambda t: t.dt.month(),
    "week": lambda t: t.dt.week(),
    "week_year": lambda t: t.dt.iso_year(),
    "day": lambda t: t.dt.day(),
    "day_of_year": lambda t: t.dt.ordinal_day(),
    "weekday": lambda t: t.dt.weekday(),
    "is_weekend": lambda t: t.dt.weekday() > 5,
    "hour": lambda t: t.dt.hour(),
    "minute": lambda t: t.dt.minute(),
}
_OF_TIMES = {"hour", "minute"}


class Dates(Map):
    """Add COLUMN_PART for each part of each column of dates or times; a null has null parts.

    Times with a zone are first moved to `time_zone`; times without one, and dates, are taken as they stand.
    `week` is the ISO week, which belongs to `week_year`: 2024-12-30 lies in week 1 of 2025. `is_weekend`: Saturday
    and Sunday.

    >>> import datetime as dt
    >>> rows = pl.DataFrame({"seen": [dt.datetime(2024, 12, 29, 20, 0, tzinfo=dt.timezone.utc)]})
    >>> step = Dates(columns=("seen",), parts=("day", "hour", "weekday"), time_zone="Asia/Shanghai")
    >>> step.apply(rows).drop("seen").rows(named=True)
    [{'seen_day': 30, 'seen_hour': 4, 'seen_weekday': 1}]
    """

    columns: Columns = Field(min_length=1, description="columns of dates or times")
    parts: tuple[Part, ...] = Field(
        ("year", "month", "day", "weekday"), min_length=1, description="what is taken of each, in this order"
    )
    time_zone: TimeZone = Field("UTC", description="where the calendar is that times with a zone are read by")

    def needs(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the parts; raises ConfigurationError for a column that is missing or holds no dates."""
        require(rows, self.columns)
        problems = [p for c in self.columns for p in self._problems(rows, c)]
        if problems:
            raise ConfigurationError(problems)
        return rows.with_columns(
            _PARTS[part](self._local(c, rows.schema[c])).cast(_type_of(part)).alias(f"{c}_{part}")
            for c in self.columns
            for part in self.parts
        )

    def _problems(self, rows: pl.DataFrame, column: str) -> list[Problem]:
        dtype = rows.schema[column]
        if dtype not in {pl.Null, pl.Date} and not isinstance(dtype, pl.Datetime):
            fix = " Put `parse_dates` before this step." if dtype == pl.String else " Leave it out of 'columns'."
            return [Problem(f"Column '{column}' holds {dtype}, and dates needs dates or times.{fix}")]
        taken = [f"{column}_{part}" for part in self.parts if f"{column}_{part}" in user_columns(rows)]
        found = [
            Problem(f"dates makes a column '{name}', and there is one of that name. Rename that before.")
            for name in taken
        ]
        timed = sorted(_OF_TIMES.intersection(self.parts))
        if dtype == pl.Date and timed:
            found.append(
                Problem(
                    f"Column '{column}' holds dates without a time, which have no {timed[0]}. Leave it out of 'parts'."
                )
            )
        return found

    def _local(self, column: str, dtype: pl.DataType) -> pl.Expr:
        if dtype == pl.Null:
            return pl.col(column).cast(pl.Datetime("us"))
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            return pl.col(column).dt.convert_time_zone(self.time_zone)
        return pl.col(column)


def _type_of(part: Part) -> pl.DataType:
    return pl.Boolean() if part == "is_weekend" else pl.Int64()
