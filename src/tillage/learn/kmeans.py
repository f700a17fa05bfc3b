"""k-means: clusters around centres, their number given or chosen, learnt from a fair sample of rows and kept as data.

The cheapest clustering, for round clusters of like size: Lloyd's rounds from ten seeded starts over 20,000 points, then
one distance a centre for each row. Without `clusters` their number is that of the best silhouette, of 2 to 10.
Sources: Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory 28, 1982; Arthur and
Vassilvitskii, k-means++, SODA 2007.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.learn.clusters import Assign, Clustered, Clusters, judged
from tillage.learn.learner import Numbers, solving

_MOST = 10
"""Clusters at most where their number is to be found."""
_LOOKED = 2000
"""Points by which the number is chosen."""


class Kmeans(Clusters):
    """Learn centres of rows; the result is a `KmeansClustered`. Constant columns say nothing and are left out.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"x": [0.0, 0.1, 0.2, 9.0, 9.1]}).with_columns(_id=pl.int_range(5).cast(pl.UInt128))
    >>> step = Kmeans(columns=("x",), clusters=2)
    >>> step.finish(step.update(step.start(), rows)).apply(rows)["cluster"].to_list()
    [0, 0, 0, 1, 1]
    """

    clusters: int | None = Field(None, ge=1, le=1000, description="how many; by the silhouette of 2 to 10 unless given")
    sample: int = Field(20_000, ge=16, le=200_000, description="rows at most that centres are learnt from")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("n", "x", "city"), clusters=2, sample=64)

    def finish(self, state: State) -> KmeansClustered:
        """The Map; raises BadData when there are fewer different rows than clusters."""
        learnt, points = self._points(state)
        different = len(np.unique(points, axis=0))
        if different < (self.clusters or 2):
            raise BadData(
                f"{different} different rows make no {self.clusters or 2} clusters.",
                fix="Ask for fewer 'clusters', or name other columns.",
            )
        tried = {} if self.clusters else self._silhouettes(points, different)
        wanted = self.clusters or max(tried, key=lambda k: (tried[k], -k))
        centres = self._centres(points, wanted)
        order = np.argsort(by_size_of(points, centres), kind="stable")
        centres = centres[order]

        def again(part: Numbers) -> Assign:
            part_centres = self._centres(part, min(wanted, len(np.unique(part, axis=0))))
            return lambda others: nearest(others, part_centres)

        told = judged(points, nearest(points, centres), again, self.seed)
        told |= {"tried": {str(k): value for k, value in tried.items()}} if tried else {}
        return KmeansClustered(state={"columns": learnt, "centres": centres, "into": self.into, "told": told})

    def _size(self) -> int:
        return self.sample

    def _silhouettes(self, points: Numbers, different: int) -> dict[int, float]:
        from sklearn.metrics import silhouette_score

        some = points[np.random.RandomState(self.seed).permutation(len(points))[:_LOOKED]]
        found = {}
        for k in range(2, min(_MOST, different, len(some) - 1) + 1):
            labels = nearest(some, self._centres(some, k))
            if len(np.unique(labels)) > 1:
                found[k] = float(silhouette_score(some, labels))
        return found or {2: 0.0}

    def _centres(self, points: Numbers, clusters: int) -> Numbers:
        from sklearn.cluster import KMeans as Solver

        with solving():
            solver = Solver(n_clusters=clusters, n_init=10, random_state=self.seed).fit(points)
        return np.asarray(solver.cluster_centers_, np.float64)


class KmeansClustered(Clustered):
    """Adds the number of the nearest centre; of equals, the larger cluster's.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"x": [0.0, 0.1, 0.2, 9.0, 9.1]}).with_columns(_id=pl.int_range(5).cast(pl.UInt128))
    >>> step = Kmeans(columns=("x",))
    >>> [c["rows"] for c in step.finish(step.update(step.start(), rows)).state["told"]["clusters"]]
    [3, 2]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        number = {"kind": "number", "dtype": "number", "median": 0.0, "mean": 0.0, "scale": 1.0}
        columns = [{"name": name, **number, "missing": False, "parts": []} for name in ("n", "x")]
        centres = np.array([[0.0, 0.0], [3.0, 3.0]])
        return cls(state={"columns": columns, "centres": centres, "into": "cluster", "told": {}})

    def assign(self, points: Any) -> Numbers:
        return nearest(points, self.state["centres"])


def nearest(points: Any, centres: Numbers) -> Numbers:
    """The place of the nearest centre; each point's distances are sums along its own row.

    >>> nearest(np.array([[0.0], [8.0]]), np.array([[9.0], [1.0]])).tolist()
    [1, 0]
    """
    from scipy import sparse

    lengths = (centres * centres).sum(axis=1)
    return np.asarray((lengths - 2 * (sparse.csr_array(points) @ centres.T)).argmin(axis=1))


def by_size_of(points: Numbers, centres: Numbers) -> Numbers:
    """For each centre its place when the largest cluster comes first.

    >>> by_size_of(np.array([[0.0], [8.0], [9.0]]), np.array([[0.0], [8.0]])).tolist()
    [1, 0]
    """
    counts = np.bincount(nearest(points, centres), minlength=len(centres))
    place = np.empty(len(centres), np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(centres))
    return place
