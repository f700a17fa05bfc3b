"""What a model of a table learns from: its rows as a matrix, their targets, and what each row weighs.

The columns are learnt once, without the target; each family of models asks for the matrix that it wants, sparse for
those that add up weights, dense for trees, and the parts of an inner cross-validation are rows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tillage.core.keys import fraction
from tillage.core.rows import ID, column
from tillage.learn.columns import ColumnWeights
from tillage.learn.learner import Numbers, as_text
from tillage.learn.tree_columns import TreeColumns, for_trees


@dataclass(frozen=True)
class Examples:
    """Rows to learn from, in one or the other form."""

    matrix: Any
    """(rows, features): CSR, or a dense array."""
    target: Numbers
    """Int64 places among the classes, or float64 numbers."""
    classes: int
    """How many classes there are; 0 where the target is a number."""
    balanced: bool = False
    """Whether rare classes weigh more."""

    @property
    def weight(self) -> Numbers | None:
        """What each row weighs: rows / (classes * rows of its class), as scikit-learn's `balanced`; None: all alike."""
        if not self.balanced:
            return None
        counts = np.bincount(self.target, minlength=self.classes)
        return np.asarray(len(self.target) / (np.count_nonzero(counts) * counts[self.target]))

    def part(self, chosen: Numbers) -> Examples:
        """Some of the rows; classes that none of them has are taken out of the numbering, as `known` tells."""
        target = self.target[chosen]
        if self.classes:
            known = self.known(chosen)
            target = np.searchsorted(known, target)
            return replace(self, matrix=self.matrix[chosen], target=target, classes=len(known))
        return replace(self, matrix=self.matrix[chosen], target=target)

    def known(self, chosen: Numbers) -> Numbers:
        """The classes that these rows have, in order."""
        return np.unique(self.target[chosen])


class Table:
    """Rows with learnt columns and targets, from which `Examples` are made in the form that a family asks for."""

    def __init__(
        self, rows: pl.DataFrame, learnt: list[dict[str, Any]], target: Numbers, classes: int, balanced: bool
    ) -> None:
        self.rows, self.learnt, self.target = rows, learnt, target
        self.classes, self.balanced = classes, balanced

    def __len__(self) -> int:
        return self.rows.height

    @cached_property
    def sparse(self) -> Examples:
        """By `columns.ColumnWeights`."""
        matrix = ColumnWeights(self.learnt).matrix(self.rows)
        return Examples(matrix, self.target, self.classes, self.balanced)

    @cached_property
    def dense(self) -> Examples:
        """By `tree_columns.TreeColumns`."""
        return Examples(TreeColumns(self.tree_columns).matrix(self.rows), self.target, self.classes, self.balanced)

    @cached_property
    def tree_columns(self) -> list[dict[str, Any]]:
        """What the columns are to trees."""
        return for_trees(self.learnt)


def groups_of(rows: pl.DataFrame, group: str) -> pl.Series:
    """The group of each row as text; a row without one is a group of its own. Raises UnknownName.

    >>> groups_of(pl.DataFrame({"g": ["a", None, "a", None]}), "g").n_unique()
    3
    """
    known = as_text(column(rows, group)).rename("g").to_frame()
    return known.select(pl.coalesce(pl.col("g"), pl.format("\0{}", pl.int_range(pl.len()))))["g"]


def folds_of(rows: pl.DataFrame, target: Numbers, classes: int, group: pl.Series | None, count: int) -> Numbers:
    """The fold of each row, 0 to count - 1, by the hash of its `_id`, class by class; or of its group, kept whole.

    A class of a single row is in no fold (-1), so that every fold's training rows know it.

    >>> rows = pl.DataFrame({"_id": range(6)})
    >>> sorted(folds_of(rows, np.array([0, 0, 0, 1, 1, 2]), 3, None, 2).tolist())
    [-1, 0, 0, 0, 1, 1]
    """
    if group is not None:
        return (fraction(group, "fold") * count).cast(pl.Int64).to_numpy()
    ids = rows[ID] if ID in rows.columns else pl.Series(range(rows.height), dtype=pl.Int64)
    frame = pl.DataFrame({"u": fraction(ids, "fold"), "y": target if classes else np.zeros(len(target), np.int64)})
    rank = (pl.col("u").rank("ordinal").over("y").cast(pl.Int64) - 1) % count
    return frame.select(pl.when(pl.len().over("y") > 1).then(rank).otherwise(-1).alias("fold"))["fold"].to_numpy()


def first(target: Numbers, most: int) -> Sequence[int] | slice:
    """Rows enough to judge a simple model by: at most so many, evenly spread."""
    return slice(None) if len(target) <= most else slice(None, None, -(-len(target) // most))
