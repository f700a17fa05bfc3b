"""Expectations on a table: counts of the rows that fulfil each, so that a verdict can say how many did not.

One pass of Polars expressions a batch; a state is a few numbers a check, except `unique`, which keeps one 64-bit hash
and one count (16 bytes) for each distinct value: at ten million values two collide with probability 3 in a million.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh
from pydantic import Field

from tillage.core.columns import remedy
from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.expression import parse
from tillage.core.rows import user_columns
from tillage.core.state import State
from tillage.core.step import Beside, Comparing, Result, Verdict
from tillage.govern.check import Check, Value, as_value, kind
from tillage.govern.compared import Drift
from tillage.govern.references import Frames, References
from tillage.govern.verdicts import Seen, verdict

_DAYS = (dt.date.min, dt.date.max)
_TIMES = tuple(dt.datetime.combine(day, at) for day, at in zip(_DAYS, (dt.time.min, dt.time.max), strict=True))
_REACH: dict[str, list[pl.Expr]] = {
    "date": [pl.lit(end) for end in _DAYS],
    "datetime": [pl.lit(end, pl.Datetime("us")) for end in _TIMES],
}
"""As far as moments go in Python; what lies beyond, as in some Parquet files, is told as the end."""


class Expect(Comparing):
    """What must hold of a table; the result is one verdict for each word of each check.

    >>> step = Expect(checks=({"column": "age", "not_null": True, "max": 130},))
    >>> state = step.update(step.start(), pl.DataFrame({"age": [40, None, 200]}))
    >>> for v in step.finish(state):
    ...     print(v.passed, v.name, v.measured, v.limit, v.why)
    False age not_null 0.6666666666666666 1.0 1 of 3 rows has no value in 'age'.
    False age max 200 130 1 of 2 values of 'age' is above 130; the largest is 200.
    """

    version: ClassVar[int] = 2

    checks: tuple[Check, ...] = Field(min_length=1, description="what must hold, each {column: NAME, ...}")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(
            checks=(
                Check(column="id", not_null=True, unique=True, type="int64"),
                Check(column="x", min=-100, max=100, at_least=0.5),
                Check(column="city", one_of=("x", "y"), at_least=0.1),
                Check(column="day", matches=r"^\d{4}-\d\d-\d\d$", min="1990-01-01"),
                Check.model_validate({"where": "n > -10", "rows": {"min": 1, "max": 1_000_000}}),
                Check.model_validate({"column": "day", "fresh": {"within": "400d", "as_of": "2024-03-01"}}),
                Check.model_validate({"column": "x", "drift": {"reference": "n > 2", "limit": 25}}),
                Check.model_validate({"column": "city", "drift": {"reference": "n > 2", "limit": 30}}),
                Check.model_validate({"column": "x", "batch": {"by": "n", "least": 2, "deviations": 1e9}}),
            )
        )

    def needs(self) -> tuple[str, ...]:
        """The columns that the checks look at."""
        named = [c.column for c in self.checks if c.column is not None]
        read = [name for c in self.checks if c.where is not None for name in parse(c.where).columns]
        read += [name for c, word in self._parts() if (made := c.comparison(word)) for name in made.reads()]
        return tuple(dict.fromkeys([*named, *read]))

    def start(self) -> State:
        """No rows, and nothing known of any part."""
        return {"rows": 0, "parts": [_nothing(check, word) for check, word in self._parts()]}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows counted; raises ConfigurationError for a column missing or of the wrong type."""
        return self.merge(state, {"rows": rows.height, "parts": self._measure(rows)})

    def merge(self, a: State, b: State) -> State:
        """Counts add up, extremes are compared, hashes and types are united."""
        pairs = zip(self._parts(), a["parts"], b["parts"], strict=True)
        parts = [made.merge(x, y) if (made := c.comparison(word)) else _merged(x, y) for (c, word), x, y in pairs]
        return {"rows": a["rows"] + b["rows"], "parts": parts}

    def beside(self) -> tuple[Beside, ...]:
        """The values of other tables, and those of earlier versions, that checks name."""
        asked = [(n, word, check.beside(word)) for n, check in enumerate(self.checks) for word in check.parts()]
        leaf = {"references": (), "drift": ("from_version",)}
        return tuple(replace(b, place=("checks", n, word, *leaf[word])) for n, word, b in asked if b is not None)

    def finish(self, state: State) -> tuple[Verdict, ...]:
        """One verdict for each part, in the order of the checks."""
        return self.finish_beside(state, (), lambda: iter(()))

    def finish_beside(self, state: State, beside: Sequence[Result], rows: Frames) -> tuple[Verdict, ...]:
        """One verdict for each part, in the order of the checks; raises ConfigurationError without what is beside."""
        given = iter(beside)
        verdicts = []
        for (check, word), part in zip(self._parts(), state["parts"], strict=True):
            made = check.comparison(word)
            found = next(given, None) if check.beside(word) is not None else None
            other = found if isinstance(found, dict) else None
            if isinstance(made, References):
                verdicts.append(made.verdict(part, check.column, other, check.at_least, rows))
            elif isinstance(made, Drift):
                verdicts.append(made.verdict(part, check.column, other))
            elif made is not None:
                verdicts.append(made.verdict(part, check.column))
            else:
                verdicts.append(verdict(check, word, _seen(part), state["rows"]))
        return tuple(verdicts)

    def _parts(self) -> list[tuple[Check, str]]:
        return [(check, word) for check in self.checks for word in check.parts()]

    def _measure(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        known = user_columns(rows)
        missing = [c.column for c in self.checks if c.column is not None and c.column not in known]
        for check, word in self._parts():
            made = check.comparison(word)
            missing += [c for c in (made.reads() if made else ()) if c not in known]
        if missing:
            raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in dict.fromkeys(missing))
        asked: dict[str, pl.Expr] = {}
        for i, (check, word) in enumerate(self._parts()):
            asked |= {f"{i} {name}": e for name, e in _asked(check, word, rows).items()}
        found = rows.select(**asked).row(0, named=True) if asked else {}
        parts = []
        for i, (check, word) in enumerate(self._parts()):
            part = _nothing(check, word)
            made = check.comparison(word)
            if made is not None:
                parts.append(made.update(part, rows, check.column))
                continue
            part |= {name.partition(" ")[2]: _plain(v) for name, v in found.items() if name.startswith(f"{i} ")}
            if word == "unique" and check.column is not None:
                hashes, counts = np.unique(_hashes(rows[check.column]), return_counts=True)
                part = {"hashes": hashes, "counts": counts.astype(np.int64)}
            if word == "type" and check.column is not None:
                name = kind(rows.schema[check.column])
                part = {"types": [name] if name != "null" and rows.height else []}
            parts.append(part)
        return parts


def _nothing(check: Check, word: str) -> dict[str, Any]:
    """The state of a part before any row."""
    made = check.comparison(word)
    if made is not None:
        nothing: dict[str, Any] = made.start()
        return nothing
    if word == "unique":
        return {"hashes": np.empty(0, np.uint64), "counts": np.empty(0, np.int64)}
    if word == "type":
        return {"types": []}
    if word.startswith("rows"):
        return {}
    extreme = {"least": None, "most": None, "nan": 0} if word in {"min", "max"} else {}
    return {"looked": 0, "good": 0, **extreme}


def _asked(check: Check, word: str, rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """The expressions, one number each, that measure a part on a batch."""
    if word == "where" and check.where is not None:
        read, known = parse(check.where), user_columns(rows)
        problems = read.check(known) + read.check_types({c: rows.schema[c] for c in known}, condition=True)
        if problems:
            raise ConfigurationError(Problem(p) for p in problems)
        # `pl.len()` beside it spreads a condition of literals alone over the rows.
        true = pl.when(read.polars()).then(1).otherwise(0)
        return {"looked": pl.len(), "good": (true + pl.int_range(pl.len()) * 0).sum()}
    if check.column is None or word in {"unique", "type", "rows_min", "rows_max"} or check.comparison(word):
        return {}
    column, is_a = pl.col(check.column), kind(rows.schema[check.column])
    if word == "not_null":
        return {"looked": pl.len(), "good": column.count()}
    if is_a == "null":
        return {}  # no value to look at
    if is_a in {"text", "float64"}:  # categories and decimals besides
        column = column.cast(pl.String if is_a == "text" else pl.Float64)
    if is_a == "datetime" and getattr(rows.schema[check.column], "time_zone", None):
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    looked = {"looked": column.count()}
    if word == "matches" and check.matches is not None:
        if is_a != "text":
            raise ConfigurationError(
                f"'matches' of the check on '{check.column}' needs text, and the column is {is_a}.",
                fix=remedy(check.column, rows.schema[check.column], "text"),
            )
        return {**looked, "good": column.str.contains(check.matches).sum()}
    if word == "one_of" and check.one_of is not None:
        values = [as_value(v, is_a, word, check.column) for v in check.one_of]
        equal = [column == _literal(v, is_a) for v in values]
        return {**looked, "good": pl.any_horizontal(equal).sum()}
    bound = _bound(check, word, is_a)
    is_nan = column.is_nan() if is_a == "float64" else pl.lit(False)
    within = column >= bound if word == "min" else column <= bound
    told = column.clip(*_REACH[is_a]) if is_a in _REACH else column
    extremes = {"least": told.min(), "most": told.max()}
    return {**looked, "good": (within & ~is_nan).sum(), "nan": is_nan.sum(), **extremes}


def _bound(check: Check, word: str, is_a: str) -> pl.Expr:
    value: Value | None = check.min if word == "min" else check.max
    assert value is not None
    assert check.column is not None
    return _literal(as_value(value, is_a, word, check.column), is_a, up=word == "min")


def _literal(value: bool | int | float | str | dt.date, is_a: str, up: bool | None = None) -> pl.Expr:
    """A literal of the column's own kind, since a comparison of int64 with float64 would round the former."""
    if is_a == "int64" and isinstance(value, float) and (up is not None or value.is_integer()):
        value = math.ceil(value) if up else math.floor(value)
    if is_a == "int64" and isinstance(value, int):
        return pl.lit(max(-(2**127), min(2**127 - 1, value)), dtype=pl.Int128)
    return pl.lit(float(value) if is_a == "float64" and isinstance(value, int) else value)


def _hashes(column: pl.Series) -> npt.NDArray[np.uint64]:
    values = column.drop_nulls().to_frame("v").select(plh.hash_rows("v").alias("v"))
    return values.select(plh.col("v").nchash.xxh3_64())["v"].to_numpy()


def _plain(value: Any) -> Any:
    """A measured value as a state may hold it: NaN as nothing, one zero, moments as text."""
    if isinstance(value, float):
        return None if math.isnan(value) else value + 0.0
    return value.isoformat() if isinstance(value, dt.date) else value


def _merged(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    if "hashes" in a:
        hashes, place = np.unique(np.concatenate([a["hashes"], b["hashes"]]), return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, place, np.concatenate([a["counts"], b["counts"]]))
        return {"hashes": hashes, "counts": counts}
    if "types" in a:
        return {"types": sorted({*a["types"], *b["types"]})}
    out: dict[str, Any] = {name: a[name] + b[name] for name in ("looked", "good", "nan") if name in a}
    for name, choose in (("least", min), ("most", max)):
        if name in a:
            known = [v for v in (a[name], b[name]) if v is not None]
            out[name] = choose(known) if known else None
    return out


def _seen(part: dict[str, Any]) -> Seen:
    if "hashes" in part:
        repeated = part["counts"][part["counts"] > 1]
        return Seen(looked=int(part["counts"].sum()), repeated=len(repeated), repeats=int(repeated.sum()))
    fields: dict[str, Any] = {k: tuple(v) if k == "types" else v for k, v in part.items()}
    return Seen(**fields)
