"""Tables stacked on one another: one schema for all, or an error that says which columns do not go together.

A column that one table lacks is null there. Integers of different widths become Int64, a null column takes the type
of the others; anything else would change values, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tillage.core.errors import ConfigurationError, Problem

Shape = dict[str, pl.DataType]


def common_shape(tables: Mapping[str, pl.Schema], target: str) -> Shape:
    """The schema of all tables stacked, in the order in which columns first appear.

    >>> common_shape({"a": pl.Schema({"x": pl.Int8()}), "b": pl.Schema({"x": pl.Int64(), "y": pl.String()})}, "both")
    {'x': Int64, 'y': String}
    """
    found: dict[str, dict[str, pl.DataType]] = {}
    for table, schema in tables.items():
        for column, dtype in schema.items():
            if not column.startswith("_"):
                found.setdefault(column, {})[table] = dtype
    shape: Shape = {}
    problems = []
    for column, kinds in found.items():
        held = {k for k in kinds.values() if k != pl.Null()}
        if len(held) <= 1:
            shape[column] = next(iter(held), pl.Null())
        elif all(k.is_signed_integer() for k in held):
            shape[column] = pl.Int64()
        else:
            said = ", ".join(f"{k} in '{t}'" for t, k in kinds.items())
            problems.append(Problem(f"Table '{target}' stacks tables whose column '{column}' is {said}."))
    if problems:
        raise ConfigurationError(problems, fix="Declare `types` where they are collected, or select other columns.")
    return shape


def fitted(rows: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The rows with every column of `shape`, in its order and types, after the reserved ones."""
    reserved = [c for c in rows.columns if c.startswith("_")]
    columns = [
        pl.col(c).cast(dtype) if c in rows.columns else pl.lit(None, dtype=dtype).alias(c) for c, dtype in shape.items()
    ]
    return rows.select(*reserved, *columns)
