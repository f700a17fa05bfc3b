"""A score beside that of a linear model, on the same rows: what a plainer model would have done.

The naive baseline says whether anything was learnt; this one, whether the model is worth its weight. Both saw the same
test rows, so they are compared row by row (`measure.paired`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from tillage.evaluate.slices import chance
from tillage.measure.paired import Difference, mcnemar, paired_bootstrap

Numbers = np.ndarray[Any, np.dtype[Any]]

LINEAR, LINEAR_SHARES = "linear", "linear_shares"
"""Columns with what the linear model says of a row."""


def compared(metric: str, truth: pl.Series, first: pl.Series, second: pl.Series, groups: pl.Series | None) -> Any:
    """Two predictions of the same rows: `metric`, `difference`, `interval`, `p` and `test`, by which p was had.

    `metric`: `accuracy` (McNemar's exact test, unless rows come in groups) or `mae`; the difference is first - second.

    >>> y = pl.Series(["a", "b"] * 10)
    >>> found = compared("accuracy", y, y, pl.Series(["a"] * 20), None)
    >>> found["difference"], found["test"], round(found["p"], 4)
    (0.5, 'McNemar, exact', 0.002)
    """
    if metric == "accuracy":
        a, b = (truth == first).to_numpy().astype(np.float64), (truth == second).to_numpy().astype(np.float64)
    else:
        known = truth.to_numpy()
        a, b = np.abs(first.to_numpy() - known), np.abs(second.to_numpy() - known)
    places = None if groups is None else groups.rank("dense").to_numpy().astype(np.int64) - 1
    drawn = paired_means(a, b, places)
    by_rows = metric == "accuracy" and groups is None
    units = "rows" if groups is None else "groups"
    return {
        "metric": metric,
        "difference": drawn.value,
        "interval": [drawn.low, drawn.high],
        "p": mcnemar(a > 0, b > 0).p if by_rows else drawn.p,
        "test": "McNemar, exact" if by_rows else f"paired bootstrap over {units}",
    }


def paired_means(a: Numbers, b: Numbers, places: Numbers | None) -> Difference:
    """The paired bootstrap of the difference of two means; no more than the rows (or groups) that there are."""
    zero = np.zeros(len(a))
    return paired_bootstrap(lambda _, p: float(p.mean()), zero, a, b, places)


def warnings_of(found: Mapping[str, Any], metrics: Mapping[str, float], linear: Mapping[str, float]) -> list[str]:
    """A sentence where the model is not surely better than the linear one.

    >>> found = {"metric": "accuracy", "difference": 0.01, "p": 0.4, "test": "McNemar, exact"}
    >>> warnings_of(found, {"accuracy": 0.81}, {"accuracy": 0.8})[0]
    'The accuracy of 0.81 is not surely better than the 0.8 of a linear model (p = 0.4, McNemar, exact).'
    """
    name = found["metric"]
    ahead = found["difference"] > 0 if name == "accuracy" else found["difference"] < 0
    if ahead and found["p"] < 0.05:
        return []
    said = "surely worse" if found["p"] < 0.05 else "not surely better"
    return [
        f"The {name} of {metrics[name]:.4g} is {said} than the {linear[name]:.4g} of a linear model "
        f"({chance(found['p'])}, {found['test']})."
    ]
