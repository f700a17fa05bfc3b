"""How often each combination of the values of some columns occurs, exactly, and in whatever order rows came.

The state holds each different combination once, as codes of 4 bytes a column, and each different value once; it is at
most as large as the columns counted. About 0.5 CPU seconds a million different combinations of five columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.core.columns import written
from tillage.core.state import State

COUNT = "_count"
"""How many rows have a combination."""


class Combinations:
    """The different combinations of values of some columns, and how often each occurs; states merge exactly.

    A state is `{"values": {column: texts in order}, "codes": combinations x columns, "counts": ...}`; code -1 is null.

    >>> c = Combinations(("zip", "city"))
    >>> state = c.update(c.start(), pl.DataFrame({"zip": ["1", "1"], "city": ["Ulm", "Ulm"]}))
    >>> c.table(state).rows()
    [('1', 'Ulm', 2)]
    """

    def __init__(self, columns: Sequence[str]) -> None:
        """`columns`: those that are looked at."""
        self.columns = tuple(columns)

    def start(self) -> State:
        """No combination."""
        return self._state({c: [] for c in self.columns}, np.empty((0, len(self.columns)), np.int32), np.empty(0, int))

    def update(self, state: State, rows: pl.DataFrame, weight: str | None = None) -> State:
        """The state with these rows; each counts once, or as often as its `weight` says (null: not at all)."""
        count = pl.lit(1, dtype=pl.Int64) if weight is None else pl.col(weight).cast(pl.Int64).fill_null(0)
        texts = rows.select(*(written(c, rows.schema[c]) for c in self.columns), count.alias(COUNT))
        grouped = texts.group_by(self.columns).agg(pl.col(COUNT).sum()).filter(pl.col(COUNT) > 0)
        return self.merge(state, self._coded(grouped))

    def merge(self, a: State, b: State) -> State:
        """The combinations of both."""
        if not len(a["counts"]) or not len(b["counts"]):
            return a if len(a["counts"]) else b
        both = pl.concat([self.table(a), self.table(b)])
        return self._coded(both.group_by(self.columns).agg(pl.col(COUNT).sum()))

    def table(self, state: State) -> pl.DataFrame:
        """A row for each combination: the values as texts, and COUNT."""
        codes = state["codes"]
        columns = [
            pl.Series(c, state["values"][c], dtype=pl.String).gather(
                pl.Series(np.where(codes[:, k] < 0, 0, codes[:, k])).set(pl.Series(codes[:, k] < 0), None)
            )
            if state["values"][c]
            else pl.Series(c, [None] * len(codes), dtype=pl.String)
            for k, c in enumerate(self.columns)
        ]
        return pl.DataFrame([*columns, pl.Series(COUNT, state["counts"], dtype=pl.Int64)])

    def _coded(self, grouped: pl.DataFrame) -> State:
        values = {c: grouped[c].drop_nulls().unique().sort().to_list() for c in self.columns}
        codes = grouped.select(
            pl.col(c).replace_strict(texts, range(len(texts)), default=None, return_dtype=pl.Int32).fill_null(-1)
            if texts
            else pl.lit(-1, dtype=pl.Int32).alias(c)
            for c, texts in values.items()
        )
        if not grouped.height:
            return self.start()
        placed = codes.with_columns(grouped[COUNT]).sort(self.columns)
        return self._state(values, placed.drop(COUNT).to_numpy(), placed[COUNT].to_numpy())

    def _state(self, values: dict[str, list[str]], codes: npt.NDArray[Any], counts: npt.NDArray[Any]) -> State:
        return {
            "values": values,
            "codes": np.ascontiguousarray(codes, dtype=np.int32).reshape(-1, len(self.columns)),
            "counts": np.ascontiguousarray(counts, dtype=np.int64),
        }
