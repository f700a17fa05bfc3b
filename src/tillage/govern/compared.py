"""Expectations that compare: how fresh the newest value is, whether values drifted, whether the last batch is unusual.

Drift is measured against rows that a condition picks, or against an earlier version of the table, which is pinned.

No clock is read, so a verdict is the same whenever it is made: what is new is measured against a moment that the plan
names, or against another column. States are exact and merge in any order; `drift` holds the different values (65,536
numbers at most, see `measure.Ranks`), `batch` one sum for each batch.
Sources: Siddiqi, Credit Risk Scorecards, 2006 (PSI, and 0.1 and 0.25 as its usual limits); Smirnov (1948) for the
distance of two distributions; Leys et al., Detecting outliers, J. of Experimental Social Psychology 49, 2013 (MAD).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tillage.core.columns import require_written, written
from tillage.core.errors import ConfigurationError, unknown_name
from tillage.core.expression import ConditionText, parse
from tillage.core.rows import user_columns
from tillage.core.state import State
from tillage.core.step import Beside, Fold, Verdict
from tillage.measure import Ranks, Sum, ValueCounts
from tillage.measure.ranks import distribution, quantile

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]{1,9})([smhdw])")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")

BINS = 10
"""Bins of a column of numbers, between the tenths of the reference."""

LEAST = 1e-4
"""A share of nothing counts as this much, since the PSI takes a logarithm of it."""

MAD = 1.4826
"""The median deviation of a normal distribution is its standard deviation over this."""

STEADY = 0.01
"""A batch may differ from the median by this share of it for each deviation, however alike the others were."""

Floats = npt.NDArray[np.float64]


def _length(text: str) -> str:
    if _LENGTH.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a length of time such as 90s, 30m, 36h, 2d or 1w")
    return text


class Fresh(BaseModel):
    """The newest value lies at most `within` before `as_of`, or before the newest value of the column `of`.

    >>> Fresh(within="2d", as_of="2024-01-05").within
    '2d'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    within: Annotated[str, AfterValidator(_length)] = Field(description="length of time, such as 36h or 2d")
    as_of: dt.datetime | dt.date | None = Field(None, description="moment, or day (its beginning), in UTC")
    of: str | None = Field(None, description="column of times whose newest value stands for the moment")

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if (self.as_of is None) == (self.of is None):
            raise ValueError("'fresh' needs 'as_of' (a moment) or 'of' (a column), and not both")
        return self

    def reads(self) -> tuple[str, ...]:
        """What it reads besides the column of the check."""
        return (self.of,) if self.of is not None else ()

    def start(self) -> State:
        """Nothing seen."""
        return {"newest": None, "moment": None, "unread": 0}

    def update(self, state: State, rows: pl.DataFrame, column: str | None) -> State:
        """The state with these rows."""
        times = moments(rows[str(column)])
        new = {"newest": times.max(), "unread": times.null_count() - rows[str(column)].null_count(), "moment": None}
        if self.of is not None:
            new["moment"] = moments(rows[self.of]).max()
        return self.merge(state, new)

    def merge(self, a: State, b: State) -> State:
        """The newest of both."""
        newest = {
            name: max((s[name] for s in (a, b) if s[name] is not None), default=None) for name in ("newest", "moment")
        }
        return {**newest, "unread": a["unread"] + b["unread"]}

    def verdict(self, state: State, column: str | None) -> Verdict:
        """How old the newest value is, in seconds."""
        length = _LENGTH.fullmatch(self.within)
        assert length is not None
        limit = int(length[1]) * _SECONDS[length[2]]
        moment = state["moment"] if self.of is not None else _microseconds(self.as_of)
        name = f"{column} fresh"
        if state["unread"]:
            why = f"{state['unread']:,} values of '{column}' are no times; `parse_dates` reads other forms."
            return Verdict(name=name, passed=False, measured=None, limit=limit, why=why)
        if state["newest"] is None or moment is None:
            missing = column if state["newest"] is None else self.of
            return Verdict(name=name, passed=False, measured=None, limit=limit, why=f"'{missing}' has no time at all.")
        age = (moment - state["newest"]) / 1_000_000
        why = f"The newest of '{column}' is {_written(state['newest'])}, {_lasting(age)} before {_written(moment)}."
        return Verdict(name=name, passed=age <= limit, measured=age, limit=limit, why=why)


class Drift(BaseModel):
    """The values are distributed like those of a reference.

    That is of the rows for which a condition holds, which the others are compared with, or of an earlier version of
    the table, which the whole table is compared with.

    >>> Drift(reference="day < '2024-01-01'").limit
    0.25
    >>> Drift(from_version=3).reads()
    ()
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: ConditionText | None = Field(None, description="condition of the rows that the others are compared with")
    from_version: int | None = Field(
        None, ge=1, description="version of this table, as `tillage show` prints it, that it is compared with"
    )
    by: Literal["psi", "ks"] = Field(
        "psi",
        description="population stability index, or for numbers the greatest distance of the shares below a value",
    )
    limit: float = Field(0.25, gt=0, description="most that is measured: PSI (0.1 is little, 0.25 much), or 0 to 1")

    def reads(self) -> tuple[str, ...]:
        """What it reads besides the column of the check."""
        return parse(self.reference).columns if self.reference is not None else ()

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if (self.reference is None) == (self.from_version is None):
            raise ValueError("'drift' needs 'reference' (a condition) or 'from_version' (a number), and not both")
        return self

    def beside(self, column: str | None) -> Beside | None:
        """What the verdict is judged by: the values of the earlier version."""
        if self.from_version is None:
            return None
        return Beside(Distribution(column=str(column)), version=self.from_version)

    def start(self) -> State:
        """Nothing seen on either side."""
        sides = ("others",) if self.from_version is not None else ("reference", "others")
        return {side: {"kind": None, "rows": 0, "nulls": 0, "values": {}} for side in sides}

    def update(self, state: State, rows: pl.DataFrame, column: str | None) -> State:
        """The state with these rows; raises ConfigurationError for a condition that does not suit them."""
        if self.reference is None:
            return self.merge(state, {"others": counted(rows[str(column)])})
        read, known = parse(self.reference), user_columns(rows)
        problems = read.check(known) + read.check_types({c: rows.schema[c] for c in known}, condition=True)
        if problems:
            raise ConfigurationError("; ".join(map(str, problems)))
        told = rows.select(
            pl.col(str(column)).alias("value"),
            (pl.when(read.polars()).then(1).otherwise(0) + pl.int_range(pl.len()) * 0).alias("side"),
        )
        sides = {"reference": told.filter(pl.col("side") == 1), "others": told.filter(pl.col("side") == 0)}
        return self.merge(state, {side: counted(part["value"].rename(str(column))) for side, part in sides.items()})

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        return {side: both(a[side], b[side]) for side in a}

    def verdict(self, state: State, column: str | None, earlier: dict[str, Any] | None = None) -> Verdict:
        """How far the two sides are apart; `earlier`: the values of the earlier version."""
        if self.from_version is not None and earlier is None:
            raise ConfigurationError(
                f"Version {self.from_version}, with which '{column}' is to be compared, is not at hand here.",
                fix="Versions are compared in a plan: `tillage run`.",
            )
        base = state["reference"] if earlier is None else earlier
        name, rest = f"{column} drift", state["others"]
        against = "the reference" if earlier is None else f"version {self.from_version}"
        if not base["rows"] or not rest["rows"]:
            side = "among the others" if base["rows"] else "among the reference"
            if earlier is not None:
                side = "there now" if base["rows"] else f"in {against}"
            why = f"There is nothing to compare '{column}' with: no row is {side}."
            return Verdict(name=name, passed=True, measured=None, limit=self.limit, why=why)
        kind = base["kind"] or rest["kind"]
        if rest["kind"] not in {None, kind}:
            why = f"'{column}' holds {rest['kind']} now, and held {base['kind']} in {against}."
            return Verdict(name=name, passed=False, measured=None, limit=self.limit, why=why)
        if self.by == "ks" and kind == "texts":
            raise ConfigurationError(f"'ks' compares numbers, and '{column}' holds others.", fix="Use by: psi.")
        measured = self._distance(base, rest, kind)
        what = "PSI" if self.by == "psi" else "greatest distance"
        why = f"'{column}': {what} of {rest['rows']:,} rows against {base['rows']:,} of {against} is {measured:.3g}."
        return Verdict(name=name, passed=measured <= self.limit, measured=measured, limit=self.limit, why=why)

    def _distance(self, base: dict[str, Any], rest: dict[str, Any], kind: str | None) -> float:
        if kind != "numbers":
            named = sorted({*base["values"], *rest["values"]})
            shares = [[*(side["values"].get(v, 0) for v in named), side["nulls"]] for side in (base, rest)]
            return psi(*(np.array(s, np.float64) for s in shares))
        sides = [distribution(side["values"] or Ranks().start()) for side in (base, rest)]
        if self.by == "ks":
            return greatest_distance(*sides)
        values, counts = sides[0]
        edges = np.unique([quantile(values, counts, n / BINS) for n in range(1, BINS)]) if len(values) else np.empty(0)
        binned = [
            np.append(np.bincount(np.searchsorted(edges, v, "left"), c, len(edges) + 1), side["nulls"])
            for (v, c), side in zip(sides, (base, rest), strict=True)
        ]
        return psi(*binned)


class Distribution(Fold):
    """The different values of a column with their counts, as a drift compares them.

    >>> step = Distribution(column="x")
    >>> step.finish(step.update(step.start(), pl.DataFrame({"x": [1.0, 2.0, None]})))["nulls"]
    1
    """

    column: str = Field(description="column whose values are counted")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(column="x")

    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def start(self) -> State:
        """No value."""
        return {"kind": None, "rows": 0, "nulls": 0, "values": {}}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with the values of these rows."""
        known = user_columns(rows)
        if self.column not in known:
            raise ConfigurationError(f"'drift' from an earlier version: {unknown_name('column', self.column, known)}")
        return both(state, counted(rows[self.column]))

    def merge(self, a: State, b: State) -> State:
        """The values of both."""
        return both(a, b)

    def finish(self, state: State) -> dict[str, Any]:
        """The values and their counts."""
        return dict(state)


def counted(values: pl.Series) -> dict[str, Any]:
    """What is known of these values: how many, how many are none, and which they are.

    >>> counted(pl.Series(["a", "b", None]))["nulls"]
    1
    """
    number = values.dtype.is_float() or (values.dtype.is_integer() and values.dtype not in {pl.Int128, pl.UInt128})
    require_written(values.to_frame(), [values.name])
    known = values.drop_nulls()
    known = known.filter(known.is_not_nan()) if values.dtype.is_float() else known
    kind = None if values.dtype == pl.Null or not len(known) else "numbers" if number else "texts"
    found = {"kind": kind, "rows": len(values), "nulls": len(values) - len(known)}
    if kind is None:
        return {**found, "values": {}}
    statistic = Ranks() if number else ValueCounts()
    return {**found, "values": statistic.update(statistic.start(), known if number else known.cast(pl.String))}


def both(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What is known of the values of both.

    >>> both(counted(pl.Series([1])), counted(pl.Series([2])))["rows"]
    2
    """
    counts = {name: a[name] + b[name] for name in ("rows", "nulls")}
    if a["kind"] is None or b["kind"] is None:
        held = b if a["kind"] is None else a
        return {**counts, "kind": held["kind"], "values": held["values"]}
    statistic = Ranks() if a["kind"] == "numbers" else ValueCounts()
    return {**counts, "kind": a["kind"], "values": statistic.merge(a["values"], b["values"])}


class Batch(BaseModel):
    """The last batch is like those before: its rows, or the mean of the check's column where it names one.

    >>> Batch(by="day").deviations
    4.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(description="column that tells batches apart and orders them: a day, a month, a running number")
    deviations: float = Field(4.0, gt=0, description="most that it differs from the median, in units of 1.4826 MAD")
    least: int = Field(5, ge=2, description="batches before it that are needed to judge")

    def reads(self) -> tuple[str, ...]:
        """What it reads besides the column of the check."""
        return (self.by,)

    def start(self) -> State:
        """No batch."""
        return {}

    def update(self, state: State, rows: pl.DataFrame, column: str | None) -> State:
        """The state with these rows; rows without a batch are left out."""
        require_written(rows, [self.by])
        batch = written(self.by, rows.schema[self.by])
        if rows.schema[self.by].is_float():
            batch = pl.when(pl.col(self.by).is_finite()).then(batch)
        known = rows.select(batch.alias("batch"), *([column] if column else [])).filter(pl.col("batch").is_not_null())
        new: State = {}
        for (batch,), part in known.partition_by("batch", as_dict=True).items():
            total = Sum()
            values = part[column] if column else pl.Series([], dtype=pl.Int64)
            if column and not (values.dtype.is_numeric() or values.dtype == pl.Null):
                raise ConfigurationError(
                    f"'batch' of the check on '{column}' needs numbers, and the column is {values.dtype}.",
                    fix="Leave 'column' out to judge the rows of each batch.",
                )
            finite = values.filter(values.is_finite()) if values.dtype.is_float() else values.drop_nulls()
            finite = finite.cast(pl.Int64) if finite.dtype == pl.Null else finite
            new[str(batch)] = {"rows": part.height, "sum": total.update(total.start(), finite)}
        return self.merge(state, new)

    def merge(self, a: State, b: State) -> State:
        """The batches of both."""
        total = Sum()
        out = {**a, **b}
        for batch in a.keys() & b.keys():
            x, y = a[batch], b[batch]
            out[batch] = {"rows": x["rows"] + y["rows"], "sum": total.merge(x["sum"], y["sum"])}
        return out

    def verdict(self, state: State, column: str | None) -> Verdict:
        """How many deviations the last batch is from the median of those before."""
        name = f"{column} batch" if column else "batch"
        numbers = all(_NUMBER.fullmatch(batch) for batch in state)
        ordered = sorted(state, key=Fraction) if numbers else sorted(state)
        figures = {b: self._figure(state[b], column) for b in ordered}
        told = [b for b in ordered if figures[b] is not None]
        if len(told) <= self.least or told[-1] != ordered[-1]:
            why = (
                f"{max(len(told) - 1, 0)} batches before the last are too few to judge it by; {self.least} are needed."
            )
            if told and told[-1] != ordered[-1]:
                why = f"The last batch, {ordered[-1]}, has no value of '{column}'."
            return Verdict(name=name, passed=len(told) <= self.least, measured=None, limit=self.deviations, why=why)
        before = np.array([figures[b] for b in told[:-1]], np.float64)
        last, middle = float(figures[told[-1]] or 0.0), float(np.median(before))
        spread = max(MAD * float(np.median(np.abs(before - middle))), STEADY * abs(middle))
        away = abs(last - middle) / (spread or 1.0)  # where all before were 0, what differs is counted in ones
        what = f"mean of '{column}'" if column else "number of rows"
        usual = f"the median of {len(before)} before is {middle:.6g}"
        why = f"The {what} of the last batch, {told[-1]}, is {last:.6g}; {usual}."
        return Verdict(name=name, passed=away <= self.deviations, measured=away, limit=self.deviations, why=why)

    def _figure(self, batch: dict[str, Any], column: str | None) -> float | None:
        if column is None:
            return float(batch["rows"])
        count = batch["sum"]["count"]
        return float(Sum().finish(batch["sum"])) / count if count else None


def psi(reference: Floats, others: Floats) -> float:
    """The population stability index of two counts by bin: the sum of (p - q) ln(p / q).

    >>> round(psi(np.array([50.0, 50.0]), np.array([25.0, 75.0])), 4)
    0.2747
    """
    p = np.maximum(reference / reference.sum(), LEAST)
    q = np.maximum(others / others.sum(), LEAST)
    total: float = math.fsum(((q - p) * np.log(q / p)).tolist())
    return total


def greatest_distance(a: tuple[Floats, Any], b: tuple[Floats, Any]) -> float:
    """The greatest difference between the shares of values up to any value, of values and their counts.

    >>> one, other = (np.array([1.0, 2.0]), np.array([1, 1])), (np.array([2.0, 3.0]), np.array([1, 1]))
    >>> greatest_distance(one, other)
    0.5
    """
    at = np.unique(np.concatenate([a[0], b[0]]))
    shares = []
    for values, counts in (a, b):
        below = np.concatenate([[0], np.cumsum(counts)])
        shares.append(below[np.searchsorted(values, at, "right")] / max(int(below[-1]), 1))
    return float(np.abs(shares[0] - shares[1]).max(initial=0.0))


def moments(values: pl.Series) -> pl.Series:
    """Microseconds since 1970 in UTC, of times, dates, and texts in ISO 8601; null for what is no time.

    >>> moments(pl.Series(["1970-01-02", "1970-01-01T00:00:01Z", "soon"])).to_list()
    [86400000000, 1000000, None]
    """
    if values.dtype == pl.String:
        plain = values.str.strip_chars().str.strip_suffix("Z").rename("t").to_frame()
        read = [pl.col("t").str.to_datetime(form, strict=False, time_unit="us") for form in _FORMATS]
        return plain.select(pl.coalesce(read).dt.epoch("us"))["t"]
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.epoch("us")
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.epoch("us")
    if values.dtype == pl.Null:
        return values.cast(pl.Int64)
    raise ConfigurationError(
        f"'fresh' needs times, and '{values.name}' holds {values.dtype}.", fix="Read it as times: `parse_dates`."
    )


def _microseconds(moment: dt.date | None) -> int:
    assert moment is not None
    whole = (
        moment if isinstance(moment, dt.datetime) else dt.datetime(moment.year, moment.month, moment.day, tzinfo=dt.UTC)
    )
    whole = whole if whole.tzinfo is not None else whole.replace(tzinfo=dt.UTC)
    return (whole - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _written(microseconds: int) -> str:
    """The moment by ISO 8601; what lies beyond the years 1 to 9999 as their end."""
    start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    first = dt.datetime(1, 1, 1, tzinfo=dt.UTC) - start
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC) - start
    length = dt.timedelta(microseconds=min(max(microseconds, -(10**18)), 10**18))
    return (start + min(max(length, first), last)).isoformat()


def _lasting(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:g} seconds"
