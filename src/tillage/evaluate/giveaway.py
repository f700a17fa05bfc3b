"""Columns that tell the target by themselves: what a model learns from one is seldom there when it is asked.

One count of (value, target), or one sort of a number, a column.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from tillage.measure.ranking import Ranked

_FEWEST = 20
"""Rows below which a column may tell the target by chance."""
_SURE = 0.01
"""Errors left, as a share of the errors of guessing the commonest class."""
_RARE = 0.2
"""The largest share of a class of which a column can be a part."""
_LINE = 0.99999
"""The correlation from which two numbers are one straight line."""
_RANKED = 0.999
"""The least AUC of a number that parts two classes."""


def giveaways(columns: Iterable[pl.Series], target: pl.Series) -> list[str]:
    """The names of the columns of which one alone tells the class (a text series), nearly without fail.

    A value tells by the majority of the other rows that have it; a number also by its order, where classes are two.

    >>> target = pl.Series(["a", "b"] * 10)
    >>> giveaways([pl.Series("code", [1, 2] * 10), pl.Series("size", [3, 4, 5, 6] * 5)], target)
    ['code', 'size']
    """
    if len(target) < _FEWEST or target.n_unique() < 2:
        return []
    return [values.name for values in columns if _tells(values, target)]


def parts_of_answer(columns: Iterable[pl.Series], target: pl.Series) -> list[tuple[str, str, str, int]]:
    """(column, value, class, rows) of columns of two values whose rarer one never stands without one rare class.

    Such a column is often a part of the answer (which machine part failed), and not known beforehand. 20 rows at least
    must bear the value, and at most a fifth of all rows the class.

    >>> target = pl.Series(["ok"] * 100 + ["fails"] * 25)
    >>> parts_of_answer([pl.Series("heat", [0] * 100 + [1] * 20 + [0] * 5)], target)
    [('heat', '1', 'fails', 20)]
    """
    found = []
    for values in columns:
        if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
            continue
        pair = pl.DataFrame({"x": values.cast(pl.String), "y": target}).drop_nulls()
        if pair["x"].n_unique() != 2 or pair["y"].n_unique() < 2:
            continue
        counts = pair["x"].value_counts(name="rows").sort("rows", "x")
        value, rows = counts.row(0)
        of_value = pair.filter(pl.col("x") == value)["y"]
        share = float((pair["y"] == of_value[0]).to_numpy().mean())
        if rows >= _FEWEST and of_value.n_unique() == 1 and share <= _RARE:
            found.append((values.name, str(value), str(of_value[0]), int(rows)))
    return found


def straight_lines(columns: Iterable[pl.Series], target: pl.Series) -> list[str]:
    """The names of numbers of which the target, a number, is a straight line: the answer in another unit.

    >>> straight_lines([pl.Series("f", [32.0 + 1.8 * n for n in range(30)])], pl.Series([float(n) for n in range(30)]))
    ['f']
    """
    found = []
    for values in columns:
        if not values.dtype.is_numeric():
            continue
        pair = pl.DataFrame({"x": values.cast(pl.Float64), "y": target.cast(pl.Float64)}).drop_nulls()
        pair = pair.filter(pl.col("x").is_finite() & pl.col("y").is_finite())
        if pair.height < _FEWEST or pair["x"].n_unique() < 3 or pair["y"].n_unique() < 3:
            continue
        if abs(float(np.corrcoef(pair["x"].to_numpy(), pair["y"].to_numpy())[0, 1])) > _LINE:
            found.append(values.name)
    return found


def _tells(values: pl.Series, target: pl.Series) -> bool:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        return False
    pair = pl.DataFrame({"x": values, "y": target}).filter(pl.col("x").is_not_null())
    if pair.height < _FEWEST or pair["y"].n_unique() < 2:
        return False
    if values.dtype.is_numeric() and pair["y"].n_unique() == 2:
        numbers = pair["x"].cast(pl.Float64).to_numpy()
        first = (pair["y"] == pair["y"].min()).to_numpy()
        known = np.isfinite(numbers)
        ranked = Ranked(numbers[known], first[known]).roc_auc()
        if max(ranked, 1 - ranked) >= _RANKED:
            return True
    counts = pair.group_by("x", "y").len("n").group_by("x").agg(pl.col("n").max().alias("most"))
    right = int(counts.select(pl.when(pl.col("most") >= 2).then("most").otherwise(0).sum()).item())
    naive = pair.height - int(pair["y"].value_counts()["count"].max())  # type: ignore[arg-type]
    return pair.height - right <= _SURE * naive
