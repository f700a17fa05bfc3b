"""What a step asks of the columns it finds: that they are there, and of a type that it can use.

Every complaint of one step comes at once, with the nearest right name. Cost: a look at the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

import polars as pl
from pydantic import Field

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.expression import parse
from tillage.core.rows import user_columns

NewName = Annotated[str, Field(pattern=r"^[^_]", description="name of a column; those beginning with _ are reserved")]
"""A name that a step may give to a column."""


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
    """Raise ConfigurationError for every one of `columns` that is not `what`: "text" or "numbers".

    A column without any value (type Null) passes as either.

    >>> require_type(pl.DataFrame({"n": [1]}), ["n"], "text")
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: Column 'n' holds Int64, and this step needs text.
    """
    require(rows, columns)
    wrong = [c for c in columns if not _is(rows.schema[c], what)]
    if wrong:
        raise ConfigurationError(
            Problem(f"Column '{c}' holds {rows.schema[c]}, and this step needs {what}.") for c in wrong
        )


def _is(dtype: pl.DataType, what: str) -> bool:
    return dtype == pl.Null or (dtype == pl.String if what == "text" else dtype.is_numeric())


def divided(column: pl.Expr, by: float) -> pl.Expr:
    """The quotient of each value, correctly rounded however many rows there are.

    Polars multiplies by the reciprocal where a longer column is divided by one number, and the last bit of a value
    would then depend on its chunk; a column of divisors is divided by.

    >>> pl.DataFrame({"n": [5.0, 1.0]}).select(divided(pl.col("n"), 3.0))["n"].to_list() == [5 / 3, 1 / 3]
    True
    """
    return column / (pl.int_range(pl.len()) * 0 + by)


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
