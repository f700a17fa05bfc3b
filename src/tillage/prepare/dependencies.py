"""Functional dependencies: what a table's columns say about each other, and how firmly the rows bear it out.

Rows count by their different combinations of values, exactly and in any order; all else is read off that table, which
holds at most the columns looked at, as codes of 4 bytes. Sources: Kivinen and Mannila, Approximate inference of
functional dependencies from relations, Theoretical Computer Science 149 (1995); Goodman and Kruskal, Measures of
association for cross classifications, JASA 49 (1954): lambda, the share of errors that knowing the left side saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import AfterValidator

from tillage.core.state import State

COUNT = "_count"
"""How many rows have a combination."""

Codes = npt.NDArray[np.int32]


class Dependency(NamedTuple):
    """Rows equal in the columns `left` shall be equal in the column `right`."""

    left: tuple[str, ...]
    right: str

    def __str__(self) -> str:
        """As it is written in a plan."""
        return f"{', '.join(self.left)} -> {self.right}"


def read_dependencies(text: str) -> tuple[Dependency, ...]:
    """The dependencies of `city, street -> zip`, one for each column on the right; ValueError says what is wrong.

    >>> read_dependencies("zip -> city, state")
    (Dependency(left=('zip',), right='city'), Dependency(left=('zip',), right='state'))
    """
    sides = [[name.strip() for name in side.split(",")] for side in text.split("->")]
    if len(sides) != 2 or not all(name for side in sides for name in side):
        raise ValueError(f"{text!r} is not of the form COLUMN, ... -> COLUMN, ..., such as: city, street -> zip")
    left, right = sides
    both = [name for name in right if name in left]
    if both:
        raise ValueError(f"{text!r} has '{both[0]}' on both sides: a column always depends on itself")
    return tuple(Dependency(tuple(left), name) for name in right)


def _valid(text: str) -> str:
    read_dependencies(text)
    return text


DependencyText = Annotated[str, AfterValidator(_valid)]


class Combinations:
    """The different combinations of values of some columns, and how often each occurs; states merge exactly.

    A state is `{"values": {column: texts in order}, "codes": combinations x columns, "counts": ...}`; code -1 is null.

    >>> c = Combinations(("zip", "city"))
    >>> state = c.update(c.start(), pl.DataFrame({"zip": ["1", "1"], "city": ["Ulm", "Ulm"]}), None)
    >>> c.table(state).rows()
    [('1', 'Ulm', 2)]
    """

    def __init__(self, columns: Sequence[str]) -> None:
        """`columns`: those that are looked at."""
        self.columns = tuple(columns)

    def start(self) -> State:
        """No combination."""
        return self._state({c: [] for c in self.columns}, np.empty((0, len(self.columns)), np.int32), np.empty(0, int))

    def update(self, state: State, rows: pl.DataFrame, weight: str | None) -> State:
        """The state with these rows; each counts once, or as often as its `weight` says (null: not at all)."""
        count = pl.lit(1, dtype=pl.Int64) if weight is None else pl.col(weight).cast(pl.Int64).fill_null(0)
        texts = rows.select(*(pl.col(c).cast(pl.String) for c in self.columns), count.alias(COUNT))
        grouped = texts.group_by(self.columns).agg(pl.col(COUNT).sum()).filter(pl.col(COUNT) > 0)
        return self.merge(state, self._coded(grouped))

    def merge(self, a: State, b: State) -> State:
        """The combinations of both."""
        if not len(a["counts"]) or not len(b["counts"]):
            return a if len(a["counts"]) else b
        both = pl.concat([self.table(a), self.table(b)])
        return self._coded(both.group_by(self.columns).agg(pl.col(COUNT).sum()))

    def table(self, state: State) -> pl.DataFrame:
        """A row for each combination: the values as texts, and COUNT."""
        codes = state["codes"]
        columns = [
            pl.Series(c, state["values"][c], dtype=pl.String).gather(
                pl.Series(np.where(codes[:, k] < 0, 0, codes[:, k])).set(pl.Series(codes[:, k] < 0), None)
            )
            if state["values"][c]
            else pl.Series(c, [None] * len(codes), dtype=pl.String)
            for k, c in enumerate(self.columns)
        ]
        return pl.DataFrame([*columns, pl.Series(COUNT, state["counts"], dtype=pl.Int64)])

    def _coded(self, grouped: pl.DataFrame) -> State:
        values = {c: grouped[c].drop_nulls().unique().sort().to_list() for c in self.columns}
        codes = grouped.select(
            pl.col(c).replace_strict(texts, range(len(texts)), default=None, return_dtype=pl.Int32).fill_null(-1)
            if texts
            else pl.lit(-1, dtype=pl.Int32).alias(c)
            for c, texts in values.items()
        )
        if not grouped.height:
            return self.start()
        placed = codes.with_columns(grouped[COUNT]).sort(self.columns)
        return self._state(values, placed.drop(COUNT).to_numpy(), placed[COUNT].to_numpy())

    def _state(self, values: dict[str, list[str]], codes: npt.NDArray[Any], counts: npt.NDArray[Any]) -> State:
        return {
            "values": values,
            "codes": np.ascontiguousarray(codes, dtype=np.int32).reshape(-1, len(self.columns)),
            "counts": np.ascontiguousarray(counts, dtype=np.int64),
        }


def leaders(table: pl.DataFrame, dependency: Dependency, support: int, confidence: float) -> pl.DataFrame:
    """What groups say: the columns on the left, `value`, COUNT, `total`; several lines where some tie.

    A group says something when at least `support` rows have a value on the right and its most frequent value has at
    least the share `confidence` of them. Nulls say nothing.
    """
    left = list(dependency.left)
    known = table.select(*left, pl.col(dependency.right).alias("value"), COUNT).drop_nulls()
    counted = known.group_by([*left, "value"]).agg(pl.col(COUNT).sum())
    total = pl.col(COUNT).sum().over(left)
    counted = counted.with_columns(total.alias("total"), (pl.col(COUNT) == pl.col(COUNT).max().over(left)).alias("top"))
    agreed = pl.col(COUNT) >= confidence * pl.col("total")
    told = counted.filter((pl.col("total") >= support) & pl.col("top") & agreed)
    return told.select(*left, "value", COUNT, "total").sort([*left, "value"])


def strength(table: pl.DataFrame, dependency: Dependency) -> tuple[int, float, float]:
    """(rows in groups of two or more, share of them that have their group's most frequent value, lambda there)."""
    known = table.select(*dependency.left, pl.col(dependency.right).alias("value"), COUNT).drop_nulls()
    counted = known.group_by([*dependency.left, "value"]).agg(pl.col(COUNT).sum())
    total = pl.col(COUNT).sum().over(list(dependency.left))
    counted = counted.filter(total > 1)
    rows = int(counted[COUNT].sum())
    if not rows:
        return 0, 0.0, 0.0
    right = int(counted.group_by(list(dependency.left)).agg(pl.col(COUNT).max())[COUNT].sum())
    usual = int(counted.group_by("value").agg(pl.col(COUNT).sum())[COUNT].max())  # type: ignore[arg-type]
    return rows, right / rows, (right - usual) / (rows - usual) if rows > usual else 0.0


def find(
    table: pl.DataFrame, columns: Sequence[str], *, most: int, support: float, confidence: float
) -> Iterator[Dependency]:
    """The dependencies that hold nearly: at most `most` columns on the left, and none whose part already does.

    `support`: share of all rows that stand in groups of two or more. `confidence`: least share of these that agree with
    their group, and least lambda; the latter leaves out columns that are nearly the same everywhere.
    """
    rows = int(table[COUNT].sum())
    for right in columns:
        found: list[Dependency] = []
        for size in range(1, most + 1):
            for left in combinations([c for c in columns if c != right], size):
                if any(set(d.left) <= set(left) for d in found):
                    continue
                dependency = Dependency(left, right)
                grouped, agreeing, saved = strength(table, dependency)
                if rows and grouped >= support * rows and agreeing >= confidence and saved >= confidence:
                    found.append(dependency)
        yield from found
