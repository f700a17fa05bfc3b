"""The rows that test a model: targets, predictions and baselines side by side, in the order of their ids.

Whatever is computed from them, bootstrap included, is then the same for any order in which the rows come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import ID, column

_FEW = 30
"""Test rows below which a report warns of the few."""


def as_text(rows: pl.DataFrame, name: str) -> pl.Series:
    """A column as text, null and NaN as null; raises BadData when it holds lists, structs or bytes.

    >>> as_text(pl.DataFrame({"y": [1, None]}), "y").to_list()
    ['1', None]
    """
    values = column(rows, name)
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise BadData(f"Column '{name}' holds {values.dtype}, which cannot be a class.", fix="Name another target.")
    return (values.fill_nan(None) if values.dtype.is_float() else values).cast(pl.String)


def as_numbers(rows: pl.DataFrame, name: str) -> pl.Series:
    """A column as Float64, what is not finite as null; raises BadData when it does not hold numbers.

    >>> as_numbers(pl.DataFrame({"y": [1.0, float("inf")]}), "y").to_list()
    [1.0, None]
    """
    values = column(rows, name)
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise BadData(
            f"Column '{name}' holds {values.dtype}, not numbers.",
            fix="Name a column of numbers, make one of its texts (`parse_numbers`), or use a classifier.",
        )
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def tested(rows: pl.DataFrame, target: pl.Series, group: str | None, kept: Iterable[pl.Series]) -> pl.DataFrame:
    """`_id`, `target`, the series `kept` under their names and, if asked, `group`; rows without target are left out.

    Raises BadData when no row is left. A missing group is a group of its own for each row.
    """
    columns = [column(rows, ID), target.rename("target"), *kept]
    if group is not None:
        own = pl.concat_str(pl.lit("\0"), pl.col(ID).cast(pl.String))
        columns.append(rows.select(pl.coalesce(as_text(rows, group), own).alias("group"))["group"])
    frame = pl.DataFrame(columns).filter(pl.col("target").is_not_null()).sort(ID)
    if frame.is_empty():
        raise BadData(
            "There is no row to test the model on that has a target.",
            fix="Give the test a greater share (split: {test: 0.3}), or more rows.",
        )
    return frame


def named(classes: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
    return ", ".join(f"'{name}'" for name in classes[:10]) + more


def few(frame: pl.DataFrame) -> list[str]:
    """The warning of few test rows; none where there are _FEW or more.

    >>> few(pl.DataFrame({"target": ["a"]}))
    ['Only 1 row tests the model: the intervals are wide.']
    """
    if frame.height >= _FEW:
        return []
    rows = "1 row tests" if frame.height == 1 else f"{frame.height} rows test"
    return [f"Only {rows} the model: the intervals are wide."]
