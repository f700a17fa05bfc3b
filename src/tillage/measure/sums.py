"""Sum, mean and variance without rounding errors: the same in whatever order, rounded once at the end."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from tillage.core.state import State
from tillage.measure.exact import UNIT, float_squares, float_sum, rounded, whole_squares
from tillage.measure.statistic import Statistic, numbers


class Sum(Statistic):
    """The sum: an int of any size for integers, the correctly rounded float64 otherwise; nulls do not count.

    >>> s = Sum()
    >>> s.finish(s.update(s.start(), pl.Series([1e16, 1.0, -1e16])))
    1.0
    """

    def start(self) -> State:
        return {"count": 0, "floats": 0, "units": 0, "nan": 0, "inf": 0, "-inf": 0}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        present = numbers(values)
        if present.dtype.is_integer():
            whole = int(present.cast(pl.Int128).sum())
            return self.merge(state, {**self.start(), "count": len(present), "units": whole << UNIT})
        units, special = float_sum(present.to_numpy())
        return self.merge(state, {"count": len(present), "floats": len(present), "units": units, **special})

    def merge(self, a: State, b: State) -> State:
        return {name: a[name] + b[name] for name in a}

    def finish(self, state: State) -> int | float:
        if not state["floats"]:
            return int(state["units"] >> UNIT)
        return _special(state) if _any_special(state) else rounded(state["units"], 1 << UNIT)


class Moments(Statistic):
    """Count, mean and variance (of a sample: divided by n - 1), each correctly rounded; None where undefined.

    Infinite values and NaN make both NaN.

    >>> m = Moments()
    >>> m.finish(m.update(m.start(), pl.Series([1e9 + 1, 1e9 + 2, 1e9 + 3])))
    {'count': 3, 'mean': 1000000002.0, 'variance': 1.0}
    """

    def start(self) -> State:
        return {"count": 0, "units": 0, "squares": 0, "nan": 0, "inf": 0, "-inf": 0}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        present = numbers(values)
        new = {**self.start(), "count": len(present)}
        if present.dtype.is_integer():
            new["units"] = int(present.cast(pl.Int128).sum()) << UNIT
            new["squares"] = whole_squares(present) << 2 * UNIT
        else:
            new["units"], special = float_sum(present.to_numpy())
            new |= special
            finite = present.filter(present.is_finite()) if _any_special(special) else present
            new["squares"] = float_squares(finite.to_numpy())
        return self.merge(state, new)

    def merge(self, a: State, b: State) -> State:
        return {name: a[name] + b[name] for name in a}

    def finish(self, state: State) -> dict[str, Any]:
        n, units = state["count"], state["units"]
        if _any_special(state):
            return {"count": n, "mean": math.nan, "variance": math.nan}
        spread = n * state["squares"] - units * units
        return {
            "count": n,
            "mean": rounded(units, n << UNIT) if n else None,
            "variance": rounded(spread, n * (n - 1) << 2 * UNIT) if n > 1 else None,
        }


def _any_special(state: State) -> bool:
    return bool(state["nan"] or state["inf"] or state["-inf"])


def _special(state: State) -> float:
    if state["nan"] or (state["inf"] and state["-inf"]):
        return math.nan
    return math.inf if state["inf"] else -math.inf
