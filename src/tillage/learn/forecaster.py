"""Forecasts of a number over time: boosted trees on lags, means and the calendar, with intervals that held before.

A row is predicted from what was known `horizon` steps before it and from columns known beforehand, nothing later. How
many trees are worth having, and how wide an interval has to be, follow from backtests: models of the past alone, each
judged on the stretch of time after it. The naive forecast beside it is the value of one season ago, such as the same
hour of last week. 48,000 hours cost about 20 CPU seconds; the model keeps the history, 16 bytes a value.
Sources: Hyndman and Athanasopoulos, Forecasting: principles and practice, 2021, sections 5.2, 5.10 (naive, rolling
origin); Vovk, Conditional validity of inductive conformal predictors, 2012 (intervals by category).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from tillage.core.errors import BadData
from tillage.core.rows import column
from tillage.core.step import Fitted, Whole
from tillage.learn.boosting import MOST, Boosting, boosted_scores
from tillage.learn.columns import describe_columns, measured
from tillage.learn.examples import Examples
from tillage.learn.history import NOWHEN, History, Looks, calendar, looks_of, seasons_of, step_of, ticks_of
from tillage.learn.learner import PREDICTION, Learner, Numbers, as_text
from tillage.learn.linear import scale_of
from tillage.learn.tree_columns import TreeColumns, for_trees
from tillage.learn.trees import Trees

LOW, HIGH = "prediction_low", "prediction_high"
_FEWEST = 40
"""Rows below which there are no backtests."""
_ROUNDS = 100
_ENOUGH = 40
"""Errors of backtests that an interval of its own needs."""


class Forecaster(Learner, Whole):
    """Predict a number `horizon` steps ahead, from its own past, the calendar, and columns that are known beforehand.

    The step of time, the seasons (day, week, year) and the lags follow from the data unless they are given. Rows of one
    time and series count as their mean. State: the trees, the history, the errors of the backtests, and what they were.

    >>> rows = pl.DataFrame({"_id": range(200), "hour": range(200), "y": [float(n % 10) for n in range(200)]})
    >>> model = Forecaster(time="hour", target="y", horizon=2, lags=(10, 20)).compute({"rows": rows})
    >>> abs(model.apply(pl.DataFrame({"hour": [201]}))["prediction"][0] - 1.0) < 0.1
    True
    """

    task: ClassVar[Literal["classification", "regression"]] = "regression"

    time: str = Field(min_length=1, description="column of dates, times, ISO 8601 texts or whole numbers")
    series: str | None = Field(None, min_length=1, description="column whose values tell several series apart")
    horizon: int = Field(1, ge=1, le=100_000, description="how far ahead is predicted, in steps of time")
    known: tuple[str, ...] = Field((), description="columns that are known beforehand, such as holidays")
    lags: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="steps before a row that it looks at, each at least the horizon; by the calendar",
    )
    interval: float = Field(0.9, gt=0, lt=1, description="share of values that an interval is to hold, 0 to 1")
    backtests: int = Field(3, ge=1, le=20, description="stretches of time on which models of the past are judged")
    trees: int | None = Field(None, ge=1, le=10_000, description="rounds of boosting; by the backtests unless given")
    learning_rate: float = Field(0.05, gt=0, le=1, description="how much of each tree is added")
    leaves: int = Field(31, ge=2, le=4096, description="most leaves of a tree")
    seed: int = Field(0, ge=0, lt=2**31, description="of whatever the trees draw")

    @model_validator(mode="after")
    def _target_is_not_known(self) -> Self:
        if self.target in (self.time, self.series, *self.known):
            where = "time" if self.target == self.time else "series" if self.target == self.series else "known"
            raise ValueError(
                f"'{where}' names '{self.target}', the target: it is not known beforehand, and its past is looked at "
                "without being named"
            )
        return self

    def needs(self) -> tuple[str, ...]:
        own = (self.series,) if self.series else ()
        return tuple(dict.fromkeys((self.time, *own, *self.known, self.target)))

    @property
    def input(self) -> tuple[str, ...]:
        """The columns that it learns from, all of them named."""
        return tuple(name for name in self.needs() if name != self.target)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> ForecasterModel:
        """The model; raises BadData when rows with a time and a target are fewer than two, or a lag is too near."""
        rows, numbers = measured(inputs["rows"], self.target)
        rows = rows.with_columns(numbers.alias("_label"))
        ticks, dated = ticks_of(column(rows, self.time))
        rows, ticks = rows.filter(pl.Series(ticks != NOWHEN)), ticks[ticks != NOWHEN]
        if rows.height < 2:
            raise BadData(
                f"{rows.height} rows have both a time in '{self.time}' and a number in the target column "
                f"'{self.target}': two are the least.",
                fix="Look at the filters before the model, and at the columns' names and types.",
            )
        self._require_far_enough()
        names = _texts(rows, self.series).unique().sort().to_list() if self.series else [""]
        known = describe_columns(rows, self.known)
        places = _places(rows, self.series, names)
        step = step_of(places, ticks)
        origin = int(ticks.min())
        seasons = seasons_of(step, int((ticks.max() - origin) // step) + 1, dated)
        looks = looks_of(self.horizon, seasons, self.lags)
        state: dict[str, Any] = {
            "model": "boosted_trees",
            "time": self.time,
            "series": self.series,
            "names": names,
            "known": for_trees(known),
            "target": self.target,
            "input": list(self.input),
            "dated": dated,
            "step": step,
            "origin": origin,
            "lags": looks.lags,
            "windows": looks.windows,
            "season": looks.season,
            "horizon": looks.horizon,
            "share": self.interval,
            "times": ticks,
            "places": places,
            "values": rows["_label"].to_numpy(),
        }
        state["middle"], state["scale"] = scale_of(state["values"])
        table = _Table(state, rows, state["values"])
        return ForecasterModel(state={**state, **self._learnt(table)})

    def _require_far_enough(self) -> None:
        near = [lag for lag in self.lags or () if lag < self.horizon]
        if near:
            raise BadData(
                f"A lag of {near[0]} looks at what is not known {self.horizon} steps ahead.",
                fix=f"Give lags of at least {self.horizon}, or a nearer 'horizon'.",
            )

    def _learnt(self, table: _Table) -> dict[str, Any]:
        """Trees, the errors of backtests, and what the backtests were."""
        boosting = Boosting(self.learning_rate, self.leaves, self.seed, table.kinds, {}, objective="regression_l1")
        every = np.arange(len(table.target))
        tests = _stretches(table.ticks, self.backtests) if len(every) >= _FEWEST else []
        scales = [scale_of(table.target[seen]) for seen, _ in tests]  # of the past alone
        pairs = [(table.part(s, by), table.part(h, by)) for (s, h), by in zip(tests, scales, strict=True)]
        rounds = self.trees
        if rounds is None:
            grown = [boosting.rounds(seen, held) for seen, held in pairs]
            rounds = max(1, round(sum(best for best, _ in grown) / len(grown))) if grown else _ROUNDS
            said = [ask(min(rounds, MOST)) for _, ask in grown]
        else:
            of_past = [Trees(boosting.grow(seen, rounds)) for seen, _ in pairs]
            said = [boosted_scores(t, held.matrix, 0) for t, (_, held) in zip(of_past, pairs, strict=True)]
        said = [guess * spread + middle for guess, (middle, spread) in zip(said, scales, strict=True)]
        off = [table.target[held] - guess for (_, held), guess in zip(tests, said, strict=True)]
        told = [
            {
                "from": int(table.ticks[held].min()),
                "rows": len(held),
                "mae": float(np.abs(missed).mean()),
                "baseline": float(np.abs(table.target[held] - table.naive(middle)[held]).mean()),
            }
            for (_, held), missed, (middle, _) in zip(tests, off, scales, strict=True)
        ]
        of = np.concatenate([table.slot[held] for _, held in tests]) if tests else np.zeros(0, np.int64)
        errors = np.concatenate(off) if off else np.zeros(0)
        return {
            **boosting.grow(table.part(every, (table.state["middle"], table.state["scale"])), rounds),
            "rounds": rounds,
            "backtests": told,
            "widths": _widths(errors, of, self.interval, table.slots),
        }


@dataclass(frozen=True)
class _Table:
    """Rows as features, by a state that knows the history, and their targets."""

    state: Mapping[str, Any]
    rows: pl.DataFrame
    target: Numbers

    @cached_property
    def ticks(self) -> Numbers:
        return ticks_of(column(self.rows, self.state["time"]))[0]

    @cached_property
    def _places(self) -> Numbers:
        return _places(self.rows, self.state["series"], self.state["names"])

    @cached_property
    def history(self) -> History:
        state = self.state
        return History(state["places"], state["times"], state["values"], state["origin"], state["step"])

    @property
    def _looks(self) -> Looks:
        state = self.state
        return Looks(state["lags"], state["windows"], state["season"], state["horizon"])

    @cached_property
    def matrix(self) -> Numbers:
        """(rows, features)."""
        state = self.state
        blocks = [self.history.features(self._places, self.ticks, self._looks)]
        if state["dated"]:
            blocks.append(calendar(self.ticks))
        if state["series"]:
            blocks.append(self._places[:, None].astype(np.float64))
        blocks.append(TreeColumns(state["known"]).matrix(self.rows))
        return np.ascontiguousarray(np.hstack(blocks))

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Column and kind of each feature, of `TreeColumns.names`."""
        state = self.state
        series = [(state["series"], "category")] if state["series"] else []
        known = TreeColumns(state["known"]).names()
        own = self.matrix.shape[1] - len(series) - len(known)
        return [(state["time"], "number")] * own + series + known

    def naive(self, otherwise: float) -> Numbers:
        """The value of one season ago, or what else stands in."""
        found = self.history.naive(self._places, self.ticks, self._looks)
        return np.where(np.isnan(found), otherwise, found)

    @property
    def slots(self) -> int:
        """Places in a day that have errors of their own; 1 where a day has no hours."""
        return 24 if self.state["dated"] and self.state["step"] < 86_400_000_000 else 1

    @cached_property
    def slot(self) -> Numbers:
        """(rows,): the hour, of the day."""
        if self.slots == 1:
            return np.zeros(len(self.ticks), np.int64)
        return np.asarray(np.where(self.ticks == NOWHEN, 0, self.ticks) // 3_600_000_000 % 24)

    def part(self, chosen: Numbers, scale: tuple[float, float]) -> Examples:
        """Some of the rows to learn from, on a common scale, since the trees' own targets have few digits."""
        middle, spread = scale
        return Examples(self.matrix[chosen], (self.target[chosen] - middle) / spread, 0)


class ForecasterModel(Fitted):
    """Adds `prediction`, `prediction_low`, `prediction_high` (Float64) by a Forecaster's state.

    What is known of the past is what the model was learnt from: a time far beyond it is predicted by the calendar.

    >>> rows = pl.DataFrame({"_id": range(60), "day": range(60), "y": [float(n % 2) for n in range(60)]})
    >>> Forecaster(time="day", target="y", lags=(2,)).compute({"rows": rows}).apply(rows[:1]).columns[3:]
    ['prediction', 'prediction_low', 'prediction_high']
    """

    adds: ClassVar[tuple[str, ...]] = (LOW, HIGH)
    """Columns of numbers that it adds beside the prediction: the ends of its interval."""

    def needs(self) -> tuple[str, ...]:
        return tuple(self.state["input"])

    @property
    def moment(self) -> tuple[str, ...]:
        """The columns that say of which series, and when, a row is: by them the past is found."""
        return tuple(name for name in (self.state["time"], self.state["series"]) if name)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        table = _Table(self.state, rows, np.zeros(rows.height))
        table.__dict__["history"] = self._history
        return self._predicted(rows, table)

    def examined(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Any]]:
        """The rows with what `apply` adds, as it would have been said in their time, and what there is to report.

        Each row is predicted from what was known `horizon` steps before it, be it of these rows or of those learnt
        from; `baseline` is the value of one season before.
        """
        state = self.state
        ticks, _ = ticks_of(column(rows, state["time"]))
        there = column(rows, state["target"]).cast(pl.Float64)
        seen = (ticks != NOWHEN) & there.is_finite().fill_null(False).to_numpy()
        places = _places(rows, state["series"], state["names"])
        seen &= places >= 0
        wider = {
            **state,
            "times": np.concatenate([state["times"], ticks[seen]]),
            "places": np.concatenate([state["places"], places[seen]]),
            "values": np.concatenate([state["values"], there.to_numpy()[seen]]),
        }
        table = _Table(wider, rows, np.zeros(rows.height))
        found = self._predicted(rows, table).with_columns(
            pl.Series("baseline", table.naive(state["middle"]), dtype=pl.Float64)
        )
        held = found.select(there.alias("there").is_between(found[LOW], found[HIGH]).mean()).item()
        warnings = []
        if seen.any() and ticks[seen].min() <= state["times"].max():
            warnings.append(
                "Rows that test the forecast are no later than those it was learnt from: name a later table as "
                "'test_from', or the score is too good."
            )
        told = {name: state[name] for name in ("step", "season", "lags", "horizon", "rounds", "backtests")}
        report = {**told, "interval": state["share"], "held": held, "baseline": "the value one season before"}
        return found, {"forecast": report, "warnings": warnings}

    def _predicted(self, rows: pl.DataFrame, table: _Table) -> pl.DataFrame:
        state = self.state
        guess = boosted_scores(self._trees, table.matrix, 0) * state["scale"] + state["middle"]
        width = state["widths"][table.slot]
        made = {PREDICTION: guess, LOW: guess + width[:, 0], HIGH: guess + width[:, 1]}
        return rows.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in made.items())

    @cached_property
    def _history(self) -> History:
        return _Table(self.state, pl.DataFrame(), np.zeros(0)).history

    @cached_property
    def _trees(self) -> Trees:
        return Trees(self.state)


def _texts(rows: pl.DataFrame, series: str) -> pl.Series:
    """The series of each row; rows without one are a series of their own, the empty text."""
    return as_text(column(rows, series)).fill_null("")


def _places(rows: pl.DataFrame, series: str | None, names: list[str]) -> Numbers:
    """The place of each row's series among the names; -1 of one never seen."""
    if series is None:
        return np.zeros(rows.height, np.int64)
    at = {name: place for place, name in enumerate(names)}
    return _texts(rows, series).replace_strict(at, default=-1, return_dtype=pl.Int64).to_numpy()


def _stretches(ticks: Numbers, count: int) -> list[tuple[Numbers, Numbers]]:
    """Rows before a point in time, and those of the stretch after it, so many of the last half of the rows."""
    order = np.sort(ticks)
    cuts = [order[len(order) // 2 + len(order) // 2 * n // count] for n in range(count)]
    ends = [*cuts[1:], order[-1] + 1]
    parts = [
        (np.flatnonzero(ticks < cut), np.flatnonzero((ticks >= cut) & (ticks < end)))
        for cut, end in zip(cuts, ends, strict=True)
    ]
    return [(seen, held) for seen, held in parts if len(seen) > 1 and len(held)]


def _widths(errors: Numbers, slot: Numbers, share: float, slots: int) -> Numbers:
    """(slots, 2): what is added to a prediction for the ends of its interval, by the quantiles of backtest errors.

    A slot with few errors takes those of all; without any the interval is unbounded.
    """
    if not len(errors):
        return np.tile([-np.inf, np.inf], (slots, 1))
    found = []
    for n in range(slots):
        own = errors[slot == n]
        own = np.sort(own if len(own) >= _ENOUGH else errors)
        size = len(own)  # of n + 1 places for a new error, so many lie beyond either end
        beyond = int((1 - share) / 2 * (size + 1) + 1e-9)
        found.append([own[beyond - 1] if beyond else -np.inf, own[size - beyond] if beyond else np.inf])
    return np.array(found)
