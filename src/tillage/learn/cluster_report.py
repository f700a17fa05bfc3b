"""How good clusters are: their sizes, counted, and how apart they lie, by the silhouette of a fair sample of rows.

One pass, mergeable. It judges any column of groups by any columns, however the groups came about.
Source: Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 20, 1987.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import BadData
from tillage.core.rows import ID, column
from tillage.core.state import State
from tillage.core.step import Fold
from tillage.learn.clusters import plain
from tillage.learn.columns import ColumnWeights, learn_columns
from tillage.learn.learner import as_text
from tillage.measure.row_sample import RowSample


class ClusterReport(Fold):
    """`rows`, `clusters` (each with rows, share and its own silhouette), `none` (rows in no cluster), `silhouette`.

    A silhouette is between -1 and 1: near 1 rows are much nearer to their own cluster than to the next, near 0 it could
    be either. It is None of fewer than two clusters. Write it under a table's `reports`.

    >>> rows = pl.DataFrame({"x": [0.0, 0.1, 9.0, 9.1], "cluster": [0, 0, 1, None]})
    >>> step = ClusterReport(columns=("x",))
    >>> report = step.finish(step.update(step.start(), rows.with_columns(_id=pl.int_range(4).cast(pl.UInt128))))
    >>> report["none"], report["clusters"]["0"]["rows"], round(report["clusters"]["0"]["silhouette"], 3)
    (1, 2, 0.989)
    """

    columns: Columns = Field(min_length=1, description="columns that the rows were compared by")
    cluster: str = Field("cluster", min_length=1, description="column that says which cluster a row is in; null: none")
    sample: int = Field(2000, ge=16, le=20_000, description="rows at most by which silhouettes are taken")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("n", "x"), cluster="city", sample=32)

    def needs(self) -> tuple[str, ...]:
        """The columns and the cluster's."""
        return tuple(dict.fromkeys((*self.columns, self.cluster)))

    def start(self) -> State:
        """No row."""
        return {"counts": {}, "none": 0, "sample": self._sample().start()}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises UnknownName for a column that is missing."""
        labels = as_text(column(rows, self.cluster)).alias("_cluster")
        counts = dict(labels.drop_nulls().value_counts(name="_rows").iter_rows())
        cells = [plain(column(rows, c)) for c in self.columns if c != self.cluster]
        seen = pl.DataFrame([rows[ID], *cells, labels]).filter(pl.col("_cluster").is_not_null())
        sample = self._sample().update(self._sample().start(), seen)
        return self.merge(state, {"counts": counts, "none": labels.null_count(), "sample": sample})

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        names = sorted({*a["counts"], *b["counts"]})
        return {
            "counts": {name: a["counts"].get(name, 0) + b["counts"].get(name, 0) for name in names},
            "none": a["none"] + b["none"],
            "sample": self._sample().merge(a["sample"], b["sample"]),
        }

    def finish(self, state: State) -> dict[str, Any]:
        """The report; plain values."""
        total = sum(state["counts"].values()) + state["none"]
        apart = self._silhouettes(state["sample"]["rows"])
        clusters = {
            name: {"rows": n, "share": n / total, "silhouette": apart.get(name)} for name, n in state["counts"].items()
        }
        return {"rows": total, "clusters": clusters, "none": state["none"], "silhouette": apart.get("")}

    def _silhouettes(self, sample: dict[str, list[Any]]) -> dict[str, float]:
        """The mean of all under "", and of each cluster under its name."""
        from sklearn.metrics import silhouette_samples

        labels = np.array(sample["_cluster"], object)
        if not 1 < len(set(sample["_cluster"])) < len(labels):
            return {}
        rows = pl.DataFrame({c: pl.Series(values) for c, values in sample.items() if c != "_cluster"})
        try:
            learnt = learn_columns(rows, rows.columns)
        except BadData:  # all sampled rows are alike: nothing lies apart
            return {}
        places = np.unique(sample["_cluster"], return_inverse=True)[1]
        each = silhouette_samples(ColumnWeights(learnt).matrix(rows).toarray(), places)
        found = {str(name): float(each[labels == name].mean()) for name in sorted(set(sample["_cluster"]))}
        return {**found, "": float(each.mean())}

    def _sample(self) -> RowSample:
        return RowSample((*(c for c in self.columns if c != self.cluster), "_cluster"), self.sample, "clusters")
