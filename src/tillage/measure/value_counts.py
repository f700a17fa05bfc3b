"""How often each value occurs, exactly. For columns of few different values: the state holds every one of them.

About 0.03 CPU seconds a million texts. A list of the most frequent values that forgets the others cannot be merged
exactly, so this forgets none.
"""

from __future__ import annotations

import polars as pl

from tillage.core.state import State
from tillage.measure.statistic import Statistic, positive_zero


class ValueCounts(Statistic):
    """Count by value, the value as text; nulls do not count.

    >>> v = ValueCounts(top=1)
    >>> v.finish(v.update(v.start(), pl.Series(["b", "a", "b", None])))
    {'b': 2}
    """

    def __init__(self, top: int | None = None) -> None:
        """`top`: how many values `finish` returns; all of them by default. The state holds all."""
        self.top = top

    def start(self) -> State:
        return {}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        present = values.drop_nulls()
        if present.dtype.is_float():
            present = positive_zero(present)
        counted = present.value_counts(name="n")
        texts = counted.to_series(0).cast(pl.String).to_list()
        return self.merge(state, dict(zip(texts, counted["n"].to_list(), strict=True)))

    def merge(self, a: State, b: State) -> State:
        small, large = sorted((a, b), key=len)
        return {**large, **{value: large.get(value, 0) + count for value, count in small.items()}}

    def finish(self, state: State) -> dict[str, int]:
        """The most frequent first, equal ones by text."""
        return dict(sorted(state.items(), key=lambda item: (-item[1], item[0]))[: self.top])
