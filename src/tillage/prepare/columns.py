"""What a step asks of the columns it finds: that they are there, and of a type that it can use.

Every complaint of one step comes at once, with the nearest right name. Cost: a look at the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def expression(rows: pl.DataFrame, text: str, *, condition: bool = False) -> pl.Expr:
    """The Polars expression of `text`, once its columns and types are known to suit `rows`.

    Raises ConfigurationError that points into the text. Reserved columns cannot be read.

    >>> pl.DataFrame({"n": [2]}).select(expression(pl.DataFrame({"n": [2]}), "n * 3")).item()
    6
    """
    read = parse(text)
    known = user_columns(rows)
    problems = read.check(known) + read.check_types({c: rows.schema[c] for c in known}, condition=condition)
    if problems:
        raise ConfigurationError(Problem(p) for p in problems)
    return read.polars()
