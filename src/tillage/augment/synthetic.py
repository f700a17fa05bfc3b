"""Rows made up from rows, to train on: what the steps of this room have in common.

Each row stays as it is, and every variation of it becomes a child: with `_parent`, an id of its own, and `_origin`, the
real row behind it, by which a split keeps it off the test side. A variation that changes nothing, or that an earlier
copy is equal to, is not made. Cost: the children's columns, and a hash for each.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.core.columns import expression, require, require_type
from tillage.core.expression import ConditionText, parse
from tillage.core.keys import child_ids
from tillage.core.rows import ID, ORIGIN, PARENT
from tillage.core.step import Map


class Augment(Map):
    """A Map that varies rows: a subclass says how the columns of some rows are varied once."""

    makes_children: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True
    kind: ClassVar[str] = "text"
    """What the columns must hold: "text" or "bytes"."""

    columns: tuple[str, ...] = Field(min_length=1, description="columns that are varied; all others are copied")
    copies: int = Field(1, ge=1, le=100, description="variations of each row; equal ones are made once")
    where: ConditionText | None = Field(None, description="condition that a row must fulfil to be varied; none: all")
    compound: bool = Field(
        False, description="vary the rows that earlier steps made up, too; else each step varies real rows alone"
    )
    seed: int = Field(0, description="another seed gives other variations")

    @abstractmethod
    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The columns that change, by name, once for each of these rows; null stays null."""

    def needs(self) -> tuple[str, ...]:
        """The columns varied, and those that the condition reads."""
        return tuple(dict.fromkeys([*self.columns, *(parse(self.where).columns if self.where else ())]))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, and after them their children.

        Raises ConfigurationError for columns that are missing or of another type, Unavailable without the library.
        """
        require_type(rows, self.columns, self.kind)
        require(rows, self.needs())
        own = familiar(rows)
        varied = own if self.compound else own.filter(pl.col(ORIGIN).is_null())
        if self.where is not None:
            varied = varied.filter(expression(rows, self.where, condition=True).fill_null(False))
        made, before = [own], [varied]
        for copy in range(self.copies if varied.height else 0):
            found = self.vary(varied, Chance(varied[ID], f"{self.name()}:{self.seed}:{copy}"))
            changed = varied.with_columns(s.cast(varied.schema[name]).alias(name) for name, s in found.items())
            fresh = pl.Series([True]).new_from_index(0, varied.height)
            for other in before:
                fresh &= differ(changed, other, list(found))
            before.append(changed)
            made.append(children(changed, self._label(copy)).filter(fresh))
        return pl.concat(made)

    def _label(self, copy: int) -> str:
        """What tells this child of a row from those of other steps, and of this step with other parameters."""
        return f"{self.name()}:{json.dumps(self.params(), sort_keys=True)}:{copy}"


class AugmentText(Augment):
    """An Augment of texts."""

    share: float = Field(0.1, gt=0, le=1, description="share of a text's words that are changed, one at least")


def familiar(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns `_parent` and `_origin`, null where they had none.

    >>> familiar(pl.DataFrame({"n": [1]})).columns
    ['n', '_parent', '_origin']
    """
    missing = [c for c in (PARENT, ORIGIN) if c not in rows.columns]
    return rows.with_columns(pl.lit(None, dtype=pl.UInt128).alias(c) for c in missing)


def children(rows: pl.DataFrame, label: str) -> pl.DataFrame:
    """The rows as children of themselves: same columns, ids of their own, `_parent` and `_origin` set.

    >>> rows = familiar(pl.DataFrame({"_id": pl.Series([1, 2], dtype=pl.UInt128)}))
    >>> children(rows, "copy:0").select("_parent", "_origin").rows()
    [(1, 1), (2, 2)]
    """
    return rows.with_columns(
        child_ids(rows[ID], label).alias(ID), pl.col(ID).alias(PARENT), pl.coalesce(ORIGIN, ID).alias(ORIGIN)
    )


def differ(a: pl.DataFrame, b: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Which rows differ in one of the columns.

    >>> differ(pl.DataFrame({"n": [1, None]}), pl.DataFrame({"n": [2, None]}), ["n"]).to_list()
    [True, False]
    """
    out = pl.Series([False]).new_from_index(0, a.height)
    for column in columns:
        out |= a[column].ne_missing(b[column])
    return out
