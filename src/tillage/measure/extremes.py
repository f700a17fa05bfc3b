"""The smallest and the largest value, of numbers or texts. Cost: one scan."""

from __future__ import annotations

from typing import Any

import polars as pl

from tillage.core.errors import UsageError
from tillage.core.state import State
from tillage.measure.statistic import Statistic, numbers, positive_zero


class Extremes(Statistic):
    """Smallest and largest value; nulls and NaN do not count, and texts compare by code point.

    >>> e = Extremes()
    >>> e.finish(e.update(e.start(), pl.Series([3, None, -1])))
    {'min': -1, 'max': 3}
    """

    def start(self) -> State:
        return {"min": None, "max": None}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        if values.dtype in (pl.String, pl.Categorical, pl.Enum):
            present = values.cast(pl.String)
        else:
            present = numbers(values)
            if present.dtype == pl.Float64:
                present = positive_zero(present.drop_nans())  # else the order of -0.0 and 0.0 would decide
        return self.merge(state, {"min": present.min(), "max": present.max()})

    def merge(self, a: State, b: State) -> State:
        return {"min": _pick(min, a["min"], b["min"]), "max": _pick(max, a["max"], b["max"])}

    def finish(self, state: State) -> dict[str, Any]:
        return {"min": state["min"], "max": state["max"]}


def _pick(choose: Any, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, str) != isinstance(b, str):
        raise UsageError("Texts and numbers cannot be compared.", fix="Give one column one type.")
    if a == b:  # an int and a float: the int, whichever came first
        return a if isinstance(a, int) else b
    return choose(a, b)
