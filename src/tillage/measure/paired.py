"""Whether one model is better than another on the same rows, or some rows fare worse than the rest.

Two models are compared row by row: what both get right or wrong says nothing. McNemar's test counts the rows that one
alone gets right, exactly; where rows come in groups, or the score is no count, groups or rows are drawn again and the
difference is scored each time. Of many tests at once, Holm's step-down keeps the chance of one false alarm.
Cost: one pass, and a bootstrap of a thousand rounds over units.
Sources: McNemar, Psychometrika 12, 1947; Dietterich, Neural Computation 10, 1998; Efron and Tibshirani, An Introduction
to the Bootstrap, 1993; Holm, Scandinavian Journal of Statistics 6, 1979; Welch, Biometrika 34, 1947; Cameron and
Miller, A practitioner's guide to cluster-robust inference, Journal of Human Resources 50, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.measure.metrics import mean_f1
from tillage.measure.spans import SPAN_METRICS, span_counts

Numbers = npt.NDArray[Any]

_ROUNDS, _FEWEST, _CELLS = 1000, 100, 20_000_000


@dataclass(frozen=True)
class McNemar:
    """How many rows each of two models alone gets right, and how likely so uneven a count is by chance."""

    first: int
    second: int
    p: float
    """Two-sided, from 0 to 1: 1 where neither is ever right alone."""


def mcnemar(first: Numbers, second: Numbers) -> McNemar:
    """The exact test of two models' hits (true where the row is predicted rightly) on the same rows.

    >>> mcnemar(np.array([1, 1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 0, 0], bool))
    McNemar(first=5, second=0, p=0.0625)
    """
    from scipy.stats import binomtest

    alone, other = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(binomtest(alone, alone + other, 0.5).pvalue) if alone + other else 1.0
    return McNemar(alone, other, p)


@dataclass(frozen=True)
class Difference:
    """The first score less the second, its interval of 95 %, and how likely a difference this far from 0 is by chance.

    `p` is two-sided: twice the share of rounds on the other side of 0, at least 2 / (rounds + 1).
    """

    value: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    score: Callable[..., float],
    truth: Numbers,
    first: Numbers,
    second: Numbers,
    groups: Numbers | None = None,
    *,
    seed: int = 0,
    rounds: int | None = None,
) -> Difference:
    """`score(truth, first) - score(truth, second)`, by drawing rows, or whole `groups` (Int64 places from 0).

    `rounds`: 1,000 unless given; of more than 20,000 rows fewer, 100 at least.

    >>> hits = lambda y, p: float((y == p).mean())
    >>> truth = np.arange(40) % 2
    >>> found = paired_bootstrap(hits, truth, truth, np.zeros(40))
    >>> found.value, 0.3 < found.low < 0.5 < found.high < 0.7, found.p < 0.01
    (0.5, True, True)
    """
    random = np.random.Generator(np.random.PCG64(seed))
    rounds = rounds or max(_FEWEST, min(_ROUNDS, _CELLS // max(1, len(truth))))
    unit = np.arange(len(truth)) if groups is None else groups
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(int(unit.max()) + 2))
    found = np.empty(rounds)
    for at in range(rounds):
        drawn = random.integers(0, len(starts) - 1, len(starts) - 1)
        rows = drawn if groups is None else _rows_of(drawn, starts, order)
        found[at] = score(truth[rows], first[rows]) - score(truth[rows], second[rows])
    value = score(truth, first) - score(truth, second)
    low, high = np.quantile(found, [0.025, 0.975]).tolist()
    beyond = min(int((found <= 0).sum()), int((found >= 0).sum()))
    return Difference(value, low, high, min(1.0, 2 * (beyond + 1) / (rounds + 1)))


def compared(
    metric: str, truth: pl.Series, first: pl.Series, second: pl.Series, groups: pl.Series | None = None, seed: int = 0
) -> dict[str, Any]:
    """Two predictions of the same rows by one of METRICS: both scores, `difference`, `interval`, `p`, `test`.

    By one of SPAN_METRICS, the columns are of spans (`measure.spans.span_counts`).

    `accuracy` of rows on their own has McNemar's exact test; all else the paired bootstrap, over `groups` if given.

    >>> y = pl.Series(["a", "b"] * 10)
    >>> found = compared("accuracy", y, y, pl.Series(["a"] * 20))
    >>> found["first"], found["second"], found["difference"], found["test"], round(found["p"], 4)
    (1.0, 0.5, 0.5, 'McNemar, exact', 0.002)
    """
    score = _SCORES[metric]
    if metric in SPAN_METRICS:
        a, b = span_counts(truth, first), span_counts(truth, second)
        y = np.zeros(len(truth))
    elif metric in ("accuracy", "macro_f1"):
        named = pl.concat([s.rename("v").to_frame() for s in (truth, first, second)])["v"]
        y, a, b = np.split(named.rank("dense").to_numpy().astype(np.int64) - 1, 3)
    else:
        y, a, b = (s.cast(pl.Float64).to_numpy() for s in (truth, first, second))
    places = None if groups is None else groups.rank("dense").to_numpy().astype(np.int64) - 1
    drawn = paired_bootstrap(score, y, a, b, places, seed=seed)
    exact = metric == "accuracy" and groups is None
    return {
        "metric": metric,
        "first": score(y, a),
        "second": score(y, b),
        "difference": drawn.value,
        "interval": [drawn.low, drawn.high],
        "p": mcnemar(a == y, b == y).p if exact else drawn.p,
        "test": "McNemar, exact" if exact else f"paired bootstrap over {'rows' if groups is None else 'groups'}",
    }


def _macro_f1(y: Numbers, p: Numbers) -> float:
    size = int(max(y.max(), p.max())) + 1
    return mean_f1(
        np.bincount(y[y == p], minlength=size), np.bincount(y, minlength=size), np.bincount(p, minlength=size)
    )


def _r2(y: Numbers, p: Numbers) -> float:
    total = float(((y - y.mean()) ** 2).sum())
    lost = float(((y - p) ** 2).sum())
    return 1 - lost / total if total > 0 else float(lost == 0)


def _of_counts(metric: Callable[[Numbers], float], _: Numbers, p: Numbers) -> float:
    """A metric of spans, whose truth is in the counts."""
    return metric(p)


_SCORES: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": lambda y, p: float((y == p).mean()),
    "macro_f1": _macro_f1,
    "r2": _r2,
    "mae": lambda y, p: float(np.abs(y - p).mean()),
    "rmse": lambda y, p: math.sqrt(float(((y - p) ** 2).mean())),
    **{name: partial(_of_counts, metric) for name, metric in SPAN_METRICS.items()},
}


def _rows_of(drawn: Numbers, starts: Numbers, order: Numbers) -> Numbers:
    """The rows of the groups drawn, end on end."""
    sizes = starts[drawn + 1] - starts[drawn]
    ends = np.cumsum(sizes)
    return np.asarray(order[np.arange(int(ends[-1])) + np.repeat(starts[drawn] - (ends - sizes), sizes)])


def greater_mean(inside: Numbers, value: Numbers, groups: Numbers | None = None) -> float:
    """How likely the mean of `value` inside is so much greater than outside by chance: one-sided p, 0 to 1.

    Welch's t test; values of 0 and 1 alone are counted exactly (Fisher); with `groups` (Int64 places from 0) the
    standard error is that of clusters, with as many degrees of freedom as there are groups but one. 1 where nothing
    can be said: fewer than two rows on a side, or values that are all alike.

    >>> inside = np.repeat([True, False], [4, 8])
    >>> round(greater_mean(inside, np.array([1, 1, 1, 0] + [0] * 7 + [1])), 4)
    0.0667
    """
    from scipy import stats

    n, rest = int(inside.sum()), int((~inside).sum())
    if min(n, rest) < 2 or value.min() == value.max():
        return 1.0
    if groups is not None:
        return _greater_by_groups(inside, value, groups)
    if np.isin(value, (0, 1)).all():
        wrong = int(value.sum())
        return float(stats.hypergeom.sf(int(value[inside].sum()) - 1, len(value), wrong, n))
    return float(stats.ttest_ind(value[inside], value[~inside], equal_var=False, alternative="greater").pvalue)


def _greater_by_groups(inside: Numbers, value: Numbers, groups: Numbers) -> float:
    """The t test of the coefficient of `inside` in a least squares line, its variance by clusters (CR1)."""
    from scipy import stats

    count = int(groups.max()) + 1
    if count < 3:
        return 1.0
    inner, outer = float(value[inside].mean()), float(value[~inside].mean())
    residual = value - np.where(inside, inner, outer)
    weight = np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())  # the difference of means, as a sum over rows
    by_group = np.bincount(groups, weight * residual, count)
    rows = len(value)
    variance = float((by_group**2).sum()) * count / (count - 1) * (rows - 1) / (rows - 2)
    if variance <= 0:
        return 1.0
    return float(stats.t.sf((inner - outer) / math.sqrt(variance), count - 1))


def holm(p: Sequence[float]) -> list[float]:
    """The p of each of many tests, raised so that at 0.05 the chance of any false alarm among them is 0.05.

    >>> [round(v, 3) for v in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    raised, least = [1.0] * len(p), 0.0
    for place, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - place) * p[at]))
        raised[at] = least
    return raised
