"""The past of one or more series on a regular grid of time, and what a row may know of it: lags, means, the season.

A cell of the grid holds the mean of the values after the cell before it and up to its own time, so that a row which
looks `horizon` steps back finds nothing that happened later than that (law 10), wherever between two cells it stands.
Cost: a float64 a cell; a look-up of a lag is an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import BadData
from tillage.learn.columns import iso_moments
from tillage.learn.learner import Numbers

_LARGEST = 20
"""Cells for each value above which times are too irregular for a grid."""
_SECOND = 1_000_000
_DAY, _WEEK = 86_400 * _SECOND, 7 * 86_400 * _SECOND
NOWHEN = np.iinfo(np.int64).min
"""The tick of a row without a time."""


def ticks_of(values: pl.Series) -> tuple[Numbers, bool]:
    """Times as Int64 (NOWHEN where there is none), and whether they have a calendar: microseconds since 1970, of UTC.

    Dates, times, ISO 8601 texts; or integers, which count whatever they count. Raises BadData for anything else.

    >>> ticks_of(pl.Series(["1970-01-01T00:00:01"]))[0].tolist()
    [1000000]
    """
    if values.dtype == pl.String:
        moments = iso_moments(values)
        unread = moments.null_count() - values.null_count()
        if unread:
            raise BadData(
                f"{unread} values of the time column '{values.name}' are no dates in the form of ISO 8601.",
                fix="Put `parse_dates` before the model, or name the column of times.",
            )
        values = moments
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).to_physical().cast(pl.Int64).fill_null(NOWHEN).to_numpy(), True
    if values.dtype.is_integer() or values.dtype == pl.Null:
        return values.cast(pl.Int64).fill_null(NOWHEN).to_numpy(), False
    raise BadData(
        f"The time column '{values.name}' holds {values.dtype}, which is no time.",
        fix="Name a column of dates, times or whole numbers, or put `parse_dates` before the model.",
    )


def step_of(series: Numbers, ticks: Numbers) -> int:
    """The commonest distance between neighbouring times of a series (of equals, the shortest), in ticks; 1 of one time.

    >>> step_of(np.array([0, 0, 0, 0]), np.array([0, 10, 20, 40]))
    10
    """
    order = np.lexsort((ticks, series))
    apart = np.diff(ticks[order])[np.diff(series[order]) == 0]
    lengths, counts = np.unique(apart[apart > 0], return_counts=True)
    return int(lengths[counts.argmax()]) if len(lengths) else 1


def seasons_of(step: int, cells: int, calendar: bool) -> list[int]:
    """Steps after which a series is like itself: a day and a week where the calendar has them, twice within the past.

    Of steps of a day or less a week, of fewer than a day also a day, of months (28 to 31 days) a year; else none.

    >>> seasons_of(3600 * 10**6, 10_000, True)
    [24, 168]
    """
    if not calendar:
        return []
    found = [length // step for length in (_DAY, _WEEK) if step < length and length % step == 0]
    if 28 * _DAY <= step <= 31 * _DAY:
        found.append(12)
    return [season for season in found if 2 * season <= cells]


@dataclass(frozen=True)
class Looks:
    """What a row looks at, in steps before its own time: single values, and means over stretches that end there."""

    lags: list[int]
    windows: list[int]
    """Lengths of the stretches before `horizon`, of which the mean and the standard deviation are taken."""
    season: int
    """Of the naive forecast: the least multiple of the longest season that is at least the horizon."""
    horizon: int


def looks_of(horizon: int, seasons: Sequence[int], lags: Sequence[int] | None = None) -> Looks:
    """Sensible looks: the last values known, the same time in the last days and weeks, its neighbours, and means.

    >>> looks_of(24, [24, 168]).season, looks_of(200, [24, 168]).season, looks_of(3, []).season
    (168, 336, 3)
    """
    found = {horizon + n for n in (0, 1, 2, 3, 5, 7, 11)}
    windows = [3, 6, 12]
    whole = [season * -(-horizon // season) for season in seasons]
    for season, first in zip(seasons, whole, strict=True):
        found |= {first + season * n for n in range(4 if season != 24 else 7)}
        found |= {first + off for off in (-2, -1, 1, 2) if first + off >= horizon}
        windows += [season, 4 * season]
    chosen = sorted(found if lags is None else {lag for lag in lags if lag >= horizon})
    return Looks(chosen, sorted(set(windows)), whole[-1] if whole else horizon, horizon)


class History:
    """Values of each series by cell of the grid."""

    def __init__(self, series: Numbers, ticks: Numbers, values: Numbers, origin: int, step: int) -> None:
        """`series`: places from 0; `ticks`: none NOWHEN; `origin`: the tick of cell 0. BadData where too sparse."""
        self.origin, self.step = origin, step
        cell = -((origin - ticks) // step)  # rounded up
        self.first = int(cell.min(initial=0))
        width = int(cell.max(initial=0)) - self.first + 1
        self.count = int(series.max(initial=-1)) + 1
        if width * max(self.count, 1) > _LARGEST * len(ticks) + 100_000:
            raise BadData(
                f"The times are too irregular: steps of {step} ticks, {width} of them, and {len(ticks)} values.",
                fix="Bring the rows to a regular step first, such as one an hour (`aggregate` by the hour).",
            )
        at = series * width + (cell - self.first)
        order = np.lexsort((values, at))  # equal whatever the order of rows
        number = np.bincount(at, minlength=self.count * width)
        total = np.bincount(at[order], values[order], minlength=self.count * width)
        with np.errstate(invalid="ignore"):
            self.grid = (total / number).reshape(self.count, width)

    def cells(self, ticks: Numbers) -> Numbers:
        """The last cell that holds nothing later than each tick."""
        return np.asarray((ticks - self.origin) // self.step - self.first)

    def at(self, series: Numbers, cell: Numbers) -> Numbers:
        """The values there; NaN where there is none. `series` may be -1: one never seen."""
        inside = (cell >= 0) & (cell < self.grid.shape[1]) & (series >= 0)
        found = np.full(len(cell), np.nan)
        found[inside] = self.grid[series[inside], cell[inside]]
        return found

    def features(self, series: Numbers, ticks: Numbers, looks: Looks) -> Numbers:
        """(rows, features) of float64, NaN for what is not known: lags, means and deviations, mean of seasons."""
        cell = np.where(ticks == NOWHEN, np.iinfo(np.int32).min, self.cells(np.where(ticks == NOWHEN, 0, ticks)))
        lags = [self.at(series, cell - lag) for lag in looks.lags]
        found = [*lags]
        end = cell - looks.horizon
        for length in looks.windows:
            found += self._stretch(series, end, length)
        weeks = np.column_stack([self.at(series, cell - looks.season * n) for n in range(1, 5)])
        found += list(_mean_and_deviation(weeks))
        return np.column_stack(found)

    def naive(self, series: Numbers, ticks: Numbers, looks: Looks) -> Numbers:
        """The value one season ago, or the last season before that has one, of eight; NaN where none has."""
        cell = np.where(ticks == NOWHEN, np.iinfo(np.int32).min, self.cells(np.where(ticks == NOWHEN, 0, ticks)))
        found = np.full(len(cell), np.nan)
        for n in range(1, 9):
            gone = np.isnan(found)
            found[gone] = self.at(series[gone], cell[gone] - looks.season * n)
        return found

    def _stretch(self, series: Numbers, end: Numbers, length: int) -> list[Numbers]:
        """Mean and standard deviation of the `length` cells up to and with `end`."""
        mean, deviation = self._rolling(length)
        inside = (end >= 0) & (end < mean.shape[1]) & (series >= 0)
        found = []
        for table in (mean, deviation):
            column = np.full(len(end), np.nan)
            column[inside] = table[series[inside], end[inside]]
            found.append(column)
        return found

    def _rolling(self, length: int) -> tuple[Numbers, Numbers]:
        known = ~np.isnan(self.grid)
        filled = np.where(known, self.grid, 0.0)

        def total(values: Numbers) -> Numbers:
            sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
            begin = np.maximum(np.arange(1, sums.shape[1]) - length, 0)
            return np.asarray(sums[:, 1:] - sums[:, begin])

        count = total(known.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count > 0, total(filled) / count, np.nan)
            variance = total(filled * filled) / count - mean * mean
            return mean, np.where(count > 0, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def _mean_and_deviation(table: Numbers) -> tuple[Numbers, Numbers]:
    known = ~np.isnan(table)
    count = known.sum(axis=1)
    filled = np.where(known, table, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / count
        apart = np.where(known, table - mean[:, None], 0.0)
        return mean, np.sqrt((apart * apart).sum(axis=1) / count)


def calendar(ticks: Numbers) -> Numbers:
    """(rows, 6): hour with its fraction, weekday from 0 (Monday), hour of the week, month, day of the month and year.

    NaN where there is no time.

    >>> calendar(np.array([0])).tolist()
    [[0.0, 3.0, 72.0, 1.0, 1.0, 1.0]]
    """
    gone = ticks == NOWHEN
    moments = pl.Series(np.where(gone, 0, ticks)).cast(pl.Datetime("us")).dt
    hour = moments.hour().to_numpy() + moments.minute().to_numpy() / 60
    weekday = moments.weekday().to_numpy() - 1
    parts: list[Any] = [hour, weekday, weekday * 24 + hour, moments.month(), moments.day(), moments.ordinal_day()]
    table = np.column_stack([np.asarray(part, dtype=np.float64) for part in parts])
    table[gone] = np.nan
    return np.asarray(table)
