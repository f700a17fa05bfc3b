"""HDBSCAN: clusters as dense regions of any shape, and rows that belong to none; learnt from a sample, kept as data.

Finds the number of clusters by itself and says where there is none. A row of the sample stands where the method put it;
any other stands with its nearest neighbour in the sample, if it is as near as that one's own neighbours are. Cost:
some 5 CPU seconds for 5,000 points, and a look-up in a tree for each row.
Source: Campello, Moulavi, Sander, Density-based clustering based on hierarchical density estimates, PAKDD 2013.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import Field

from tillage.core.state import State
from tillage.learn.clusters import Assign, Clustered, Clusters, by_size, judged
from tillage.learn.learner import Numbers, solving


class Hdbscan(Clusters):
    """Learn dense regions; the result is an `HdbscanClustered`. A row of no region has a null.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"x": [0.0, 0.1, 0.2, 0.3, 9.0, 9.1, 9.2, 50.0]})
    >>> rows = rows.with_columns(_id=pl.int_range(8).cast(pl.UInt128))
    >>> step = Hdbscan(columns=("x",), least=3)
    >>> step.finish(step.update(step.start(), rows)).apply(rows)["cluster"].to_list()
    [0, 0, 0, 0, 1, 1, 1, None]
    """

    least: int = Field(25, ge=2, le=10_000, description="rows of the sample that a cluster has at least")
    neighbours: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="rows by which density is told, a row itself included; 'least' unless given",
    )
    sample: int = Field(5000, ge=16, le=50_000, description="rows at most that regions are learnt from")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("n", "x"), least=3, sample=64)

    def finish(self, state: State) -> HdbscanClustered:
        """The Map; raises BadData for fewer than three rows."""
        learnt, points = self._points(state)
        labels = self._labels(points)

        def again(part: Numbers) -> Assign:
            found = HdbscanClustered(state=_state(part, self._labels(part), self._neighbours(part)))
            return found.assign

        told = judged(points, labels, again, self.seed)
        return HdbscanClustered(
            state={
                "columns": learnt,
                "into": self.into,
                "told": told,
                **_state(points, labels, self._neighbours(points)),
            }
        )

    def _size(self) -> int:
        return self.sample

    def _neighbours(self, points: Numbers) -> int:
        return min(self.neighbours or self.least, len(points))

    def _labels(self, points: Numbers) -> Numbers:
        from sklearn import cluster

        if len(points) <= self.least:
            return np.full(len(points), -1)
        with solving():
            solver = cluster.HDBSCAN(min_cluster_size=self.least, min_samples=self._neighbours(points), copy=True)
            return by_size(np.asarray(solver.fit(points).labels_, np.int64))


class HdbscanClustered(Clustered):
    """Adds the cluster of the nearest row of the sample, where that is near enough.

    >>> HdbscanClustered(state=_state(np.array([[0.0], [1.0]]), np.array([0, -1]), 2)).assign([[0.2], [3.0]]).tolist()
    [0, -1]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        number = {"kind": "number", "dtype": "number", "median": 0.0, "mean": 0.0, "scale": 1.0}
        columns = [{"name": name, **number, "missing": False, "parts": []} for name in ("n", "x")]
        points = np.array([[0.0, 0.0], [1.0, 1.0], [4.0, 4.0]])
        return cls(state={"columns": columns, "into": "cluster", "told": {}, **_state(points, np.array([0, 0, -1]), 2)})

    def assign(self, points: Any) -> Numbers:
        dense = np.asarray(points.toarray() if hasattr(points, "toarray") else points, np.float64)
        if not len(dense):
            return np.zeros(0, np.int64)
        away, at = self._tree.query(dense)
        return np.where(away <= self.state["reach"][at], self.state["labels"][at], -1)

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import KDTree

        return KDTree(self.state["points"])


def _state(points: Numbers, labels: Numbers, neighbours: int) -> dict[str, Any]:
    """The points with their labels, and how far from each its neighbours reach."""
    from scipy.spatial import KDTree

    away, _ = KDTree(points).query(points, k=[neighbours])
    return {"points": points, "labels": labels, "reach": np.asarray(away[:, 0])}
