"""Functional dependencies: what a table's columns say about each other, and how firmly the rows bear it out.

All is read off the table of the different combinations (`measure.combinations`) and how often each occurs.
Sources: Kivinen and Mannila, Approximate inference of functional dependencies from relations, Theoretical Computer
Science 149 (1995); Goodman and Kruskal, Measures of association for cross classifications, JASA 49 (1954): lambda, the
share of errors that knowing the left side saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated, NamedTuple

import polars as pl
from pydantic import AfterValidator

from tillage.measure.combinations import COUNT


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
