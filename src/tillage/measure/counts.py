"""How many rows, how many of them null. Cost: none to speak of, since Polars knows both."""

from __future__ import annotations

import polars as pl

from tillage.core.state import State
from tillage.measure.statistic import Statistic


class Counts(Statistic):
    """Rows and nulls.

    >>> c = Counts()
    >>> c.finish(c.update(c.start(), pl.Series(["a", None])))
    {'rows': 2, 'nulls': 1}
    """

    def start(self) -> State:
        return {"rows": 0, "nulls": 0}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        return {"rows": state["rows"] + len(values), "nulls": state["nulls"] + values.null_count()}

    def merge(self, a: State, b: State) -> State:
        return {"rows": a["rows"] + b["rows"], "nulls": a["nulls"] + b["nulls"]}

    def finish(self, state: State) -> dict[str, int]:
        return {"rows": state["rows"], "nulls": state["nulls"]}
