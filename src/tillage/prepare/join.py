"""Rows of two tables side by side, by equal keys or as of a time. Cost: a sort of the touched keys.

As of a time each left row gets the last right row that is not later than itself, so that a row is never given what was
not yet known when it happened (law 10). A change costs the keys that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import ID, user_columns
from tillage.core.step import Group
from tillage.prepare.columns import require
from tillage.prepare.moments import Length, length_in_ticks, require_time, ticks

KEY = "_key"
_TIME, _FOUND = "_time", "_found"
"""Columns of ours while rows are being joined."""


class Join(Group):
    """Add columns of the rows of `right` to those of `left` that have the same key: `from: {left: A, right: B}`.

    Without `as_of` each left row stands beside each right row of its key. With it, beside one: the last whose time is
    not after its own, and with `within` not further back; of several at one time the one with the greatest _id. A row
    without a time has none as of it. A null in a key equals nothing, and keys are equal as texts (7 equals "7"), so
    that keys of two types which are never written alike (7 and 7.0, a day and a time) are an error. A column of `right`
    that `left` has, too, is called NAME_right.

    >>> left = pl.DataFrame({"_key": [1, 1], "_id": [1, 2], "who": ["a", "a"], "at": [5, 9]})
    >>> right = pl.DataFrame({"_key": [1, 1], "_id": [3, 4], "who": ["a", "a"], "at": [3, 9], "price": [10, 20]})
    >>> Join(on=("who",), as_of="at").apply({"left": left, "right": right}).select("at", "price").rows()
    [(5, 10), (9, 20)]
    """

    version: ClassVar[int] = 2
    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    on: Columns = Field(min_length=1, description="columns whose values must be equal")
    right_on: tuple[str, ...] = Field((), description="what they are called in `right`, in order; none: the same")
    how: Literal["left", "inner"] = Field(
        "left", description="left: every left row, with nulls where it has no partner; inner: those with a partner"
    )
    take: tuple[str, ...] = Field((), description="columns of `right` that are added; none: all but key and time")
    as_of: str | None = Field(None, description="column of `left` that says when a row happened; none: a plain join")
    right_as_of: str | None = Field(None, description="what it is called in `right`; none: the same")
    within: Length | None = Field(None, description="how far back a partner may lie, such as 7d or 36h; none: any time")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.right_on and len(self.right_on) != len(self.on):
            raise ValueError(f"'right_on' names {len(self.right_on)} columns, and 'on' {len(self.on)}")
        if self.as_of is None and (self.right_as_of is not None or self.within is not None):
            raise ValueError("'right_as_of' and 'within' need 'as_of', the column of the time")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(on=("city",), as_of="n", right_as_of="id", take=("text", "n", "day"), within="9")

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns in `on`, or `right_on`."""
        key = self.right_on if port == "right" and self.right_on else self.on
        require(rows, key)
        return key

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The joined rows; raises ConfigurationError for columns that are missing, or times that do not compare."""
        left, right = rows["left"], rows["right"]
        self._keys_compare(left, right)
        added = self._added(left, right)
        known = right.filter(pl.all_horizontal(pl.col(self.key(right, "right")).is_not_null()))
        partners = known.select(KEY, ID, *(pl.col(old).alias(new) for new, old in added.items()))
        kept = left.select(KEY, *user_columns(left))
        if self.as_of is None:
            return kept.join(partners.drop(ID), on=KEY, how=self.how)
        self._times_compare(left, right, self.as_of)
        partners = partners.with_columns(
            ticks(known[self._right_time()]).alias(_TIME), pl.lit(value=True).alias(_FOUND)
        )
        return self._last(kept.with_columns(ticks(left[self.as_of]).alias(_TIME)), partners, left.schema[self.as_of])

    def _last(self, left: pl.DataFrame, right: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
        """Each left row with the last right row of its key that is not later; both have their time in `_TIME`."""
        sorted_right = right.drop_nulls(_TIME).sort(_TIME, ID).drop(ID)
        found = (
            left.drop_nulls(_TIME)
            .sort(_TIME)
            .join_asof(
                sorted_right,
                on=_TIME,
                by=KEY,
                tolerance=None if self.within is None else length_in_ticks(dtype, self.within, str(self.as_of)),
                check_sortedness=False,  # it is sorted by time, which Polars cannot tell by key
            )
        )
        alone = left.filter(pl.col(_TIME).is_null())
        out = pl.concat([found, alone], how="diagonal")
        if self.how == "inner":
            out = out.filter(pl.col(_FOUND).is_not_null())
        return out.drop(_TIME, _FOUND)

    def _right_time(self) -> str:
        return self.right_as_of or str(self.as_of)

    def _added(self, left: pl.DataFrame, right: pl.DataFrame) -> dict[str, str]:
        """New name to name in `right` of the columns that are added."""
        require(right, self.take)
        unseen = {*self.key(right, "right"), *([self._right_time()] if self.as_of else [])}
        names = self.take or [c for c in user_columns(right) if c not in unseen]
        added = {f"{c}_right" if c in left.columns else c: c for c in names}
        clash = [new for new, old in added.items() if new != old and (new in left.columns or new in names)]
        if clash:
            raise ConfigurationError(
                Problem(f"join makes a column '{c}', and there is one of that name. Rename it before.") for c in clash
            )
        return added

    def _keys_compare(self, left: pl.DataFrame, right: pl.DataFrame) -> None:
        pairs = zip(self.key(left, "left"), self.key(right, "right"), strict=True)
        wrong = [(a, b) for a, b in pairs if not _written_alike(left.schema[a], right.schema[b])]
        if wrong:
            raise ConfigurationError(
                (
                    Problem(
                        f"'{a}' holds {left.schema[a]} and '{b}' of the right table {right.schema[b]}, which are never"
                        " written alike, so no row would have a partner."
                    )
                    for a, b in wrong
                ),
                fix="Bring both to one type with `cast` before the join.",
            )

    def _times_compare(self, left: pl.DataFrame, right: pl.DataFrame, time: str) -> None:
        require_time(left, time)
        require_time(right, self._right_time())
        a, b = left.schema[time], right.schema[self._right_time()]
        if a != b and pl.Null not in {a, b} and not (a.is_integer() and b.is_integer()):
            raise ConfigurationError(
                f"'{time}' holds {a} and '{self._right_time()}' of the right table {b}, which do not compare.",
                fix="Bring both to one type with `cast` or `parse_dates`.",
            )


def _written_alike(a: pl.DataType, b: pl.DataType) -> bool:
    """Whether values of the two types can have one text; a text may hold what either writes.

    >>> _written_alike(pl.Int64(), pl.Float64()), _written_alike(pl.Categorical(), pl.Enum(["a"]))
    (False, True)
    """
    words = (pl.String, pl.Categorical, pl.Enum)
    if a == b or pl.Null in (a, b) or pl.String in (a, b):
        return True
    return any((a.is_integer() and b.is_integer(), a.is_float() and b.is_float(), a in words and b in words))
