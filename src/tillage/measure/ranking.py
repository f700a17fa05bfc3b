"""How good shares of classes are: do they rank well (ROC AUC, average precision), do they come true (log loss, Brier).

The rows are sorted by share once a class; a round of the bootstrap weighs the sorted rows anew, so that 16,000 rows of
two classes and 1,000 rounds take 0.6 CPU seconds. More rows or classes get fewer rounds, 100 at least.

Average precision is another one where rows come twice, as they do in a bootstrap, the more so the fewer rows a class
has. Its interval is made of halves, drawn without putting back; their values vary about as much as those of test parts
as large as this one. It is of the score of such parts: with few rows a class that lies above the score of very many.
Sources: Hanley and McNeil, Radiology 143, 1982 (AUC); Brier, Monthly Weather Review 78, 1950; the definitions of
scikit-learn, ties and all; Shao and Wu, Annals of Statistics 17, 1989 (halves: the jackknife that leaves out many).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

_CELLS = 20_000_000
_AT_ONCE = 1 << 18
"""Rows times rounds that are weighed at once: what numpy costs a call is most of it where rows are few."""
_LEAST = 1e-15
_HALVES = 200
_NORMAL = 1.96
"""Within so many standard deviations of its middle lie 95 % of a normal distribution."""


class Ranked:
    """Rows in the order of their scores, the highest first, equal ones together.

    >>> float(Ranked(np.array([0.9, 0.8, 0.3]), np.array([True, False, True])).roc_auc())
    0.5
    """

    def __init__(self, scores: Numbers, hit: Numbers) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._hit = hit[self._order].astype(np.float64)

    def roc_auc(self, times: Numbers | None = None) -> Numbers:
        """The share of pairs of a hit and a miss in which the hit stands first; ties count half; nan without both.

        `times`: how often each row counts, (rows,) or (rounds, rows); one number a round.
        """
        return _roc_auc(*self.groups(times))

    def average_precision(self, times: Numbers | None = None) -> Numbers:
        """The mean precision over the hits, at the threshold of each; nan without a hit. `times` as above."""
        return _average_precision(*self.groups(times))

    def groups(self, times: Numbers | None = None) -> tuple[Numbers, Numbers]:
        """Hits and misses of each score, the highest first: (scores,) or (rounds, scores)."""
        weight = np.ones(len(self._order)) if times is None else times[..., self._order]
        hits = np.add.reduceat(weight * self._hit, self._starts, axis=-1)
        return hits, np.add.reduceat(weight, self._starts, axis=-1) - hits


def _roc_auc(hits: Numbers, misses: Numbers) -> Numbers:
    pairs = hits.sum(axis=-1) * misses.sum(axis=-1)
    return _over(((np.cumsum(hits, axis=-1) - hits / 2) * misses).sum(axis=-1), pairs)


def _average_precision(hits: Numbers, misses: Numbers) -> Numbers:
    found = np.cumsum(hits, axis=-1)
    seen = found + np.cumsum(misses, axis=-1)
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    return _over((hits * precision).sum(axis=-1), found[..., -1])


def _over(above: Numbers, below: Numbers) -> Numbers:
    """The quotient; nan where the divisor is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def roc_auc(shares: Numbers, target: Numbers) -> float:
    """Mean over the classes of each against the rest; of two classes, the second's.

    `shares`: (rows, classes); `target`: the place of each row's class. Classes without a row do not count.

    >>> roc_auc(np.array([[0.4, 0.6], [0.8, 0.2]]), np.array([1, 0]))
    1.0
    """
    return float(_means(_ranked(shares, target))[0])


def average_precision(shares: Numbers, target: Numbers) -> float:
    """The same of average precision.

    >>> average_precision(np.array([[0.4, 0.6], [0.3, 0.7]]), np.array([1, 0]))
    0.5
    """
    return float(_means(_ranked(shares, target))[1])


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
    """The 95 % interval of each of SHARE_METRICS, by resampling rows, or whole groups.

    It is a percentile interval of the bootstrap, but of average precision; see the head of this file. `unit`: the
    number of each row's group, from 0.

    >>> found = share_intervals(np.array([[0.9, 0.1], [0.2, 0.8]] * 20), np.array([0, 1] * 20))
    >>> found["roc_auc"]
    (1.0, 1.0)
    """
    unit = np.arange(len(target)) if unit is None else unit
    units = int(unit.max()) + 1
    rounds = max(100, min(1000, _CELLS // shares.size))
    random = np.random.Generator(np.random.PCG64(seed))
    ranked = _ranked(shares, target)
    parts = {"log_loss": lost(shares, target), "brier": apart(shares, target)}
    values: dict[str, list[Numbers]] = {name: [] for name in SHARE_METRICS}
    at_once = max(1, _AT_ONCE // len(target))
    for first in range(0, rounds, at_once):
        draws = [random.integers(0, units, units) for _ in range(first, min(first + at_once, rounds))]
        times = np.stack([np.bincount(draw, minlength=units)[unit].astype(np.float64) for draw in draws])
        values["roc_auc"].append(_means(ranked, times)[0])
        for name, part in parts.items():
            values[name].append((part * times).sum(axis=-1) / times.sum(axis=-1))
    intervals = {name: _percentiles(np.concatenate(drawn)) for name, drawn in values.items() if drawn}
    halves = _halved(ranked, target, unit, seed=seed)
    intervals["average_precision"] = _about(float(_means(ranked)[1]), halves)
    return {name: intervals[name] for name in SHARE_METRICS}


def _percentiles(drawn: Numbers) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    return low, high


def _about(score: float, halves: Numbers) -> tuple[float, float]:
    """The shares that lie about the score as the halves lie about their mean."""
    known = halves[np.isfinite(halves)]
    if not len(known):
        return float("nan"), float("nan")
    spread = _NORMAL * float(known.std())
    return max(score - spread, 0.0), min(score + spread, 1.0)


def _halved(ranked: list[Ranked], target: Numbers, unit: Numbers, *, seed: int) -> Numbers:
    """The average precision of halves of the rows, of whole groups, with half of the rows of each class."""
    classes, units = int(target.max()) + 1, int(unit.max()) + 1
    members = np.bincount(unit * classes + target, minlength=units * classes).reshape(units, classes)
    kind = members.argmax(axis=1)  # of a group the class of most of its rows
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    at_once = max(1, _AT_ONCE // len(target))
    rounds = range(0, _HALVES, at_once)
    times = (_half(kind, min(at_once, _HALVES - first), random)[:, unit] for first in rounds)
    return np.concatenate([_means(ranked, some)[1] for some in times])


def _half(kind: Numbers, rounds: int, random: np.random.Generator) -> Numbers:
    """(rounds, units) of 1 and 0: half of the units of each kind; of an odd number one more or less, by chance.

    >>> found = _half(np.array([0, 1, 0, 1, 1]), 100, np.random.default_rng(1))
    >>> set(found[:, [0, 2]].sum(axis=1).tolist()), set(found[:, [1, 3, 4]].sum(axis=1).tolist())
    ({1.0}, {1.0, 2.0})
    """
    order = np.argsort(kind + random.random((rounds, len(kind))), axis=1)
    sizes = np.bincount(kind)
    of = np.sort(kind)
    place = np.arange(len(kind)) - (np.cumsum(sizes) - sizes)[of]
    chance = random.integers(0, 2, (rounds, len(sizes)))
    kept = place < sizes[of] // 2 + chance[:, of] * (sizes[of] % 2)
    found = np.empty(order.shape)
    np.put_along_axis(found, order, kept.astype(np.float64), axis=1)
    return found


def _ranked(shares: Numbers, target: Numbers) -> list[Ranked]:
    """The rows ranked for each class that has any; of two classes for the second."""
    classes = [1] if shares.shape[1] == 2 else [k for k in range(shares.shape[1]) if (target == k).any()]
    return [Ranked(shares[:, k], target == k) for k in classes]


def _means(ranked: list[Ranked], times: Numbers | None = None) -> tuple[Numbers, Numbers]:
    """ROC AUC and average precision, each the mean over the classes that have one; nan where none has."""
    each = [(_roc_auc(*groups), _average_precision(*groups)) for groups in (one.groups(times) for one in ranked)]
    return _known_mean([auc for auc, _ in each]), _known_mean([precision for _, precision in each])


def _known_mean(values: list[Numbers]) -> Numbers:
    every = np.stack(values) if values else np.empty((0,))
    known = np.isfinite(every)
    return _over(np.where(known, every, 0.0).sum(axis=0), known.sum(axis=0, dtype=np.float64))
