"""What the learners of clusters share: a sample of rows as points, and what there is to say of a clustering.

Points are made from a fair sample of rows, the same in whatever order rows came; numbers are put on a common scale,
categories become a column a level. The model is a Map that says for each row where it belongs.
Sources: Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 20, 1987; Hubert and Arabie, Comparing
partitions, Journal of Classification 2, 1985; Ben-Hur, Elisseeff, Guyon, A stability based method, PSB 2002.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns, NewName
from tillage.core.errors import BadData, ConfigurationError
from tillage.core.rows import ID, column
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.learn.columns import ColumnWeights, as_numbers, kind_of_number, learn_columns
from tillage.learn.learner import Numbers, as_text
from tillage.measure.row_sample import RowSample

_JUDGED = 2000
"""Points by which a silhouette is taken."""
_HALVES = 5
"""Halves of the sample that are clustered again to see whether they agree."""

Assign = Callable[[Numbers], Numbers]
"""Points (rows, features) to the cluster of each; -1: of none."""


class Clusters(Fold):
    """Base of the learners of clusters: rows in, a Map out that adds the number of each row's cluster, or null."""

    columns: Columns = Field(min_length=1, description="columns of numbers, dates and categories to compare by")
    into: NewName = Field("cluster", description="column that is added: 0 is the largest cluster")
    seed: int = Field(0, ge=0, lt=2**31, description="of whatever is drawn")

    def needs(self) -> tuple[str, ...]:
        return self.columns

    def start(self) -> State:
        return self._sample().start()

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises UnknownName for a column that is missing, BadData for lists and bytes."""
        return self._sample().update(state, rows.select(ID, *(plain(column(rows, c)) for c in self.columns)))

    def merge(self, a: State, b: State) -> State:
        return self._sample().merge(a, b)

    @abstractmethod
    def _size(self) -> int:
        """Rows of the sample."""

    def _sample(self) -> RowSample:
        return RowSample(self.columns, self._size(), "clusters")

    def _points(self, state: State) -> tuple[list[dict[str, Any]], Numbers]:
        """The columns as learnt, and the sampled rows as points; raises BadData for fewer than three rows."""
        rows = pl.DataFrame({name: pl.Series(values) for name, values in state["rows"].items()})
        if rows.height < 3:
            raise BadData(
                f"{rows.height} rows make no clusters: three are the least.",
                fix="Look at the filters before this step.",
            )
        learnt = learn_columns(rows, self.columns)
        prose = [c["name"] for c in learnt if c["kind"] == "prose"]
        if prose:
            raise BadData(
                f"Column '{prose[0]}' holds prose, which has no distance here.",
                fix="Leave it out of 'columns', or derive a category from it.",
            )
        return learnt, ColumnWeights(learnt).matrix(rows).toarray()


class Clustered(Fitted):
    """Base of the Maps that clusters give."""

    def needs(self) -> tuple[str, ...]:
        return tuple(c["name"] for c in self.state["columns"] if c["kind"] != "dropped")

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the number of their cluster; raises ConfigurationError where the column is there already."""
        name = self.state["into"]
        if name in rows.columns:
            raise ConfigurationError(
                f"{self.name()} makes a column '{name}', and there is one of that name.",
                fix="Give 'into' another name.",
            )
        found = pl.Series(name, self.assign(self._weights.matrix(rows)), dtype=pl.Int64)
        return rows.with_columns(found.set(found < 0, None))

    @abstractmethod
    def assign(self, points: Any) -> Numbers:
        """The cluster of each point (CSR), -1: of none; a point's own is the same whatever the others."""

    @cached_property
    def _weights(self) -> ColumnWeights:
        return ColumnWeights(self.state["columns"])


def plain(values: pl.Series) -> pl.Series:
    """Values that a state may hold: numbers (dates as seconds since 1970) and texts.

    >>> plain(pl.Series([True, None])).to_list()
    [1.0, None]
    """
    kind = kind_of_number(values.dtype)
    if kind is None:
        return as_text(values)
    numbers = as_numbers(values, kind)
    return numbers.set(numbers == 0, 0.0)  # one zero; Polars leaves `+ 0.0` out


def by_size(labels: Numbers) -> Numbers:
    """The labels renumbered, the largest cluster first (of equals, the one that comes first); -1 stays.

    >>> by_size(np.array([3, 7, 7, -1])).tolist()
    [1, 0, 0, -1]
    """
    known, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    at = np.full(int(labels.max(initial=-1)) + 2, -1)
    at[known[order]] = np.arange(len(known))
    return np.asarray(at[labels])


def judged(points: Numbers, labels: Numbers, again: Callable[[Numbers], Assign], seed: int) -> dict[str, Any]:
    """What there is to say: `clusters` (number, rows, share), `none` (share of rows in none), `silhouette` (-1 to 1;
    None of fewer than two clusters), `stability` (0 to 1: how far clusterings of random halves agree, by the adjusted
    Rand index). `again`: clusters some points and gives what assigns others."""
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    counts = np.bincount(labels[labels >= 0])
    drawn = np.random.RandomState(seed)  # its stream is frozen
    inside = np.flatnonzero(labels >= 0)
    some = drawn.permutation(inside)[:_JUDGED]
    several = 1 < len(np.unique(labels[some])) < len(some)
    agreed = []
    for _ in range(_HALVES if len(points) >= 8 else 0):
        order = drawn.permutation(len(points))
        one, two = (again(points[half])(points) for half in (order[: len(order) // 2], order[len(order) // 2 :]))
        agreed.append(float(adjusted_rand_score(one, two)))
    return {
        "rows": len(points),
        "clusters": [
            {"cluster": k, "rows": int(n), "share": float(n / len(points))} for k, n in enumerate(counts.tolist())
        ],
        "none": float(np.mean(labels < 0)),
        "silhouette": float(silhouette_score(points[some], labels[some])) if several else None,
        "stability": float(np.mean(agreed)) if agreed else None,
    }
