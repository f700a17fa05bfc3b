"""How far a score may be off: Wilson's interval for a share, the bootstrap for any metric.

The bootstrap draws rows (or whole groups, whose rows are not independent) with replacement. Class metrics need only
the counts of each (true, predicted) pair, so a round draws those and not the rows: 77 classes, 3,080 rows and 1,000
rounds take 0.1 CPU seconds, and a million rows no more.

Sources: Wilson, Probable inference, JASA 22, 1927; Efron and Tibshirani, An introduction to the bootstrap, 1993,
chapter 13 (percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.core.errors import UsageError, unknown_name
from tillage.measure.metrics import METRICS, Column, accuracy, codes, macro_f1, mae, mean_f1, pairs, r2, rmse

Counts: TypeAlias = "npt.NDArray[np.int64]"
Numbers: TypeAlias = "npt.NDArray[np.float64]"
_Metric: TypeAlias = "Callable[[Column, Column], float]"


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval for the share behind `successes` of `n` trials; (0, 1) when there were none.

    >>> [round(v, 4) for v in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} of {n} is not a share.")
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = successes / n, z * z / n
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = (centre - half) / (1 + spread) if successes else 0.0
    return low, (centre + half) / (1 + spread) if successes < n else 1.0


def bootstrap(
    metric: str | Callable[[Column, Column], float],
    y: Column,
    p: Column,
    groups: Column | None = None,
    *,
    seed: int = 0,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The percentile interval of `metric` (one of METRICS, or a function of truth and prediction).

    `groups`: one value a row; rows of one group are drawn together. The same arguments give the same interval.

    >>> low, high = bootstrap("accuracy", [1, 0] * 50, [1] * 100)
    >>> 0.3 < low < 0.5 < high < 0.7
    True
    """
    if isinstance(metric, str) and metric not in METRICS:
        raise UsageError(unknown_name("metric", metric, METRICS))
    if rounds < 1:
        raise UsageError(f"A bootstrap needs at least one round, got {rounds}.")
    function = METRICS[metric] if isinstance(metric, str) else metric
    unit = None if groups is None else _numbered(groups, len(y))
    draws = _Draws(unit, rounds, np.random.Generator(np.random.PCG64(seed)))
    if function is accuracy or function is macro_f1:
        labels, true, predicted = codes(y, p)
        values = _of_classes(function, len(labels), true, predicted, draws)
    elif function in {r2, mae, rmse}:
        values = _of_numbers(function, *pairs(y, p), draws)
    else:
        values = _of_anything(function, y, p, draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.fromiter(values, np.float64, rounds), [tail, 1 - tail]).tolist()
    return low, high


def _numbered(groups: Column, rows: int) -> Counts:
    series = groups.rename("g") if isinstance(groups, pl.Series) else pl.Series("g", groups)
    if len(series) != rows:
        raise UsageError(f"There are {len(series)} groups for {rows} rows.", fix="Give each row its group.")
    labels = series.unique().sort().to_frame().with_row_index("place")
    joined = series.to_frame().join(labels, on="g", how="left", nulls_equal=True, maintain_order="left")
    return joined["place"].cast(pl.Int64).to_numpy()


@dataclass(frozen=True)
class _Draws:
    """What is drawn: rows, or groups where `unit` gives each row's; how often; by which generator."""

    unit: Counts | None
    rounds: int
    random: np.random.Generator

    def times(self, units: int) -> Iterator[Counts]:
        """How often each unit is drawn, round by round."""
        for _ in range(self.rounds):
            yield np.bincount(self.random.integers(0, units, units), minlength=units)

    def of_cells(self, place: Counts, counts: Counts) -> Iterator[Counts]:
        """How many rows of each cell are drawn; `place`: the cell of each row, `counts`: the rows of each cell."""
        if self.unit is None:
            for _ in range(self.rounds):
                yield self.random.multinomial(len(place), counts / len(place))
        else:
            for times in self.times(int(self.unit.max()) + 1):
                yield np.bincount(place, times[self.unit], len(counts))


def _of_classes(function: _Metric, size: int, true: Counts, predicted: Counts, draws: _Draws) -> Iterator[float]:
    cells, place, counts = np.unique(true * size + predicted, return_inverse=True, return_counts=True)
    row, column = cells // size, cells % size
    right = row == column
    for times in draws.of_cells(place, counts):
        if function is accuracy:
            yield float(times[right].sum() / times.sum())
        else:
            hits = np.bincount(row[right], times[right], size)
            yield mean_f1(hits, np.bincount(row, times, size), np.bincount(column, times, size))


def _of_numbers(function: _Metric, true: Numbers, predicted: Numbers, draws: _Draws) -> Iterator[float]:
    centred = true - math.fsum(true) / len(true)  # else the squares of large values would cancel
    parts = [np.ones(len(true)), np.abs(true - predicted), (true - predicted) ** 2, centred, centred**2]
    sums = np.stack(parts if draws.unit is None else [np.bincount(draws.unit, part) for part in parts])
    for times in draws.times(sums.shape[1]):
        n, absolute, squared, first, second = (float((part * times).sum()) for part in sums)
        if function is mae:
            yield absolute / n
        elif function is rmse:
            yield math.sqrt(squared / n)
        else:
            total = second - first * first / n
            yield 1 - squared / total if total > 0 else float(squared == 0)


def _of_anything(function: _Metric, y: Column, p: Column, draws: _Draws) -> Iterator[float]:
    true, predicted = (c if isinstance(c, pl.Series) else pl.Series(c) for c in (y, p))
    if len(true) != len(predicted) or not len(true):
        raise UsageError(f"There are {len(predicted)} predictions for {len(true)} true values.")
    unit = np.arange(len(true)) if draws.unit is None else draws.unit
    for times in draws.times(int(unit.max()) + 1):
        rows = np.repeat(np.arange(len(true)), times[unit])
        yield function(true.gather(rows), predicted.gather(rows))
