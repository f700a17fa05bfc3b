"""What a step asks of the columns it finds: that they are there, and of a type that it can use.

Every complaint of one step comes at once, with the nearest right name. Cost: a look at the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

import polars as pl
from pydantic import AfterValidator, Field

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.expression import parse
from tillage.core.rows import user_columns
from tillage.core.twice import first_twice

NewName = Annotated[
    str, Field(pattern=r"^[^_\x00][^\x00]*$", description="name of a column; those beginning with _ are reserved")
]
"""A name that a step may give to a column."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if (twice := first_twice(names)) is not None:
        raise ValueError(f"it names '{twice}' twice")
    return names


Columns = Annotated[tuple[str, ...], AfterValidator(_each_once)]
"""Columns that a step looks at, each named once."""


def require(rows: pl.DataFrame, columns: Iterable[str]) -> None:
    """Raise ConfigurationError for every one of `columns` that `rows` lacks.

    >>> require(pl.DataFrame({"text": ["a"]}), ["txt"])
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: No column is called 'txt'. Did you mean 'text'?
    """
    known = user_columns(rows)
    missing = [c for c in columns if c not in known]
    if missing:
        raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in missing)


def require_type(rows: pl.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise ConfigurationError for every one of `columns` that is not `what`: "text", "numbers" or "bytes".

    A column without any value (type Null) passes as any.

    >>> require_type(pl.DataFrame({"n": [1]}), ["n"], "text")
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: Column 'n' holds Int64, and this step needs text. Make it text before: \
cast: {columns: {n: text}}.
    """
    require(rows, columns)
    wrong = [c for c in columns if not _is(rows.schema[c], what)]
    if wrong:
        raise ConfigurationError(
            Problem(
                f"Column '{c}' holds {rows.schema[c]}, and this step needs {what}. {remedy(c, rows.schema[c], what)}"
            )
            for c in wrong
        )


def remedy(column: str, dtype: pl.DataType, what: str) -> str:
    """The end of a refusal: what makes a column of this type "text", "numbers" or "bytes", if anything does.

    >>> remedy("n", pl.String(), "numbers")
    'Read it as numbers before: `parse_numbers`, or cast: {columns: {n: float64}}.'
    >>> remedy("n", pl.List(pl.Int64), "text")
    'Leave it out of this step.'
    """
    timed = dtype == pl.Date or isinstance(dtype, pl.Datetime)
    named = isinstance(dtype, pl.Categorical | pl.Enum)
    if what == "text" and (dtype.is_numeric() or dtype == pl.Boolean or timed or named):
        return f"Make it text before: cast: {{columns: {{{column}: text}}}}."
    if what == "numbers" and dtype == pl.String:
        return f"Read it as numbers before: `parse_numbers`, or cast: {{columns: {{{column}: float64}}}}."
    if what == "numbers" and (dtype.is_numeric() or dtype == pl.Boolean):
        return (
            f"Make it numbers before: cast: {{columns: {{{column}: {'float64' if dtype.is_numeric() else 'int64'}}}}}."
        )
    if what == "numbers" and timed:
        return "Take its parts as numbers before: `dates`."
    if what == "bytes":
        return "Name the column of the pictures or sounds, as collecting their files makes it."
    return "Leave it out of this step."


def _is(dtype: pl.DataType, what: str) -> bool:
    if what == "numbers":
        return dtype == pl.Null or dtype.is_numeric()
    return dtype in (pl.Null, pl.String if what == "text" else pl.Binary)


def require_written(rows: pl.DataFrame, columns: Iterable[str]) -> None:
    """Raise ConfigurationError for every one of `columns` whose values have no text by which they could be compared.

    >>> require_written(pl.DataFrame({"raw": [b"x"]}), ["raw"])
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: Column 'raw' holds Binary, whose values have no text to compare them by. \
Name another column, or leave this one out.
    """
    wrong = [c for c in columns if rows.schema[c] in (pl.Binary, pl.Duration, pl.Object)]
    if wrong:
        raise ConfigurationError(
            (
                Problem(f"Column '{c}' holds {rows.schema[c]}, whose values have no text to compare them by.")
                for c in wrong
            ),
            fix="Name another column, or leave this one out.",
        )


def written(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column as text; -0.0 is written as 0.0, since the two are equal and one in place of the other is no change.

    >>> pl.DataFrame({"x": [-0.0, 0.5]}).select(written("x", pl.Float64()))["x"].to_list()
    ['0.0', '0.5']
    """
    values = pl.col(column)
    if dtype.is_float():  # `+ 0.0`, which makes the two zeros one, is left out by Polars
        values = pl.when(values == 0).then(pl.lit(0.0, dtype=dtype)).otherwise(values).alias(column)
    return values.cast(pl.String)


def expression(rows: pl.DataFrame, text: str, *, condition: bool = False) -> pl.Expr:
    """The Polars expression of `text`, once its columns and types are known to suit `rows`.

    Raises ConfigurationError that points into the text. Reserved columns cannot be read.

    >>> pl.DataFrame({"n": [2]}).select(expression(pl.DataFrame({"n": [2]}), "n * 3")).item()
    6
    """
    kinds = rows.schema
    return _compiled(text, condition, tuple((c, kinds[c]) for c in user_columns(rows)))


@lru_cache(maxsize=256)
def _compiled(text: str, condition: bool, schema: tuple[tuple[str, pl.DataType], ...]) -> pl.Expr:
    """Chunks of a table have one schema, so an expression is checked and built once for all of them."""
    read, kinds = parse(text), dict(schema)
    problems = read.check(kinds) + read.check_types(kinds, condition=condition)
    if problems:
        raise ConfigurationError(Problem(p) for p in problems)
    return read.polars()
