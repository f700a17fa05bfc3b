"""How good shares of classes are: do they rank well (ROC AUC, average precision), do they come true (log loss, Brier).

The rows are sorted by share once a class; a round of the bootstrap weighs the sorted rows anew, so that 16,000 rows of
two classes and 1,000 rounds take 0.6 CPU seconds. More rows or classes get fewer rounds, 100 at least.
Sources: Hanley and McNeil, Radiology 143, 1982 (AUC); Brier, Monthly Weather Review 78, 1950; the definitions of
scikit-learn, ties and all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

_CELLS = 20_000_000
_LEAST = 1e-15


class Ranked:
    """Rows in the order of their scores, the highest first, equal ones together.

    >>> Ranked(np.array([0.9, 0.8, 0.3]), np.array([True, False, True])).roc_auc()
    0.5
    """

    def __init__(self, scores: Numbers, hit: Numbers) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._hit = hit[self._order].astype(np.float64)

    def roc_auc(self, times: Numbers | None = None) -> float:
        """The share of pairs of a hit and a miss in which the hit stands first; ties count half; nan without both."""
        hits, misses = self._groups(times)
        pairs = hits.sum() * misses.sum()
        return float(((np.cumsum(hits) - hits / 2) * misses).sum() / pairs) if pairs else float("nan")

    def average_precision(self, times: Numbers | None = None) -> float:
        """The mean precision over the hits, at the threshold of each; nan without a hit."""
        hits, misses = self._groups(times)
        found = np.cumsum(hits)
        if not found[-1]:
            return float("nan")
        seen = found + np.cumsum(misses)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return float((hits * precision).sum() / found[-1])

    def _groups(self, times: Numbers | None) -> tuple[Numbers, Numbers]:
        weight = np.ones(len(self._order)) if times is None else times[self._order]
        hits = np.add.reduceat(weight * self._hit, self._starts)
        return hits, np.add.reduceat(weight, self._starts) - hits


def roc_auc(shares: Numbers, target: Numbers) -> float:
    """Mean over the classes of each against the rest; of two classes, the second's.

    `shares`: (rows, classes); `target`: the place of each row's class. Classes without a row do not count.

    >>> roc_auc(np.array([[0.4, 0.6], [0.8, 0.2]]), np.array([1, 0]))
    1.0
    """
    return _mean(shares, target, Ranked.roc_auc)(None)


def average_precision(shares: Numbers, target: Numbers) -> float:
    """The same of average precision.

    >>> average_precision(np.array([[0.4, 0.6], [0.3, 0.7]]), np.array([1, 0]))
    0.5
    """
    return _mean(shares, target, Ranked.average_precision)(None)


def log_loss(shares: Numbers, target: Numbers) -> float:
    """The mean of -ln(share of the true class); a share of 0 counts as 1e-15.

    >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([0])), 6)
    0.693147
    """
    return float(np.mean(lost(shares, target)))


def lost(shares: Numbers, target: Numbers) -> Numbers:
    """-ln(share of the true class) of each row.

    >>> lost(np.array([[1.0, 0.0]]), np.array([0])).tolist()
    [-0.0]
    """
    return np.asarray(-np.log(np.maximum(shares[np.arange(len(shares)), target], _LEAST)))


def brier(shares: Numbers, target: Numbers) -> float:
    """The mean squared distance of the shares from the truth: of two classes the second's, else summed over all.

    >>> round(brier(np.array([[0.2, 0.8]]), np.array([1])), 6)
    0.04
    """
    return float(np.mean(apart(shares, target)))


def apart(shares: Numbers, target: Numbers) -> Numbers:
    """The squared distance of each row.

    >>> apart(np.array([[0.0, 1.0]]), np.array([0])).tolist()
    [1.0]
    """
    truth = np.zeros_like(shares)
    truth[np.arange(len(shares)), target] = 1
    distance = (shares - truth) ** 2
    return np.asarray(distance[:, 1] if shares.shape[1] == 2 else distance.sum(axis=1))


SHARE_METRICS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "roc_auc": roc_auc, "average_precision": average_precision, "log_loss": log_loss, "brier": brier,
}  # fmt: skip
"""Metrics of shares by the names that they have in results."""


def share_intervals(
    shares: Numbers, target: Numbers, unit: Numbers | None = None, *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each of SHARE_METRICS, by bootstrap over rows, or over groups.

    `unit`: the number of each row's group, from 0.

    >>> found = share_intervals(np.array([[0.9, 0.1], [0.2, 0.8]] * 20), np.array([0, 1] * 20))
    >>> found["roc_auc"]
    (1.0, 1.0)
    """
    unit = np.arange(len(target)) if unit is None else unit
    units = int(unit.max()) + 1
    rounds = max(100, min(1000, _CELLS // shares.size))
    random = np.random.Generator(np.random.PCG64(seed))
    ranks = {
        "roc_auc": _mean(shares, target, Ranked.roc_auc),
        "average_precision": _mean(shares, target, Ranked.average_precision),
    }
    means = {"log_loss": lost(shares, target), "brier": apart(shares, target)}
    values: dict[str, list[float]] = {name: [] for name in SHARE_METRICS}
    for _ in range(rounds):
        times = np.bincount(random.integers(0, units, units), minlength=units)[unit].astype(np.float64)
        for name, ranked in ranks.items():
            values[name].append(ranked(times))
        for name, parts in means.items():
            values[name].append(float((parts * times).sum() / times.sum()))
    intervals = {}
    for name, drawn in values.items():
        known = np.array(drawn)[np.isfinite(drawn)]
        low, high = np.quantile(known, [0.025, 0.975]).tolist() if len(known) else (float("nan"), float("nan"))
        intervals[name] = (low, high)
    return intervals


def _mean(
    shares: Numbers, target: Numbers, metric: Callable[[Ranked, Numbers | None], float]
) -> Callable[[Numbers | None], float]:
    classes = [1] if shares.shape[1] == 2 else [k for k in range(shares.shape[1]) if (target == k).any()]
    ranked = [Ranked(shares[:, k], target == k) for k in classes]

    def mean(times: Numbers | None) -> float:
        values = np.array([metric(one, times) for one in ranked])
        known = values[np.isfinite(values)]
        return float(known.mean()) if len(known) else float("nan")

    return mean
