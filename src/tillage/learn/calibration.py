"""Calibration: shares of classes that come true as often as they say, learnt from rows that the model had not seen.

One curve a class against the rest, `sigmoid` (two numbers, for few rows) or `isotonic` (any rising curve, from some
1,000 rows on); then the classes' shares are put back to a sum of 1. Or one number for scores of all classes, the
temperature.
Sources: Platt, Probabilistic outputs for support vector machines, 1999; Zadrozny and Elkan, KDD 2002; Guo et al., On
calibration of modern neural networks, ICML 2017 (the temperature).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tillage.learn.learner import Numbers, solving

_LEAST = 1e-12


def learn_calibration(shares: Numbers, target: Numbers, method: str) -> dict[str, Any]:
    """The curves as state. `shares`: (rows, classes), of models that had not seen the row; `target`: its class."""
    classes = shares.shape[1]
    curves = [
        _sigmoid(_log_odds(shares[:, k]), target == k) if method == "sigmoid" else _isotonic(shares[:, k], target == k)
        for k in (range(classes) if classes > 2 else [1])
    ]
    return {"method": method, "curves": curves}


def calibrated(state: Mapping[str, Any], shares: Numbers) -> Numbers:
    """The shares (rows, classes), each row's sum 1, as they come true."""
    sigmoid = state["method"] == "sigmoid"
    found = np.empty_like(shares)
    for k, (a, b) in enumerate(state["curves"], start=shares.shape[1] - len(state["curves"])):
        if sigmoid:
            found[:, k] = 1 / (1 + np.exp(-np.clip(a * _log_odds(shares[:, k]) + b, -700, 700)))
        else:
            found[:, k] = np.interp(shares[:, k], a, b)
    if len(state["curves"]) == 1:
        found[:, 0] = 1 - found[:, 1]
        return found
    found = np.maximum(found, _LEAST)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def temperature_of(scores: Numbers, target: Numbers) -> float:
    """What scores (rows, classes) are divided by, so that their shares come true on rows that were not learnt from.

    The one number of the least loss, between 1/64 and 16. A class counts as its row's by Platt's smoothed share, so
    that a model without a mistake is not taken to be beyond doubt.

    >>> round(temperature_of(np.array([[4.0, 0.0]] * 90 + [[0.0, 4.0]] * 10), np.zeros(100, np.int64)), 2)
    1.89
    """
    rows, classes = scores.shape
    aim = np.full(scores.shape, 1 / (rows + 2) / max(1, classes - 1))
    aim[np.arange(rows), target] = (rows + 1) / (rows + 2)

    def lost(power: float) -> float:
        cool = scores / 2.0**power
        cool = cool - cool.max(axis=1, keepdims=True)
        return float((np.log(np.exp(cool).sum(axis=1)) - (aim * cool).sum(axis=1)).mean())

    low, high = -6.0, 4.0
    for _ in range(45):  # the loss has one valley: a third goes at each turn
        near, far = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, far) if lost(near) < lost(far) else (near, high)
    return float(round(2.0 ** ((low + high) / 2), 6))


def _log_odds(shares: Numbers) -> Numbers:
    inside = np.clip(shares, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _sigmoid(odds: Numbers, hit: Numbers) -> list[float]:
    """Slope and intercept; each row counts as a hit by Platt's smoothed share of it, so that no curve is a step."""
    from sklearn.linear_model import LogisticRegression

    hits = int(hit.sum())
    aim = np.where(hit, (hits + 1) / (hits + 2), 1 / (len(hit) - hits + 2))
    with solving():
        solver = LogisticRegression(C=1e6, max_iter=1000, tol=1e-8)
        twice = np.concatenate([odds, odds])[:, None]
        solver.fit(twice, np.repeat([True, False], len(hit)), sample_weight=np.concatenate([aim, 1 - aim]))
    return [float(solver.coef_[0, 0]), float(solver.intercept_[0])]


def _isotonic(shares: Numbers, hit: Numbers) -> list[Numbers]:
    """The corners of the curve: shares, and what they come to, 1 / (rows + 2) away from certainty."""
    from sklearn.isotonic import IsotonicRegression

    doubt = 1 / (len(hit) + 2)
    solver = IsotonicRegression(y_min=doubt, y_max=1 - doubt, out_of_bounds="clip").fit(shares, hit.astype(np.float64))
    return [np.asarray(solver.X_thresholds_, np.float64), np.asarray(solver.y_thresholds_, np.float64)]
