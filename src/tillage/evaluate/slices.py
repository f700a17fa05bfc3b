"""How a model fares on parts of its test rows: by value of the columns asked for, and where it is surely worse.

A model that is good on the whole may be poor on the rows of one branch, device or language. Each slice says how many
rows it has and an interval, and what the rest scores. Unasked, the categories that the model sees are looked at; since
some slice of many is always unlucky, only those are named that are worse at 5 % after Holm's correction for all looks,
and by a quarter at least: of many rows the smallest difference is sure.
Source: Chung et al., Slice Finder: automated data slicing for model validation, ICDE 2019. Cost: one pass a column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from tillage.measure.interval import wilson
from tillage.measure.paired import greater_mean, holm

Numbers = np.ndarray[Any, np.dtype[Any]]

FEATURE, SLICE = "feature ", "slice "
"""What stands before the name of a column that a model sees, or that was asked for, among the columns of a report."""
MISSING = "(missing)"
SURE = 0.05
_LEAST_ROWS = 20
"""Test rows of a slice below which none is tested, or named unasked."""
_LEVELS = 10
"""Different numbers up to which a number counts as a category; more are cut at their quartiles where asked for."""
_MUCH = 1.25
"""How many times as large the loss of a slice must be as that of the rest, to be named."""
_SHOWN, _WORST = 50, 5
"""Slices shown of a column that was asked for (those with most rows), and named unasked."""


@dataclass(frozen=True)
class Losses:
    """What each test row cost: 0 or 1 of a class, the absolute error of a number; groups as places from 0."""

    metric: str
    """`accuracy` or `mae`."""
    value: Numbers
    groups: Numbers | None = None

    def score(self, inside: Numbers) -> float:
        """The metric of some rows."""
        mean = float(self.value[inside].mean())
        return 1 - mean if self.metric == "accuracy" else mean

    def much(self, inside: Numbers) -> bool:
        """Whether rows inside cost a quarter more than those outside, or a larger share."""
        return bool(self.value[inside].mean() >= _MUCH * self.value[~inside].mean())

    def interval(self, inside: Numbers) -> list[float]:
        """Of 95 %: Wilson's of a share of rows on their own, else by the t distribution, over groups if there are."""
        from scipy import stats

        value = self.value[inside]
        if self.metric == "accuracy" and self.groups is None:
            return list(wilson(int((value == 0).sum()), len(value)))
        units = np.arange(len(value)) if self.groups is None else np.unique(self.groups[inside], return_inverse=True)[1]
        count = int(units.max()) + 1
        least, most = (0.0, 1.0) if self.metric == "accuracy" else (0.0, math.inf)
        if count < 2:
            return [least, most] if most < math.inf else [self.score(inside)] * 2
        spread = np.bincount(units, value - value.mean(), count)
        error = math.sqrt(float((spread**2).sum()) * count / (count - 1)) / len(value)
        half = float(stats.t.ppf(0.975, count - 1)) * error
        score = self.score(inside)
        return [max(least, score - half), min(most, score + half)]


@dataclass(frozen=True)
class _Slice:
    column: str
    value: str
    inside: Numbers
    asked: bool


def slices_of(
    frame: pl.DataFrame, metric: str, value: Numbers, more: Callable[[Numbers], Mapping[str, float]], *, grouped: bool
) -> dict[str, Any]:
    """The slices of test rows by their columns named `SLICE` and `FEATURE` and a name; `grouped`: by `group` too."""
    groups = frame["group"].rank("dense").to_numpy().astype("int64") - 1 if grouped else None
    asked, seen = (
        [frame[c].rename(c.removeprefix(kind)) for c in frame.columns if c.startswith(kind)]
        for kind in (SLICE, FEATURE)
    )
    return slices(asked, seen, Losses(metric, value, groups), more)


def slices(
    asked: Iterable[pl.Series],
    seen: Iterable[pl.Series],
    losses: Losses,
    more: Callable[[Numbers], Mapping[str, float]],
) -> dict[str, Any]:
    """`asked`: each slice of those columns; `worst`: the first of the `worse` that are surely worse; `looked`: tests.

    `more`: other metrics of some rows, told of the slices that were asked for.

    >>> wrong = np.array([0.0] * 60 + [1.0] * 20)
    >>> town = pl.Series("town", ["Ulm"] * 40 + ["Rome"] * 40)
    >>> found = slices([], [town], Losses("accuracy", wrong), lambda inside: {})
    >>> [(s["column"], s["value"], s["rows"], s["score"], s["rest"]) for s in found["worst"]]
    [('town', 'Rome', 40, 0.5, 1.0)]
    """
    wanted = list(asked)
    names = {column.name for column in wanted}
    found = [s for column in wanted for s in _of_column(column, asked=True)]
    found += [s for column in seen if column.name not in names for s in _of_column(column, asked=False)]
    rows = len(losses.value)
    tested = [s for s in found if _LEAST_ROWS <= int(s.inside.sum()) <= rows - 2]
    chances = holm([greater_mean(s.inside, losses.value, losses.groups) for s in tested])
    by_slice = {id(s): p for s, p in zip(tested, chances, strict=True)}
    told = [(s, by_slice.get(id(s))) for s in found]
    sure = [(p, s) for s, p in told if p is not None and p < SURE and losses.much(s.inside)]
    worst = sorted(sure, key=lambda one: one[0])
    return {
        "metric": losses.metric,
        "looked": len(tested),
        "asked": [{**_told(s, losses, p), **more(s.inside)} for s, p in told if s.asked],
        "worse": len(worst),
        "worst": [_told(s, losses, p) for p, s in worst[:_WORST]],
    }


def _told(one: _Slice, losses: Losses, p: float | None) -> dict[str, Any]:
    rest = ~one.inside
    return {
        "column": one.column,
        "value": one.value,
        "rows": int(one.inside.sum()),
        "score": losses.score(one.inside),
        "interval": losses.interval(one.inside),
        "rest": losses.score(rest) if rest.any() else None,
        "p": p,
    }


def _of_column(values: pl.Series, *, asked: bool) -> Iterator[_Slice]:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        return
    if values.dtype.is_float():
        values = values.fill_nan(None)
    numeric = values.dtype.is_numeric() or values.dtype.is_temporal()
    if numeric and values.n_unique() > _LEVELS + 1:
        if not asked:
            return
        labels = _quartiles(values)
    else:
        labels = values.cast(pl.String)
    labels = labels.fill_null(MISSING)
    counts = labels.rename("value").value_counts(name="rows").sort(["rows", "value"], descending=[True, False])
    if not asked:
        counts = counts.filter(pl.col("rows") >= _LEAST_ROWS)
    for value in counts["value"].head(_SHOWN):
        yield _Slice(values.name, value, (labels == value).to_numpy(), asked)


def _quartiles(values: pl.Series) -> pl.Series:
    """Numbers or times as the quarter that they are in, by its ends."""
    ends = [values.quantile(q, "nearest") for q in (0.25, 0.5, 0.75)] if values.dtype.is_numeric() else _times(values)
    cuts = sorted({end for end in ends if end is not None})
    names = [f"up to {_end(cuts[0])}"]
    names += [f"above {_end(a)}, up to {_end(b)}" for a, b in pairwise(cuts)]
    names.append(f"above {_end(cuts[-1])}")
    place = sum(((values > cut).cast(pl.Int64) for cut in cuts[1:]), (values > cuts[0]).cast(pl.Int64))
    return place.replace_strict(list(range(len(names))), names, default=None, return_dtype=pl.String).rename(
        values.name
    )


def _times(values: pl.Series) -> list[Any]:
    known = values.drop_nulls().sort()
    return [known[len(known) * quarter // 4] for quarter in (1, 2, 3)] if len(known) else []


def _end(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def warnings_of(found: Mapping[str, Any]) -> list[str]:
    """One sentence, on the slice that is most surely worse; the others are counted.

    >>> warnings_of({"metric": "mae", "looked": 3, "worse": 2, "worst": [{"column": "t", "value": "x", "rows": 40,
    ...     "score": 2.0, "interval": [1.5, 2.5], "rest": 1.0, "p": 1e-9}]})[0]
    "Worse where 't' is 'x' (40 test rows): mae 2 (1.5 to 2.5), of the rest 1; p < 0.001 after 3 looks; so is 1 more."
    """
    more = found["worse"] - 1
    also = f"; so {'is' if more == 1 else 'are'} {more} more" if more > 0 else ""
    return [
        f"Worse where '{s['column']}' is '{s['value'][:40]}' ({s['rows']:,} test rows): {found['metric']} "
        f"{s['score']:.4g} ({s['interval'][0]:.4g} to {s['interval'][1]:.4g}), of the rest {s['rest']:.4g}; "
        f"{chance(s['p'])} after {found['looked']} looks{also}."
        for s in found["worst"][:1]
    ]


def chance(p: float) -> str:
    """A p as people read it.

    >>> chance(0.04), chance(1e-9)
    ('p = 0.04', 'p < 0.001')
    """
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
