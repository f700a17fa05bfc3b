"""Training rows whose text is nearly that of a test row: pairs, not chains, so a row between two others binds neither.

It stands on the contents, buckets and exact comparison of `prepare/near.py`. Whether a training row leaks depends on
the test rows that share a bucket with it, so a change reaches two steps far: from what came or went to the training
rows of its buckets, and from these to the test rows of theirs. Cost: that of near duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tillage.core.rows import ID, INTO, REASON, drop_columns
from tillage.core.step import Keyed
from tillage.prepare.near import CONTENT, TEXT, Graph, Near, buckets_of, read, strangers, whole
from tillage.prepare.touched import KEY, changed

IS_TEST = "is_test"
OTHER = "other"
"""The hash of the columns that must be equal."""

_STEPS = 2


@dataclass(frozen=True)
class NearLeaks:
    """The rule: text at least `similarity` alike (Jaccard of word 5-grams) and all else equal; `reason` is given.

    >>> from tillage.prepare.near import Near
    >>> NearLeaks(Near(("text",), 0.8), "leak").rule.similarity
    0.8
    """

    rule: Near
    reason: str

    def entries(self, rows: pl.DataFrame, payload: Sequence[pl.Expr]) -> pl.DataFrame:
        """Those of `Near.entries`; the payload bears IS_TEST and OTHER."""
        return self.rule.entries(rows, payload)

    def decide(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Decisions on all rows, in the order of their entries."""
        graph = Graph(self.rule)
        graph.add(whole(entries), buckets_of(entries))
        return self._decided(graph, whole(entries))

    def follow(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on the training rows that a test row came near to, or ceased to be near."""
        graph = Graph.of_change(self.rule, state, added, removed)
        none = drop_columns(added.clear(), TEXT)
        frontier, standing, judged = graph.contents, [none], graph.contents
        for step in range(_STEPS):
            found = read(state, pl.concat([graph.keys_of(frontier), frontier]).unique(), none).unique(ID)
            standing.append(found)
            fresh = strangers(found, graph.contents)
            graph.recall(state, fresh[ID])
            frontier = fresh[CONTENT]
            if step == 0:
                judged = graph.contents
        before = pl.concat(standing).unique(ID)
        stayed = before.join(removed.select(ID, CONTENT).unique(), on=[ID, CONTENT], how="anti")
        after = pl.concat([stayed, drop_columns(whole(added), TEXT)])
        among = pl.col(CONTENT).is_in(judged.implode())
        return changed(self._decided(graph, before, among), self._decided(graph, after, among), added[ID])

    def _decided(self, graph: Graph, rows: pl.DataFrame, among: pl.Expr | None = None) -> pl.DataFrame:
        """Decisions on the rows that are `among` those asked for, by all test rows."""
        judged = rows if among is None else rows.filter(among)
        tests = rows.filter(IS_TEST).select(CONTENT, OTHER).unique()
        asked = judged.filter(~pl.col(IS_TEST)).select(CONTENT, OTHER).unique()
        equal = asked.join(tests, on=[CONTENT, OTHER], how="semi")
        open_ = asked.join(equal, on=[CONTENT, OTHER], how="anti")
        tested = tests.join(graph.buckets, on=CONTENT).rename({CONTENT: "test"})
        met = open_.join(graph.buckets, on=CONTENT).join(tested, on=[KEY, OTHER])
        met = met.select(CONTENT, OTHER, "test").unique().sort(CONTENT, OTHER, "test")
        alike = graph.alike(met[CONTENT], met["test"])
        leaks = pl.concat([equal, met.filter(alike).select(CONTENT, OTHER).unique()]).with_columns(leaks=pl.lit(True))
        told = judged.join(leaks, on=[CONTENT, OTHER], how="left", maintain_order="left")
        leaves = pl.col("leaks").fill_null(value=False) & ~pl.col(IS_TEST)
        return told.select(
            ID, pl.when(leaves).then(pl.lit(self.reason)).alias(REASON), pl.lit(None, dtype=pl.UInt128).alias(INTO)
        )


__all__ = ["IS_TEST", "OTHER", "TEXT", "NearLeaks"]
