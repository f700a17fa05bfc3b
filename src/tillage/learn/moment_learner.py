"""Learners that need the second moments of a table and nothing else: what they share as Folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.state import State
from tillage.core.step import Fold
from tillage.learn.column_learner import ColumnLearner
from tillage.learn.learner import Numbers, solving
from tillage.learn.moments import merged_moments, no_moments

_HELD = 1 << 19
"""Rows times columns taken at once, which bounds the memory."""


class CellLearner(ColumnLearner):
    """A learner that reads the columns of a table by `cells.read_cells`."""

    levels: int = Field(
        50,
        ge=2,
        le=1000,
        description="values that a text column may have; with more it is left out, unless of dates",
    )


class FoldedColumns(CellLearner, Fold):
    """One whose state is sums over the rows."""


class MomentLearner(FoldedColumns):
    """One whose sums are the moments of `moments.py`."""

    def start(self) -> State:
        return no_moments()

    def merge(self, a: State, b: State) -> State:
        return merged_moments(a, b, self.levels)


def slices(rows: pl.DataFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The rows, so many at a time that their cells stay small."""
    return rows.iter_slices(max(4096, _HELD // max(len(names), 1)))


def solved(covariance: Numbers, with_targets: Numbers, penalty: float) -> Numbers:
    """The weights w of (covariance + penalty) w = with_targets, by the eigenvalues: none below zero, whatever rounding.

    >>> solved(np.eye(1), np.array([[3.0]]), 0.5).tolist()
    [[2.0]]
    """
    with solving():
        value, vector = np.linalg.eigh(covariance)
        inverse = 1 / (np.maximum(value, 0.0) + penalty)
        return np.asarray(vector @ ((vector.T @ with_targets) * inverse[:, None]))
