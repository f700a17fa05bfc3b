"""The rows of one key become one row of counts, sums and extremes: `{total: sum(amount), n: count()}`.

Sums of floating-point numbers are exact and rounded once (Shewchuk's algorithm), so neither the order of the rows nor
how they were cut into chunks can show. Cost: a vectorised group_by; float sums 0.4 microseconds a row more.
Source: Shewchuk, Adaptive Precision Floating-Point Arithmetic, Discrete & Computational Geometry 18 (1997).
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated, NamedTuple, Self

import polars as pl
from pydantic import AfterValidator, Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import BadData, unknown_name
from tillage.core.step import Algebraic
from tillage.prepare.columns import NewName, require, require_type

KEY = "_key"
_FEW = 8
"""Floats that need no shortening."""
FUNCTIONS = ("count", "sum", "mean", "min", "max", "n_unique")
_CALL = re.compile(r"\s*(\w+)\s*\(\s*(?:\"([^\"]+)\"|([^()\"]*?))\s*\)\s*")


class Call(NamedTuple):
    """One aggregate: a function of FUNCTIONS and its column ("" for `count()`)."""

    function: str
    column: str


def read_call(text: str) -> Call:
    """The aggregate written as FUNCTION(COLUMN); raises ValueError that says what is wrong.

    >>> read_call("sum(amount)")
    Call(function='sum', column='amount')
    >>> read_call("summ(amount)")
    Traceback (most recent call last):
    ValueError: No function is called 'summ'. Did you mean 'sum'?
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form FUNCTION(COLUMN), such as sum(amount) or count()")
    function, column = match[1], match[2] or match[3]
    if function not in FUNCTIONS:
        raise ValueError(unknown_name("function", function, FUNCTIONS))
    if not column and function != "count":
        raise ValueError(f"{function}() needs a column, such as {function}(amount)")
    return Call(function, column)


def _valid(text: str) -> str:
    read_call(text)
    return text


CallText = Annotated[str, AfterValidator(_valid)]


class Aggregate(Algebraic):
    """One row for each combination of the values in `by`, with counts, sums, means, extremes.

    `count()` counts rows; everything else passes over nulls: `count(x)` counts values, `n_unique(x)` different ones,
    and a key without any value has the sum 0 and no mean, min or max. NaN makes a sum and a mean NaN; min and max
    pass over it while there is a number. Sums of integers are integers (BadData beyond 64 bits).

    >>> rows = pl.DataFrame({"_key": [1, 1, 2], "day": ["mon", "mon", "tue"], "x": [0.1, 0.2, 5.0]})
    >>> step = Aggregate(by=("day",), columns={"n": "count()", "total": "sum(x)"})
    >>> step.apply({"rows": rows}).select("day", "n", "total").rows()
    [('mon', 2, 0.30000000000000004), ('tue', 1, 5.0)]
    """

    by: Columns = Field(min_length=1, description="columns whose values make the key")
    columns: dict[NewName, CallText] = Field(
        min_length=1, description="new column to its aggregate: count(), or count, sum, mean, min, max, n_unique of one"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        both = sorted(set(self.by) & set(self.columns))
        if both:
            raise ValueError(f"'{both[0]}' is a column of 'by' and of 'columns'; give the aggregate another name")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        calls = {
            "rows": "count()",
            "known": "count(x)",
            "total": "sum(x)",
            "average": "mean(n)",
            "middle": "mean(x)",
        }
        return cls(by=("city",), columns={**calls, "first": "min(day)", "last": "max(day)", "sum_n": "sum(n)"})

    def needs(self) -> tuple[str, ...]:
        """The columns of the key and of the aggregates."""
        return tuple(dict.fromkeys([*self.by, *(c.column for c in self._calls().values() if c.column)]))

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns in `by`."""
        require(rows, self.needs())
        return self.by

    def in_parts(self) -> bool:
        """True unless different values are counted, for which all of them would have to be kept."""
        return all(call.function != "n_unique" for call in self._calls().values())

    def partial(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row a key: `_key`, `_n`, the columns of `by`, and of each aggregate what adds up to it."""
        require(rows, self.needs())
        calls = self._calls()
        require_type(rows, [c.column for c in calls.values() if c.function in {"sum", "mean"}], "numbers")
        by = [_one_zero(rows, c).first().alias(c) for c in self.by]
        made = (_aggregate(rows, call).alias(name) for name, call in calls.items())
        return rows.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("_n"), *by, *made).sort(KEY)

    def merge(self, partials: pl.DataFrame) -> pl.DataFrame:
        """One row a key; of floats, the few that have the sum of all."""
        merged = (_merged(partials, name, call).alias(name) for name, call in self._calls().items())
        out = partials.group_by(KEY).agg(pl.col("_n").sum(), *(pl.col(c).first() for c in self.by), *merged).sort(KEY)
        return out.with_columns(_shortened(out[n]) for n in self._calls() if _sums_floats(out.schema[n]))

    def finish(self, partials: pl.DataFrame) -> pl.DataFrame:
        """One row a key, sorted by `_key`: `_key`, the columns of `by`, the aggregates."""
        return partials.drop("_n").with_columns(_finished(partials[name], c) for name, c in self._calls().items())

    def _calls(self) -> dict[str, Call]:
        return {name: read_call(text) for name, text in self.columns.items()}


def _one_zero(frame: pl.DataFrame, column: str) -> pl.Expr:
    """The column with -0.0 as 0.0: they are equal, and which came first must not show."""
    dtype = frame.schema[column]
    if not dtype.is_float():
        return pl.col(column)
    # `+ 0.0` would do in arithmetic, but the optimiser takes it for a no-op.
    return pl.when(pl.col(column) == 0).then(pl.lit(0.0, dtype=dtype)).otherwise(pl.col(column))


def _whole_numbers(frame: pl.DataFrame, column: str) -> bool:
    return frame.schema[column].is_integer() or frame.schema[column] == pl.Null


def _aggregate(frame: pl.DataFrame, call: Call) -> pl.Expr:
    """What the group_by collects, and `_finished` makes the result from: floats all of them, integers as one in text.

    (A sum of integers may have 128 bits, which Parquet does not know.)
    """
    if not call.column:
        return pl.len().cast(pl.Int64)
    column = _one_zero(frame, call.column)
    count = column.count().cast(pl.Int64)
    if call.function == "count":
        return count
    if call.function == "n_unique":
        return column.drop_nulls().n_unique().cast(pl.Int64)
    if call.function in {"min", "max"}:
        return column.min() if call.function == "min" else column.max()
    if _whole_numbers(frame, call.column):
        total = column.cast(pl.Int128).sum().cast(pl.String)
        return total if call.function == "sum" else pl.struct(total=total, n=count)
    values = column.cast(pl.Float64).drop_nulls()
    return values if call.function == "sum" else pl.struct(values=values.implode(), n=count)


def _merged(partials: pl.DataFrame, name: str, call: Call) -> pl.Expr:
    """The same for partial results of one key."""
    column, dtype = pl.col(name), partials.schema[name]
    if call.function in {"min", "max"}:
        return column.min() if call.function == "min" else column.max()
    if call.function == "count":
        return column.sum()
    if isinstance(dtype, pl.Struct):
        n = column.struct.field("n").sum()
        if _sums_floats(dtype):
            return pl.struct(values=column.struct.field("values").explode().drop_nulls().implode(), n=n)
        return pl.struct(total=_added(column.struct.field("total")), n=n)
    return column.explode().drop_nulls() if _sums_floats(dtype) else _added(column)


def _added(totals: pl.Expr) -> pl.Expr:
    return totals.cast(pl.Int128).sum().cast(pl.String)


def _sums_floats(dtype: pl.DataType) -> bool:
    """Whether a partial result is a list of floats, or has one."""
    if isinstance(dtype, pl.Struct):
        return any(isinstance(field.dtype, pl.List) for field in dtype.fields)
    return isinstance(dtype, pl.List)


def _shortened(collected: pl.Series) -> pl.Series:
    """Each list of floats as one of a few with the same sum."""
    if isinstance(collected.dtype, pl.Struct):
        parts = collected.struct.unnest()
        return parts.with_columns(_shortened(parts["values"])).to_struct(collected.name)
    lists = [expansion(values) for values in collected.to_list()]
    return pl.Series(collected.name, lists, dtype=pl.List(pl.Float64))


def expansion(values: list[float]) -> list[float]:
    """The few floats, largest first, whose sum is exactly that of `values`: the sum rounded, then what it leaves.

    What is not finite stands for all; where the sum goes beyond the largest float on the way, all stay.

    >>> expansion([1e16, *[1.0] * 10, -3e-30])
    [1.000000000000001e+16, -3e-30]
    """
    if len(values) <= _FEW:
        return values
    if not all(map(math.isfinite, values)):
        return sorted({repr(v): v for v in values if not math.isfinite(v)}.values(), key=repr)
    left, out = list(values), []
    try:
        while (total := math.fsum(left)) != 0:
            out.append(total)
            left.append(-total)
    except OverflowError:
        return values
    return out


def _finished(collected: pl.Series, call: Call) -> pl.Series:
    if call.function not in {"sum", "mean"}:
        return collected
    dtype = collected.dtype
    if isinstance(dtype, pl.List):
        return pl.Series(collected.name, [_exact(values, None) for values in collected.to_list()], dtype=pl.Float64)
    if isinstance(dtype, pl.Struct):
        parts = collected.struct.unnest()
        if _sums_floats(dtype):
            pairs = zip(parts["values"].to_list(), parts["n"].to_list(), strict=True)
            results = [_exact(values, n) for values, n in pairs]
        else:
            counted = zip(parts["total"].cast(pl.Int128).to_list(), parts["n"].to_list(), strict=True)
            results = [total / n if n else None for total, n in counted]
        return pl.Series(collected.name, results, dtype=pl.Float64)
    totals = collected.cast(pl.Int128)
    if totals.len() and not totals.is_between(-(1 << 63), (1 << 63) - 1).all():
        raise BadData(
            f"sum({call.column}) in column '{collected.name}' of Aggregate goes beyond 64-bit integers.",
            fix=f"Make '{call.column}' a floating-point number first: derive: {{columns: {{...: {call.column} / 1}}}}.",
        )
    return totals.cast(pl.Int64)


def _exact(values: list[float], n: int | None) -> float | None:
    """The sum, rounded once, or with `n` its quotient by n; infinities and NaN as in ordinary addition."""
    if n == 0:
        return None
    try:
        total = math.fsum(values)
    except ValueError:  # both infinities
        return math.nan
    except OverflowError:  # somewhere on the way, which depends on the order; the fraction does not
        exact = sum(map(Fraction, values), Fraction(0))
        total = _to_float(exact)
        if n and math.isinf(total):
            return _to_float(exact / n)
    return total / n if n else total


def _to_float(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
