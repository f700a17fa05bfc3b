"""Columns brought to declared types; a value that has no such value leaves with its row, or becomes null.

Nothing is rounded, cut or guessed: 1.5 is no integer, 2^53 + 1 no float, and `maybe` not true. Cost: a scan a column.
"""

from __future__ import annotations

from typing import Literal, Self

import polars as pl
from pydantic import Field

from tillage.core.columns import written
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.prepare.columns import require
from tillage.prepare.parse_dates import ISO, ParseDates, has_text

Type = Literal["int64", "float64", "text", "bool", "date", "datetime"]

_TYPES: dict[Type, pl.DataType] = {
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "text": pl.String(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us", "UTC"),
}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DECIMAL = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_EXACT = 1 << 53
"""Integers up to this have a float64 of their own."""


class Cast(Map):
    """Bring each column to its type: int64, float64, text, bool, date, datetime (microseconds in UTC).

    Spaces at the ends of a text do not count; an empty one becomes null, and so does NaN where there is none. Integers:
    `007`, `+5`, `12.0`. Truth values: true, yes, 1, false, no, 0. Dates and times: ISO 8601 (`parse_dates` reads
    others), without an offset in UTC. A date is its first moment, and a time has the date of its day in UTC. A row that
    fails leaves with reason `not_TYPE`, of the first of its columns that fails.

    >>> rows = pl.DataFrame({"n": ["007", " 5 ", "", "1.5"]})
    >>> Cast(columns={"n": "int64"}).apply(rows).rows()
    [(7, None), (5, None), (None, None), (None, 'not_int64')]
    """

    columns: dict[str, Type] = Field(min_length=1, description="column to its type")
    failing: Literal["leave", "null"] = Field(
        "leave", description="a value that has no such value: its row leaves, or it becomes null"
    )

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns={"x": "int64", "n": "float64", "day": "date", "id": "text", "text": "bool"}, failing="null")

    def needs(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.columns)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows in these types; raises ConfigurationError for a column that is missing or can have no such type."""
        require(rows, self.columns)
        wrong = [(c, to) for c, to in self.columns.items() if not _possible(rows.schema[c], to)]
        if wrong:
            raise ConfigurationError(
                (
                    Problem(f"Column '{c}' holds {rows.schema[c]}, of which nothing can be made {to}.")
                    for c, to in wrong
                ),
                fix="Leave it out of `cast`, or name another type.",
            )
        made = rows.select(_cast(c, rows.schema[c], to).alias(c) for c, to in self.columns.items())
        out = rows.with_columns(made)
        if self.failing == "leave":
            for name, to in self.columns.items():
                lost = made[name].is_null() & _has_value(rows[name])
                out = leave(out, f"not_{to}", pl.lit(lost))
        return out


def _possible(dtype: pl.DataType, to: Type) -> bool:
    if dtype in {pl.String, pl.Null} or dtype == _TYPES[to]:
        return True
    if to in {"date", "datetime"}:
        return dtype == pl.Date or isinstance(dtype, pl.Datetime)
    plain = dtype == pl.Boolean or dtype.is_numeric()
    return plain or (to == "text" and (dtype == pl.Date or isinstance(dtype, pl.Datetime | pl.Categorical | pl.Enum)))


def _cast(name: str, dtype: pl.DataType, to: Type) -> pl.Expr:
    column = pl.col(name)
    if dtype == _TYPES[to] or dtype == pl.Null:
        return column.cast(_TYPES[to])
    if to in {"date", "datetime"}:
        return ParseDates(columns=(name,), formats=ISO, to=to).parsed(name, dtype)
    if dtype == pl.String and to != "text":
        return _from_text(column.str.strip_chars(), to)
    if to == "text":
        return written(name, dtype)
    if dtype == pl.Boolean:
        return column.cast(_TYPES[to])
    return _between(column, dtype, to)


def _from_text(text: pl.Expr, to: Type) -> pl.Expr:
    if to == "bool":
        return text.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    if to == "int64":
        return text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    number = pl.when(text.str.contains(_DECIMAL)).then(text).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _between(column: pl.Expr, dtype: pl.DataType, to: Type) -> pl.Expr:
    """From numbers to another type, where the value stays what it is."""
    if to == "bool":
        return pl.when(column == 0).then(pl.lit(value=False)).when(column == 1).then(pl.lit(value=True))
    if to == "int64" and dtype.is_float():  # -2^63 has a float64, and 2^63 is the first that is too large
        whole = column.is_finite() & (column == column.floor()) & (column >= -(2.0**63)) & (column < 2.0**63)
        return pl.when(whole).then(column).cast(pl.Int64, strict=False)
    if to == "float64" and dtype.is_integer():
        return pl.when(column.cast(pl.Int128).is_between(-_EXACT, _EXACT)).then(column.cast(pl.Float64))
    if to == "int64" and not dtype.is_integer():  # decimals
        made = column.cast(pl.Int64, strict=False)
        return pl.when(made.cast(dtype, strict=False) == column).then(made)
    return column.cast(_TYPES[to], strict=False)


def _has_value(values: pl.Series) -> pl.Series:
    if values.dtype.is_float():
        return values.is_not_null() & values.is_not_nan().fill_null(value=False)
    return has_text(values)
