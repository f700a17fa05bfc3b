"""One expectation on a table, as its owner writes it: `{column: disease, not_null: true}`.

A check says what must hold; it falls into parts, one for each word used, and each part becomes one verdict.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from tillage.core.errors import ConfigurationError
from tillage.core.expression import ConditionText
from tillage.core.step import Beside
from tillage.govern.compared import Batch, Drift, Fresh
from tillage.govern.references import References

Value = bool | int | FiniteFloat | str | dt.datetime | dt.date
"""A value in a plan: YAML reads `2024-01-05` as a date."""

TypeName = Literal["int64", "float64", "text", "bool", "date", "datetime"]

PARTS = (
    "type",
    "not_null",
    "unique",
    "min",
    "max",
    "one_of",
    "matches",
    "where",
    "rows_min",
    "rows_max",
    "references",
    "fresh",
    "drift",
    "batch",
)
"""The parts of a check, in the order of their verdicts."""


def _pattern(text: str) -> str:
    try:
        pl.Series([""]).str.contains(text, strict=True)
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"'matches' is not a regular expression of the linear-time kind: {error}") from error
    return text


class RowCount(BaseModel):
    """How many rows a table may have, both ends included.

    >>> RowCount(min=1).max is None
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int | None = Field(None, ge=0, description="fewest rows")
    max: int | None = Field(None, ge=0, description="most rows")


class Check(BaseModel):
    """What must hold of a column, a row or the number of rows.

    `min`, `max`, `one_of` and `matches` look at values, not at nulls (`not_null` looks at those); NaN lies within no
    bounds. A condition (`where`) that is null for a row does not hold for it. `at_least` is the share of rows or
    values for which each of these must hold.

    >>> Check(column="age", min=0, max=130).parts()
    ('min', 'max')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = Field(None, description="column that the check is about")
    type: TypeName | None = Field(None, description="type of the column; a column without values passes")
    not_null: bool = Field(False, description="rows must have a value")
    unique: bool = Field(False, description="no value may occur twice; costs 16 bytes a distinct value")
    min: Value | None = Field(None, description="smallest value allowed")
    max: Value | None = Field(None, description="largest value allowed")
    one_of: tuple[Value, ...] | None = Field(None, min_length=1, description="values allowed")
    matches: Annotated[str, AfterValidator(_pattern)] | None = Field(
        None, description="regular expression found in each text; ^ and $ bind it to the ends"
    )
    where: ConditionText | None = Field(None, description="condition that must be true for a row")
    at_least: float = Field(1.0, ge=0, le=1, description="share for which it must hold, 0 to 1")
    rows: RowCount | None = Field(None, description="fewest and most rows of the table")
    references: References | None = Field(
        None, description="column of another table that holds every value: TABLE.COLUMN; nulls refer to nothing"
    )
    fresh: Fresh | None = Field(None, description="how old the newest value may be: {within: 2d, of: COLUMN}")
    drift: Drift | None = Field(None, description="how far values may differ from those of other rows")
    batch: Batch | None = Field(None, description="how far the last batch may differ from those before")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        parts = self.parts()
        if not parts:
            raise ValueError("a check must say what to expect, such as not_null: true")
        several = self.references is not None and self.references.columns is not None
        alone = {"where", "rows_min", "rows_max", "batch", *(["references"] if several else [])}
        of_column = [p for p in parts if p not in alone]
        if several and self.column is not None:
            raise ValueError("'references' with 'columns' names the columns itself: leave out 'column'")
        if of_column and self.column is None:
            raise ValueError(f"'{of_column[0]}' needs a column: {{column: NAME, {of_column[0]}: ...}}")
        return self

    def parts(self) -> tuple[str, ...]:
        """Which of PARTS are asked for."""
        asked = {
            "type": self.type is not None,
            "not_null": self.not_null,
            "unique": self.unique,
            "min": self.min is not None,
            "max": self.max is not None,
            "one_of": self.one_of is not None,
            "matches": self.matches is not None,
            "where": self.where is not None,
            "rows_min": self.rows is not None and self.rows.min is not None,
            "rows_max": self.rows is not None and self.rows.max is not None,
            "references": self.references is not None,
            "fresh": self.fresh is not None,
            "drift": self.drift is not None,
            "batch": self.batch is not None,
        }
        return tuple(p for p in PARTS if asked[p])

    def comparison(self, word: str) -> References | Fresh | Drift | Batch | None:
        """What compares under this word; None for a word that counts."""
        made = {"references": self.references, "fresh": self.fresh, "drift": self.drift, "batch": self.batch}
        return made.get(word)

    def beside(self, word: str) -> Beside | None:
        """What the verdict under this word is judged by, beside the table's own rows."""
        made = self.comparison(word)
        return made.beside(self.column) if isinstance(made, References | Drift) else None


def kind(dtype: pl.DataType) -> str:
    """The type name of a Polars type: one of TypeName, "null", or for others Polars' own.

    >>> kind(pl.Categorical()), kind(pl.Int8()), kind(pl.Null())
    ('text', 'int64', 'null')
    """
    if dtype.is_integer():
        return "int64"
    if dtype.is_float() or dtype.is_decimal():
        return "float64"
    names = {pl.String: "text", pl.Categorical: "text", pl.Enum: "text", pl.Boolean: "bool", pl.Date: "date"}
    names |= {pl.Datetime: "datetime", pl.Null: "null"}
    return names.get(dtype.base_type(), str(dtype))


def as_value(value: Value, to: str, word: str, column: str) -> bool | int | float | str | dt.date:
    """`value` as one that can be compared with a column of kind `to`; raises ConfigurationError when it cannot be.

    >>> as_value("2024-01-05", "date", "min", "day")
    datetime.date(2024, 1, 5)
    """
    if to == "bool" and isinstance(value, bool):
        return value
    if to in {"int64", "float64"} and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if to == "text" and isinstance(value, str):
        return value
    if to == "text" and isinstance(value, dt.date):  # an unquoted 2024-01-05, beside a column of such texts
        return value.isoformat()
    if to in {"date", "datetime"} and isinstance(value, str | dt.date):
        return _as_moment(value, to, word, column)
    hint = " Put quotes round yes, no, on and off." if isinstance(value, bool) and to == "text" else ""
    raise ConfigurationError(
        f"'{word}' of the check on '{column}' is {value!r}, and the column is {to}.{hint}",
        fix="" if hint else "Give a value of that type, or change the column's: `cast`.",
    )


def _as_moment(value: str | dt.date, to: str, word: str, column: str) -> dt.date:
    try:
        read = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(
            f"'{word}' of the check on '{column}' is {value!r}, which is no date.",
            fix="Write a day such as 2024-01-05, or a time such as 2024-01-05T08:30:00.",
        ) from error
    if not isinstance(read, dt.datetime):
        read = dt.datetime(read.year, read.month, read.day, tzinfo=dt.UTC)
    if read.tzinfo is not None:
        read = read.astimezone(dt.UTC).replace(tzinfo=None)
    return read if to == "datetime" else read.date()
