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
