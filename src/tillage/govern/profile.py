"""What a table looks like: types, gaps, distinct values, spreads, frequent texts. One pass, mergeable exactly.

Per column some 4 kB for the number of distinct values, 16 bytes a used bucket for quantiles, and for texts a fair
sample of rows (1,000 by default) from which the frequent ones are taken.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import ID, user_columns
from tillage.core.state import State
from tillage.core.step import Fold
from tillage.govern.check import kind
from tillage.measure import Counts, Distinct, Extremes, Moments, Quantiles, Sample, Statistic

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
LONGEST = 80
"""Characters of a text that a profile shows."""


class Profile(Fold):
    """The profile of each column, as plain JSON values.

    Every column: `type`, `rows`, `nulls`, `distinct` (an estimate, 1.6 % standard error). Numbers: `not_finite` (NaN
    and infinities, which the rest leaves out), `min`, `max`, `mean`, `std`, `quantiles` (each within 0.8 % of the
    value). Truth values: `true`, the share. Dates and times: `min`, `max`. Texts: `min_length`, `max_length`,
    `mean_length` in characters, and `frequent`: [text, share] by a sample of `sampled` rows, exact while the table is
    no larger than the sample.

    >>> rows = pl.DataFrame({"n": [1, 2, 3, None]}).with_columns(_id=pl.int_range(4).cast(pl.UInt128))
    >>> step = Profile()
    >>> found = step.finish(step.update(step.start(), rows))["columns"]["n"]
    >>> found["type"], found["rows"], found["nulls"], found["distinct"], found["mean"], found["std"]
    ('int64', 4, 1, 3, 2.0, 1.0)
    """

    version: ClassVar[int] = 2

    columns: Columns = Field((), description="columns to profile; none named: all of them")
    sample: int = Field(1000, ge=1, le=100_000, description="rows sampled for the frequent texts of a column")
    frequent: int = Field(10, ge=0, le=1000, description="how many of the most frequent texts to show")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(sample=100)

    def needs(self) -> tuple[str, ...]:
        """The columns named."""
        return self.columns

    def start(self) -> State:
        """No rows, no columns."""
        return {"rows": 0, "columns": {}}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing."""
        known = user_columns(rows)
        missing = [c for c in self.columns if c not in known]
        if missing:
            raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in missing)
        columns = {c: self._observed(rows[c], rows[ID]) for c in self.columns or known}
        return self.merge(state, {"rows": rows.height, "columns": columns})

    def merge(self, a: State, b: State) -> State:
        """The state of both; a column that only one has is taken as it is."""
        columns = {**a["columns"], **b["columns"]}
        for name in a["columns"].keys() & b["columns"].keys():
            columns[name] = self._merged(a["columns"][name], b["columns"][name])
        return {"rows": a["rows"] + b["rows"], "columns": columns}

    def finish(self, state: State) -> dict[str, Any]:
        """`rows`, and `columns`: name to profile, in the order of `columns` or of the alphabet."""
        names = [c for c in self.columns if c in state["columns"]] or sorted(state["columns"])
        return {"rows": state["rows"], "columns": {c: self._described(state["columns"][c]) for c in names}}

    def _statistic(self, name: str) -> Statistic:
        makers: dict[str, Statistic] = {
            "counts": Counts(), "distinct": Distinct(), "moments": Moments(), "extremes": Extremes(),
            "quantiles": Quantiles(QUANTILES), "all": Counts(), "lengths": Extremes(), "length": Moments(),
            "sample": Sample(self.sample), "truth": Moments(), "moments_in_time": Extremes(),
        }  # fmt: skip
        return makers[name]

    def _observed(self, values: pl.Series, ids: pl.Series) -> dict[str, Any]:
        """The state of one column after one batch."""
        is_a = kind(values.dtype)
        seen: dict[str, pl.Series] = {"counts": values, "distinct": _hashable(values)}
        if is_a in {"int64", "float64"}:
            numbers = values.cast(pl.Float64) if values.dtype.is_decimal() else values
            finite = numbers.filter(numbers.is_finite()) if is_a == "float64" else numbers
            seen |= dict.fromkeys(("moments", "extremes", "quantiles", "all"), finite.drop_nulls())
        elif is_a == "bool":
            seen["truth"] = values
        elif is_a in {"date", "datetime"}:
            seen["moments_in_time"] = values.cast(pl.String)
        elif is_a == "text":
            texts = values.cast(pl.String)
            lengths = texts.str.len_chars()
            seen |= {"lengths": lengths, "length": lengths, "sample": texts.str.slice(0, LONGEST)}
        states = {name: self._update(name, series, ids) for name, series in seen.items()}
        return {"types": [is_a] if is_a != "null" else [], **states}

    def _update(self, name: str, values: pl.Series, ids: pl.Series) -> State:
        statistic = self._statistic(name)
        if name != "sample":
            return statistic.update(statistic.start(), values)
        present = values.is_not_null()
        return statistic.update(statistic.start(), values.filter(present), ids.filter(present))

    def _merged(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        both = {name: self._statistic(name).merge(a[name], b[name]) for name in a.keys() & b.keys() - {"types"}}
        return {**a, **b, **both, "types": sorted({*a["types"], *b["types"]})}

    def _described(self, state: dict[str, Any]) -> dict[str, Any]:
        found = {n: self._statistic(n).finish(s) for n, s in state.items() if n != "types"}
        rows, nulls = found["counts"]["rows"], found["counts"]["nulls"]
        out = {"type": ", ".join(state["types"]) or "null", "rows": rows, "nulls": nulls}
        out["distinct"] = min(round(found["distinct"]), rows - nulls)
        if "moments" in found:
            variance = found["moments"]["variance"]
            out["not_finite"] = rows - nulls - found["all"]["rows"]
            out |= {**found["extremes"], "mean": found["moments"]["mean"]}
            least, most = found["extremes"]["min"], found["extremes"]["max"]
            within = {q: v if v is None else float(min(max(v, least), most)) for q, v in found["quantiles"].items()}
            out |= {"std": None if variance is None else math.sqrt(variance), "quantiles": within}
        if "truth" in found:
            out["true"] = found["truth"]["mean"]
        if "moments_in_time" in found:
            out |= found["moments_in_time"]
        if "sample" in found:
            lengths, texts = found["lengths"], found["sample"]["values"]
            out |= {"min_length": lengths["min"], "max_length": lengths["max"], "mean_length": found["length"]["mean"]}
            out |= {"sampled": len(texts), "frequent": _frequent(texts, self.frequent)}
        return out


def _hashable(values: pl.Series) -> pl.Series:
    return values.cast(pl.String) if kind(values.dtype) == "text" else values


def _frequent(texts: list[str], top: int) -> list[list[Any]]:
    """[text, share] of the most frequent, equal ones by text."""
    counted = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    return [[text, count / len(texts)] for text, count in counted[:top]]
