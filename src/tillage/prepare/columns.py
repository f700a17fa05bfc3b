"""What the steps of this room have in common where they ask for columns and compute with them."""

from __future__ import annotations

import polars as pl

from tillage.core.columns import NewName, expression, remedy, require, require_type


def divided(column: pl.Expr, by: float) -> pl.Expr:
    """The quotient of each value, correctly rounded however many rows there are.

    Polars multiplies by the reciprocal where a longer column is divided by one number, and the last bit of a value
    would then depend on its chunk; a column of divisors is divided by.

    >>> pl.DataFrame({"n": [5.0, 1.0]}).select(divided(pl.col("n"), 3.0))["n"].to_list() == [5 / 3, 1 / 3]
    True
    """
    return column / (pl.int_range(pl.len()) * 0 + by)


__all__ = ["NewName", "divided", "expression", "remedy", "require", "require_type"]
