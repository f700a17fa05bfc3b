"""Missing values are filled with one that the column suggests (its median, its most frequent), or with a constant.

The value is learnt once and is a state of its own, so that serving fills with what training saw. It is exact, the
median up to 65,536 different values a column. A state is a few numbers a column; `median` and `most_frequent` hold
distinct values.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal, Self

import polars as pl
from pydantic import ConfigDict, Field, FiniteFloat, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure import Extremes, Ranks, Statistic, Sum, ValueCounts
from tillage.prepare.column_fold import RowFold
from tillage.prepare.columns import remedy, require

Way = Literal["mean", "median", "min", "max", "most_frequent", "constant"]

_STATISTICS: Mapping[str, Statistic] = {
    "mean": Sum(), "median": Ranks((0.5,)), "min": Extremes(), "max": Extremes(), "most_frequent": ValueCounts(top=1),
}  # fmt: skip
_BETWEEN = ("mean", "median")
"""What may lie between the values of a column."""


class FilledMissing(Fitted):
    """Fills nulls and NaN with the values in its state: `{"values": {column: value}, "with": way}`.

    Dates and times are filled with one that is written by ISO 8601, in UTC.

    A column without a value to fill with stays as it is. Whole numbers filled with a fraction, and always with
    `mean` and `median`, become float64, so that the type of a table does not depend on its rows.

    >>> filled = FilledMissing(state={"with": "constant", "values": {"city": "unknown"}})
    >>> filled.apply(pl.DataFrame({"city": ["x", None]}))["city"].to_list()
    ['x', 'unknown']
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"with": "mean", "values": {"x": 0.5, "n": 2.5}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it fills."""
        return tuple(self.state["values"])

    def notes(self) -> tuple[str, ...]:
        """The columns that stay as they are."""
        return tuple(
            f"Column '{name}' has no value to learn from, so its gaps stay. Give fill_missing a `value` for it."
            for name, value in self.state["values"].items()
            if value is None
        )

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows filled; raises ConfigurationError for a column that is missing or of another type than the value."""
        require(rows, self.needs())
        return rows.with_columns(self._filled(rows, name, value) for name, value in self.state["values"].items())

    def _filled(self, rows: pl.DataFrame, name: str, value: Any) -> pl.Expr:
        column, dtype = pl.col(name), rows.schema[name]
        if dtype.is_float():
            column = column.fill_nan(None)
        if dtype.is_integer() and (isinstance(value, float) or self.state["with"] in _BETWEEN):
            column, dtype = column.cast(pl.Float64), pl.Float64()
        if value is None:
            return column
        held = pl.Series([value], strict=False)  # null where no type of integers is wide enough
        if dtype == pl.Null and held.null_count() == 0:
            return pl.lit(value).alias(name)
        if self.state["with"] == "most_frequent":
            return column.fill_null(_from_text(value, dtype))
        if isinstance(value, str) and (dtype == pl.Date or isinstance(dtype, pl.Datetime)):
            value = _moment(value) or value
            held = pl.Series([value])
        if not _fits(value, dtype):
            raise ConfigurationError(
                f"Column '{name}' holds {dtype} and cannot be filled with {self.state['values'][name]!r}.",
                fix=self._remedy(name, dtype, value),
            )
        if held.cast(dtype, strict=False).null_count():
            raise ConfigurationError(
                f"Column '{name}' holds {dtype}, which has no room for {value!r}.", fix=self._remedy(name, dtype, value)
            )
        return column.fill_null(pl.lit(value).cast(dtype))

    def _remedy(self, name: str, dtype: pl.DataType, value: Any) -> str:
        if isinstance(value, str | dt.datetime) and (dtype == pl.Date or isinstance(dtype, pl.Datetime)):
            return "Write it as 2024-01-31, or 2024-01-31 08:30 for a time in UTC."
        if self.state["with"] != "constant":
            return "Learn it again: tillage run --refit TABLE"
        if isinstance(value, str) and dtype != pl.Binary and not dtype.is_nested():
            return f"Give a `value` of its type, or make it text before: cast: {{columns: {{{name}: text}}}}."
        return "Give a `value` of its type, or leave it out of 'columns'."


class FillMissing(RowFold):
    """Learn what to fill the gaps of some columns with; the result is a `FilledMissing`.

    NaN counts as missing. Infinities are no value to learn from, but stay where they are. Of equally frequent values
    the first by text is taken.

    >>> step = FillMissing(columns=("x",), with_="mean")
    >>> filled = step.finish(step.update(step.start(), pl.DataFrame({"x": [1.0, None, 4.0]})))
    >>> filled.apply(pl.DataFrame({"x": [None, 7.0]}))["x"].to_list()
    [2.5, 7.0]
    """

    model_config = ConfigDict(populate_by_name=True)

    columns: Columns = Field(min_length=1, description="columns to fill")
    with_: Way = Field("most_frequent", alias="with", description="what to fill with")
    value: bool | int | FiniteFloat | str | None = Field(
        None,
        description="the constant (a day as '2024-01-05'); otherwise what fills a column with no value to learn from",
    )

    @model_validator(mode="after")
    def _constant_is_given(self) -> Self:
        if self.with_ == "constant" and self.value is None:
            raise ValueError("'with: constant' needs a 'value' to fill with")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), with_="mean")

    def needs(self) -> tuple[str, ...]:
        """The columns to fill, and those of the condition."""
        return self.named(*self.columns)

    def start(self) -> State:
        """No value seen in any column."""
        statistic = _STATISTICS.get(self.with_)
        return {c: statistic.start() for c in self.columns} if statistic else {}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing or unsuitable."""
        require(rows, self.columns)
        wrong = [c for c in self.columns if not _can_be_learnt(rows.schema[c], self.with_)]
        if wrong:
            raise ConfigurationError(
                Problem(
                    f"Column '{c}' holds {rows.schema[c]}, and cannot be filled with: {self.with_}. "
                    f"{remedy(c, rows.schema[c], 'numbers' if self.with_ in _BETWEEN else 'text')}"
                )
                for c in wrong
            )
        statistic, rows = _STATISTICS.get(self.with_), self.learnt(rows)
        return {c: statistic.update(state[c], _known(rows[c])) for c in self.columns} if statistic else {}

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        statistic = _STATISTICS.get(self.with_)
        return {c: statistic.merge(a[c], b[c]) for c in self.columns} if statistic else {}

    def finish(self, state: State) -> FilledMissing:
        """The Map that fills."""
        return FilledMissing(state={"with": self.with_, "values": {c: self._value(state, c) for c in self.columns}})

    def _value(self, state: State, column: str) -> Any:
        if self.with_ == "constant":
            return self.value
        found = _STATISTICS[self.with_].finish(state[column])
        if self.with_ == "mean":
            learnt = found / state[column]["count"] if state[column]["count"] else None
        elif self.with_ == "median":
            learnt = found["0.5"]
        elif self.with_ == "most_frequent":
            learnt = next(iter(found), None)
        else:
            learnt = found[self.with_]
        return self._stand_in() if learnt is None else learnt

    def _stand_in(self) -> Any:
        """`value`, in the form in which the learnt ones come: the most frequent are texts."""
        if self.with_ != "most_frequent" or self.value is None or isinstance(self.value, str):
            return self.value
        return str(self.value).lower()


def _can_be_learnt(dtype: pl.DataType, way: Way) -> bool:
    if way == "constant" or dtype == pl.Null:
        return True
    if dtype in {pl.Boolean, pl.Date}:
        return way == "most_frequent"
    return (dtype.is_integer() or dtype.is_float()) if way in _BETWEEN else (dtype == pl.String or dtype.is_numeric())


def _known(values: pl.Series) -> pl.Series:
    values = values.rename("value")  # whatever the user calls it
    return values.filter(values.is_finite()) if values.dtype.is_float() else values


def _moment(text: str) -> dt.datetime | None:
    """The day or time that a text says by ISO 8601, in UTC; None: it says none."""
    try:
        read = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is None else read.astimezone(dt.UTC).replace(tzinfo=None)


def _fits(value: Any, dtype: pl.DataType) -> bool:
    if isinstance(value, bool):
        return dtype == pl.Boolean
    if isinstance(value, dt.datetime):
        return isinstance(dtype, pl.Datetime) or (dtype == pl.Date and value.time() == dt.time())
    return dtype.is_numeric() if isinstance(value, int | float) else dtype in {pl.String, pl.Categorical, pl.Enum}


def _from_text(value: str, dtype: pl.DataType) -> pl.Expr:
    """The value of type `dtype` that was counted under this text."""
    if dtype == pl.Boolean:
        return pl.lit(value == "true")
    return pl.lit(value).str.to_date() if dtype == pl.Date else pl.lit(value).cast(dtype)
