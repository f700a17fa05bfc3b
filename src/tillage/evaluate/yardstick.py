"""A score beside that of a linear model, on the same rows: what a plainer model would have done.

The naive baseline says whether anything was learnt; this one, whether the model is worth its weight. Both saw the same
test rows, so they are compared row by row (`measure.paired`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tillage.evaluate.slices import chance

LINEAR, LINEAR_SHARES = "linear", "linear_shares"
"""Columns with what the linear model says of a row."""


def warnings_of(found: Mapping[str, Any], metrics: Mapping[str, float], linear: Mapping[str, float]) -> list[str]:
    """A sentence where the model is not surely better than the linear one.

    >>> found = {"metric": "accuracy", "difference": 0.01, "p": 0.4, "test": "McNemar, exact"}
    >>> warnings_of(found, {"accuracy": 0.81}, {"accuracy": 0.8})[0]
    'The accuracy of 0.81 is not surely better than the 0.8 of a linear model (p = 0.4, McNemar, exact).'
    """
    name = found["metric"]
    ahead = found["difference"] < 0 if name == "mae" else found["difference"] > 0
    if ahead and found["p"] < 0.05:
        return []
    said = "surely worse" if found["p"] < 0.05 else "not surely better"
    return [
        f"The {name} of {metrics[name]:.4g} is {said} than the {linear[name]:.4g} of a linear model "
        f"({chance(found['p'])}, {found['test']})."
    ]
