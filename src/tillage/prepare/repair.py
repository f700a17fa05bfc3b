"""Cells that contradict what the other rows say of them are repaired, by functional dependencies: `zip -> city, state`.

Rows that are equal on the left of a dependency form a group, and the value that most of them have on the right is what
the group says. Where several dependencies end in one column their groups vote. What groups say is learnt once, exactly,
and pinned: rows keep their ids (a Group would make new ones), a request is repaired as the table was, and a change
costs the rows that changed; a group that is new since, or has changed its mind, speaks after the next refit.
State: the different combinations of the columns named; of the Map, one line for each group that has something to say.
Sources: Bohannon et al., A cost-based model and effective heuristic for repairing constraints by value modification,
SIGMOD 2005; Chu, Ilyas and Papotti, Holistic data cleaning, ICDE 2013.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import user_columns
from tillage.core.state import State
from tillage.core.step import Fitted
from tillage.measure.combinations import COUNT, Combinations
from tillage.prepare.column_fold import RowFold
from tillage.prepare.columns import NewName, remedy, require
from tillage.prepare.dependencies import (
    Dependency,
    DependencyText,
    find,
    leaders,
    read_dependencies,
)
from tillage.text.edits import distance

WHOLE = 1 << 30
"""The weight of a group of which every row has one value, were it endless."""

_ROW, _VALUE, _WEIGHT = "_row", "_value", "_weight"
"""Columns of ours while votes are counted."""


class Find(BaseModel):
    """How dependencies are found in the data: those that hold nearly, with few columns on the left.

    >>> Find(columns=("zip", "city")).confidence
    0.9
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Columns = Field(min_length=2, description="columns among which dependencies are looked for")
    left: int = Field(1, ge=1, le=2, description="most columns on the left of a dependency")
    support: float = Field(0.5, gt=0, le=1, description="least share of the rows that must be in groups of two or more")
    confidence: float = Field(
        0.9, gt=0.5, le=1, description="least share of these that agree with their group, and least lambda (0 to 1)"
    )


class Repaired(Fitted):
    """Repairs by what groups said: `{"dependencies": [{"left", "right", "keys", "values", "weights"}], ...}`.

    `keys` holds the texts of each column on the left, `values` what the group says, `weights` how firmly, in parts of
    WHOLE: integers, so that votes add up to the same in any order.

    >>> said = {"left": ["zip"], "right": "city", "keys": [["1"]], "values": ["Ulm"], "weights": np.array([WHOLE // 2])}
    >>> repaired = Repaired(state={"dependencies": [said], "fill": False, "mark": "repaired", "passes": 1})
    >>> repaired.apply(pl.DataFrame({"zip": ["1", "2"], "city": ["Uml", "Rome"]})).rows()
    [('1', 'Ulm', 'city'), ('2', 'Rome', None)]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(
            state={
                "dependencies": [
                    _told(("city",), "n", [["Ulm", "Rome"]], ["3", "4"], [8, 7]),
                    _told(("n",), "day", [["3", "3"]], ["2024-01-05", "1999-12-31"], [4, 4]),
                ],
                "fill": True,
                "mark": "repaired",
                "passes": 2,
            }
        )

    def needs(self) -> tuple[str, ...]:
        """The columns on both sides of its dependencies."""
        named = [c for d in self.state["dependencies"] for c in (*d["left"], d["right"])]
        return tuple(dict.fromkeys(named))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows repaired; raises ConfigurationError for a column that is missing or of an unsuitable type."""
        columns = self.needs()
        _suitable(rows, columns)
        known = {c for c in columns if rows.schema[c] != pl.Null}
        before = rows.select(pl.col(c).cast(pl.String) for c in columns)
        now = before
        for _ in range(self.state["passes"]):
            after = self._pass(now, known)
            if after.equals(now, null_equal=True):
                break
            now = after
        changed = {c: now[c].ne_missing(before[c]) for c in columns}
        kinds = rows.select(columns).schema
        out = rows.with_columns(
            _typed(now[c], kinds[c]).zip_with(changed[c], rows[c]) for c in columns if changed[c].any()
        )
        mark = self.state["mark"]
        if mark is None:
            return out
        if mark in user_columns(rows):
            raise ConfigurationError(
                f"repair makes a column '{mark}', and there is one of that name.", fix="Give 'mark' another name."
            )
        names = [pl.when(changed[c]).then(pl.lit(c)) for c in sorted(columns)]
        told = pl.concat_str(names, separator=", ", ignore_nulls=True) if names else pl.lit("")
        return out.with_columns(pl.when(told != "").then(told).otherwise(None).cast(pl.String).alias(mark))

    def _pass(self, now: pl.DataFrame, known: set[str]) -> pl.DataFrame:
        """Every column anew, from the columns as they were before."""
        by_right: dict[str, list[dict[str, Any]]] = {}
        for said in self.state["dependencies"]:
            by_right.setdefault(said["right"], []).append(said)
        return now.with_columns(self._voted(now, right, told) for right, told in by_right.items() if right in known)

    def _voted(self, now: pl.DataFrame, right: str, told: list[dict[str, Any]]) -> pl.Series:
        numbered = now.with_row_index(_ROW)
        votes = [_votes(numbered, said) for said in told]
        weights = pl.concat(votes).group_by(_ROW, _VALUE).agg(pl.col(_WEIGHT).sum())
        top = weights.filter(pl.col(_WEIGHT) == pl.col(_WEIGHT).max().over(_ROW))
        own = numbered.select(_ROW, pl.col(right).alias("own"))
        top = top.join(own, on=_ROW).filter(pl.lit(self.state["fill"]) | pl.col("own").is_not_null())
        single = pl.len().over(_ROW) == 1
        tied = top.filter(~single)
        kept = tied.filter(pl.col("own").eq_missing(pl.col(_VALUE)).any().over(_ROW))[_ROW].unique()
        tied = tied.filter(~pl.col(_ROW).is_in(kept.implode()))
        settled = {
            row: _nearest(own, values)
            for row, own, values in tied.group_by(_ROW).agg(pl.col("own").first(), _VALUE).rows()
        }
        chosen = pl.concat(
            [
                top.filter(single).select(_ROW, _VALUE),
                pl.DataFrame(
                    {_ROW: list(settled), _VALUE: list(settled.values())},
                    schema={_ROW: numbered.schema[_ROW], _VALUE: pl.String},
                ),
            ]
        )
        joined = own.join(chosen, on=_ROW, how="left", maintain_order="left")
        return joined.select(pl.coalesce(_VALUE, "own").alias(right))[right]


class Repair(RowFold):
    """Learn what groups of rows say about their cells; the result is a `Repaired`.

    A group says the value that most of its rows have (null is none), if it has at least `support` rows with one and
    that value at least the share `confidence` of them. Where several dependencies end in a column, each adds the share
    of its value, less for small groups (n of t rows weigh n / (t + 1)), and the heaviest value wins; a cell that has
    one of the heaviest already stays, else the one fewest edits away is taken, then the first by text. Repaired cells
    are looked up again, `passes` times at most, so that a left side that was repaired finds its group.

    Values are compared as text, and a null on the left is in no group. `mark` names the columns that were changed, row
    by row: count them with a profile of that column.

    What it cannot: tell which side is wrong. With one dependency a wrong left side that is another's right one changes
    the right side of its row; dependencies both ways (`zip -> city`, `name -> city`, `name -> zip`) outvote it.

    >>> step = Repair(dependencies=("zip -> city",), mark="repaired")
    >>> seen = pl.DataFrame({"zip": ["1", "1", "1", "2"], "city": ["Ulm", "Ulm", "Uml", "Rome"]})
    >>> step.finish(step.update(step.start(), seen)).apply(seen)["city"].to_list()
    ['Ulm', 'Ulm', 'Ulm', 'Rome']
    """

    dependencies: tuple[DependencyText, ...] = Field(
        (), description='what depends on what: "city, street -> zip", any number of columns on both sides'
    )
    find: Find | None = Field(None, description="find dependencies in the data besides: {columns: [...]}")
    support: int = Field(2, ge=2, description="fewest rows of a group that says something")
    confidence: float = Field(0.5, ge=0, le=1, description="least share of a group's rows that its value must have")
    weight: str | None = Field(None, description="column of integers that says how often a row counts; none: once")
    fill: bool = Field(False, description="whether cells without a value are filled, too")
    passes: int = Field(2, ge=1, le=10, description="how often repaired cells are looked up again, at most")
    mark: NewName | None = Field(None, description="column that is added: names of the cells changed in a row")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.dependencies and self.find is None:
            raise ValueError('name dependencies, such as ["zip -> city"], or let them be found: find: {columns: [...]}')
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(
            dependencies=("city -> day", "day, city -> n"),
            find=Find(columns=("city", "text", "day"), support=0.1, confidence=0.51),
            confidence=0.2,
            fill=True,
            mark="repaired",
        )

    def needs(self) -> tuple[str, ...]:
        """The columns of the dependencies, those in which others are looked for, the weight, and the condition's."""
        return self.named(*self._columns(), *([self.weight] if self.weight else []))

    def start(self) -> State:
        """No rows."""
        return self._combinations().start()

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing or unsuitable."""
        _suitable(rows, self._columns())
        if self.weight is not None:
            require(rows, [self.weight])
            dtype = rows.schema[self.weight]
            if not (dtype.is_integer() or dtype == pl.Null):
                raise ConfigurationError(
                    f"Column '{self.weight}' holds {dtype}, and weights are integers.",
                    fix=f"Make it whole numbers before: cast: {{columns: {{{self.weight}: int64}}}}."
                    if dtype == pl.String or dtype.is_numeric() or dtype == pl.Boolean
                    else "Name another column in 'weight'.",
                )
        return self._combinations().update(state, self.learnt(rows), self.weight)

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        return self._combinations().merge(a, b)

    def finish(self, state: State) -> Repaired:
        """The Map that repairs."""
        table = self._combinations().table(state)
        told = []
        for dependency in self._dependencies(table):
            said = leaders(table, dependency, self.support, self.confidence)
            weights = said.select(pl.col(COUNT) * WHOLE // (pl.col("total") + 1)).to_series().to_list()
            keys = [said[c].to_list() for c in dependency.left]
            told.append(_told(dependency.left, dependency.right, keys, said["value"].to_list(), weights))
        return Repaired(state={"dependencies": told, "fill": self.fill, "mark": self.mark, "passes": self.passes})

    def _combinations(self) -> Combinations:
        return Combinations(self._columns())

    def _columns(self) -> tuple[str, ...]:
        named = [c for text in self.dependencies for d in read_dependencies(text) for c in (*d.left, d.right)]
        return tuple(dict.fromkeys([*named, *(self.find.columns if self.find else ())]))

    def _dependencies(self, table: pl.DataFrame) -> list[Dependency]:
        given = [d for text in self.dependencies for d in read_dependencies(text)]
        if self.find is None:
            return list(dict.fromkeys(given))
        asked = self.find
        found = find(table, asked.columns, most=asked.left, support=asked.support, confidence=asked.confidence)
        return list(dict.fromkeys([*given, *found]))


def _told(
    left: Iterable[str], right: str, keys: list[list[str]], values: list[str], weights: list[int]
) -> dict[str, Any]:
    return {"left": list(left), "right": right, "keys": keys, "values": values, "weights": np.array(weights, np.int64)}


def _votes(numbered: pl.DataFrame, said: dict[str, Any]) -> pl.DataFrame:
    """What the groups of one dependency say of each row: `_row`, `_value`, `_weight`."""
    names = [f"_left{k}" for k in range(len(said["left"]))]
    lookup = pl.DataFrame(
        [pl.Series(n, texts, dtype=pl.String) for n, texts in zip(names, said["keys"], strict=True)]
        + [pl.Series(_VALUE, said["values"], dtype=pl.String), pl.Series(_WEIGHT, said["weights"], dtype=pl.Int64)]
    )
    found = numbered.select(_ROW, *said["left"]).join(lookup, left_on=said["left"], right_on=names)
    return found.select(_ROW, _VALUE, _WEIGHT)


def _nearest(own: str | None, values: list[str]) -> str:
    return min(values, key=lambda v: (distance(own or "", v), v))


def _suitable(rows: pl.DataFrame, columns: Iterable[str]) -> None:
    require(rows, columns)
    wrong = [c for c in columns if not _comparable(rows.schema[c])]
    if wrong:
        raise ConfigurationError(
            Problem(
                f"Column '{c}' holds {rows.schema[c]}, and repair compares texts, integers, truth values and dates. "
                + remedy(c, rows.schema[c], "text")
            )
            for c in wrong
        )


def _comparable(dtype: pl.DataType) -> bool:
    return dtype in {pl.String, pl.Boolean, pl.Date, pl.Null} or dtype.is_integer()


def _typed(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Texts of values of this type as such values."""
    if dtype == pl.Boolean:
        return texts == "true"
    typed = texts.str.to_date(strict=False) if dtype == pl.Date else texts.cast(dtype, strict=False)
    if typed.null_count() > texts.null_count():
        raise ConfigurationError(
            f"Column '{texts.name}' holds {dtype} now, and what was learnt for its repair is of another type.",
            fix="Learn it again: tillage run --refit TABLE",
        )
    return typed
