"""What went before: for each row the lag, count, sum, mean, least or greatest of earlier rows of its key.

A row sees only rows whose time is before its own, never itself, nor one of the same time: which of those came first is
not known (law 10). Sums are exact and rounded once, so a window does not carry the rounding of what has left it. Cost:
a sort of the touched keys, and for sums of floats about 2 microseconds a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import AfterValidator, Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import BadData, ConfigurationError, Problem, unknown_name
from tillage.core.rows import ID, user_columns
from tillage.core.step import Group
from tillage.measure.exact import UNIT, rounded
from tillage.prepare.column_fold import is_number
from tillage.prepare.columns import NewName, remedy, require
from tillage.prepare.moments import length_in_ticks, read_length, require_time, ticks

KEY = "_key"
FUNCTIONS = ("lag", "count", "sum", "mean", "min", "max")
_CALL = re.compile(r"\s*(\w+)\s*\(\s*(?:\"([^\"]+)\"|([^,()\"]+?))\s*,\s*([^,()]+?)\s*\)\s*")
_ROWS = re.compile(r"([1-9][0-9]{0,8})(?:\s+rows?)?")

Places = npt.NDArray[np.int64]


class Look(NamedTuple):
    """One look back: a function of FUNCTIONS, its column, and how far: so many rows, or a length of time."""

    function: str
    column: str
    rows: int | None
    length: str | None


def read_look(text: str) -> Look:
    """The look written as FUNCTION(COLUMN, HOW FAR); raises ValueError that says what is wrong.

    >>> read_look("mean(price, 7d)"), read_look("lag(price, 1)").rows
    (Look(function='mean', column='price', rows=None, length='7d'), 1)
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form FUNCTION(COLUMN, HOW FAR), such as lag(x, 1) or mean(x, 7d)")
    function, column, extent = match[1], match[2] or match[3], match[4]
    if function not in FUNCTIONS:
        raise ValueError(unknown_name("function", function, FUNCTIONS))
    rows = _ROWS.fullmatch(extent)
    if rows and (function == "lag" or not extent.isdigit()):
        return Look(function, column, int(rows[1]), None)
    if function == "lag":
        raise ValueError(f"lag looks back by rows, such as lag({column}, 1), not {extent!r}")
    if extent.endswith(("row", "rows")):
        raise ValueError(f"{extent!r} is no number of rows; write {function}({column}, 3 rows)")
    read_length(extent)
    return Look(function, column, None, extent)


def _valid(text: str) -> str:
    read_look(text)
    return text


LookText = Annotated[str, AfterValidator(_valid)]


class Window(Group):
    """Add columns that look back, by key, over the rows before each row.

    `lag(x, 2)`: the value two rows before. `mean(x, 3 rows)`: over the last three rows before; `sum(x, 7d)`: over
    those at most 7 days before (for a column of integers a bare number: `sum(x, 100)`). Rows of one time are ordered by
    their _id. Nulls are passed over by all but `lag`; with no value `count` is 0, `sum` 0, the others null. NaN makes a
    sum and a mean NaN; min and max pass over it. A row without a time sees nothing and is seen by none.

    >>> rows = pl.DataFrame({"_key": [1] * 3, "_id": [1, 2, 3], "who": ["a"] * 3, "at": [1, 2, 9], "x": [5, 7, 1]})
    >>> looks = {"last": "lag(x, 1)", "lately": "sum(x, 7)", "mean": "mean(x, 2 rows)"}
    >>> Window(by=("who",), time="at", columns=looks).apply({"rows": rows}).select("last", "lately", "mean").rows()
    [(None, 0, None), (5, 5, 5.0), (7, 7, 6.0)]
    """

    by: Columns = Field(min_length=1, description="columns whose values make the key")
    time: str = Field(description="column of dates, times or integers that says when a row happened")
    columns: dict[NewName, LookText] = Field(
        min_length=1, description="new column to its look back: lag, count, sum, mean, min, max of (COLUMN, HOW FAR)"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        both = sorted({*self.by, self.time} & set(self.columns))
        if both:
            raise ValueError(f"'{both[0]}' orders or groups the rows; give the new column another name")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        looks = {"last": "lag(text, 2)", "total": "sum(x, 5 rows)", "lately": "mean(x, 6)", "most": "max(x, 9 rows)"}
        return cls(by=("city",), time="n", columns={**looks, "least": "min(id, 4)", "before": "count(x, 9)"})

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns in `by`."""
        require(rows, self._read())
        return self.by

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The rows with the new columns, sorted by key and time; raises ConfigurationError for unsuitable columns."""
        frame = rows["rows"]
        require(frame, self._read())
        require_time(frame, self.time)
        looks = {name: read_look(text) for name, text in self.columns.items()}
        self._can_be_looked_at(frame, looks)
        frame = frame.sort(KEY, self.time, ID, nulls_last=True)
        line = _Line(frame, self.time)
        out = frame.select(KEY, *user_columns(frame))
        return out.with_columns(line.column(look).alias(name) for name, look in looks.items())

    def _read(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.by, self.time, *(read_look(t).column for t in self.columns.values())]))

    def _can_be_looked_at(self, frame: pl.DataFrame, looks: Mapping[str, Look]) -> None:
        wrong = [
            f"Column '{look.column}' holds {frame.schema[look.column]}, of which there is no {look.function}. "
            + remedy(look.column, frame.schema[look.column], "numbers")
            for look in looks.values()
            if look.function not in {"lag", "count"} and not is_number(frame.schema[look.column])
        ]
        if wrong:
            raise ConfigurationError(map(Problem, wrong))


class _Line:
    """Rows sorted by key and time, and where the rows before each begin and end."""

    def __init__(self, frame: pl.DataFrame, time: str) -> None:
        self.frame, self.time = frame, time
        self.key = frame[KEY].rle_id().to_numpy().astype(np.int64)
        self.known = frame[time].is_not_null().to_numpy()
        self.ticks = ticks(frame[time]).fill_null(0).to_numpy()
        own = np.arange(frame.height, dtype=np.int64)
        new_key = np.diff(self.key, prepend=-1) != 0
        new_time = new_key | (np.diff(self.ticks, prepend=0) != 0)
        self.first = np.maximum.accumulate(np.where(new_key, own, 0)) if frame.height else own
        self.end = np.maximum.accumulate(np.where(new_time, own, 0)) if frame.height else own
        self.end = np.where(self.known, self.end, self.first)  # a row without a time sees nothing

    def column(self, look: Look) -> pl.Series:
        """What each row sees."""
        values = self.frame[look.column].rename("value")
        if look.function == "lag":
            at = self.end - int(look.rows or 0)
            seen = pl.Series(np.maximum(at, 0)).set(pl.Series(at < self.first), None)
            return values.gather(seen)
        begin = self._begin(look)
        if look.function == "count":
            return pl.Series(_between(values.is_not_null().to_numpy().astype(np.int64), begin, self.end))
        if look.function in {"min", "max"}:
            return _extreme(values, begin, self.end, look.function)
        return _total(values, begin, self.end, look)

    def _begin(self, look: Look) -> Places:
        if look.rows is not None:
            return np.maximum(self.end - look.rows, self.first)
        length = length_in_ticks(self.frame.schema[self.time], str(look.length), self.time)
        least = np.where(self.ticks < np.iinfo(np.int64).min + length, np.iinfo(np.int64).min, self.ticks - length)
        # Where each (key, time - length) would stand: both are sorted together, what is sought before what equals it.
        keys, times = np.concatenate([self.key, self.key]), np.concatenate([least, self.ticks])
        data = np.repeat([0, 1], len(self.key))
        order = np.lexsort((data, times, ~np.concatenate([self.known, self.known]), keys))
        before = np.cumsum(data[order]) - data[order]
        begin = np.empty(len(order), np.int64)
        begin[order] = before
        return np.minimum(begin[: len(self.key)], self.end)


def _between(values: Places, begin: Places, end: Places) -> Places:
    """The sum over each stretch of rows."""
    sums: Places = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    found: Places = sums[end] - sums[begin]
    return found


def _extreme(values: pl.Series, begin: Places, end: Places, function: str) -> pl.Series:
    """The least or greatest over each stretch, which two overlapping stretches of a power of two cover."""
    values = values.cast(pl.Int64) if values.dtype == pl.Null else values
    known = values.is_not_null().to_numpy()
    array: npt.NDArray[Any] = values.fill_null(0).to_numpy().copy()
    if values.dtype.is_float():
        known &= ~np.isnan(array)
        array += 0.0  # one zero: which of two came first must not show
        worst: Any = np.inf if function == "min" else -np.inf
    else:
        worst = np.iinfo(array.dtype).max if function == "min" else np.iinfo(array.dtype).min
    array[~known] = worst
    choose = np.minimum if function == "min" else np.maximum
    length = end - begin
    out, size = np.full(len(array), worst, array.dtype), 1
    while size <= length.max(initial=0):
        here = (length >= size) & (length < 2 * size)
        out[here] = choose(array[begin[here]], array[end[here] - size])
        array, size = choose(array[:-size], array[size:]), 2 * size
    none = _between(known.astype(np.int64), begin, end) == 0
    return pl.Series(out, dtype=values.dtype).set(pl.Series(none), None)


def _total(values: pl.Series, begin: Places, end: Places, look: Look) -> pl.Series:
    """The sum or mean over each stretch, exact and rounded once."""
    mean = look.function == "mean"
    counts = _between(values.is_not_null().to_numpy().astype(np.int64), begin, end).tolist()
    if values.dtype.is_float():
        totals = _float_totals(values.cast(pl.Float64), begin, end)
        found = [rounded(t, (n if mean else 1) << UNIT) if n else None for t, n in zip(totals, counts, strict=True)]
        out = pl.Series(found if mean else [f or 0.0 for f in found], dtype=pl.Float64)
        return _with_special(out, values.cast(pl.Float64).fill_null(0.0).to_numpy(), begin, end)
    sums = [0, *accumulate(values.fill_null(0).to_list())] if values.dtype != pl.Null else [0] * (len(values) + 1)
    whole = [sums[b] - sums[a] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    if mean:
        return pl.Series([t / n if n else None for t, n in zip(whole, counts, strict=True)], dtype=pl.Float64)
    if any(not -(1 << 63) <= t < 1 << 63 for t in whole):
        raise BadData(
            f"sum({look.column}) of Window goes beyond 64-bit integers.",
            fix=f"Make '{look.column}' a floating-point number first: cast: {{columns: {{{look.column}: float64}}}}.",
        )
    return pl.Series(whole, dtype=pl.Int64)


def _float_totals(values: pl.Series, begin: Places, end: Places) -> list[int]:
    """The sum of the finite values of each stretch, in units of 2**-UNIT."""
    units = [0]
    for value in values.to_list():
        if value is None or value - value != 0:
            units.append(units[-1])
            continue
        numerator, denominator = value.as_integer_ratio()
        units.append(units[-1] + (numerator << UNIT - denominator.bit_length() + 1))
    return [units[b] - units[a] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]


def _with_special(out: pl.Series, values: npt.NDArray[np.float64], begin: Places, end: Places) -> pl.Series:
    """What infinities and NaN make of the sums, as in ordinary addition."""
    nan, more, less = (
        _between(kind.astype(np.int64), begin, end) > 0
        for kind in (np.isnan(values), np.isposinf(values), np.isneginf(values))
    )
    for where, value in ((more, np.inf), (less, -np.inf), (nan | (more & less), np.nan)):
        out = out.set(pl.Series(where), value)
    return out
