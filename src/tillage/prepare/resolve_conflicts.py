"""Rows that carry one key and contradict each other become one row, cell by cell; or leave, all of them.

`resolve_conflicts` makes one new row a key (a Group, so a change costs the touched keys and `trace` leads to every row
that took part); `drop_conflicts` keeps the rows of keys that do not contradict (a Whole that follows changes). To keep
one whole row of each key use `drop_duplicates: {columns: [KEY], keep: {last: COLUMN}}`.
Source: Bleiholder and Naumann, Data fusion, ACM Computing Surveys 41(1), 2008 (vote, trust the latest).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID, INTO, REASON, leave, user_columns
from tillage.core.step import Group, Keyed, Whole
from tillage.prepare.columns import NewName, require
from tillage.prepare.touched import KEY, content_keys, follow

CONFLICT = "conflict"
"""The reason of a row that leaves since another row of its key contradicts it."""

Policy = Literal["majority", "first", "last", "least", "greatest"]


class ResolveConflicts(Group):
    """One row for each key; each other column gets one of the values that the rows of the key have.

    `majority`: the most frequent, of equally frequent ones the latest by `order`. `first`, `last`: by `order`.
    `least`, `greatest`: by value. What still ties goes to the least value. A null is no value, and is taken only where
    no row has one; so a key's row may hold the name from one row and the address from another. NaN counts as null.
    Keys are equal as texts, and a key of nulls is one, too.

    >>> rows = pl.DataFrame({"_key": [1, 1, 1, 2], "id": [7, 7, 7, 8], "city": ["Ulm", "Ulm", "Rome", None],
    ...                      "day": [1, 2, 3, 4], "plan": ["a", "b", None, "c"]})
    >>> step = ResolveConflicts(by=("id",), order="day", columns={"plan": "last"}, conflicts="differ")
    >>> step.apply({"rows": rows}).drop("_key").rows()
    [(7, 'Ulm', 3, 'b', 'city, day, plan'), (8, None, 4, 'c', None)]
    """

    by: Columns = Field(min_length=1, description="columns whose values make the key")
    cells: Policy = Field("majority", description="which value a cell gets where rows contradict")
    columns: dict[str, Policy] = Field({}, description="column to another policy than `cells`")
    order: str | None = Field(None, description="column that says which row is later, such as a date")
    conflicts: NewName | None = Field(None, description="column that is added: names of the columns that contradicted")

    @model_validator(mode="after")
    def _order_is_given(self) -> Self:
        if self.order is None and {"first", "last"} & {self.cells, *self.columns.values()}:
            raise ValueError("'first' and 'last' need 'order', the column that says which row is later")
        both = sorted(set(self.by) & {*self.columns, *([self.conflicts] if self.conflicts else [])})
        if both:
            raise ValueError(f"'{both[0]}' is a column of the key: rows of one key do not differ there")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(by=("city",), order="x", columns={"n": "greatest", "id": "first"}, conflicts="differ")

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns in `by`."""
        require(rows, [*self.by, *self.columns, *([self.order] if self.order else [])])
        return self.by

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """One row a key, sorted by `_key`: the columns as they stood, and `conflicts`."""
        frame = rows["rows"]
        self.key(frame, "rows")
        columns = user_columns(frame)
        if self.conflicts in columns:
            raise ConfigurationError(
                f"resolve_conflicts makes a column '{self.conflicts}', and there is one of that name.",
                fix="Give 'conflicts' another name.",
            )
        valued = frame.select(KEY, *(_value(frame, c) for c in columns))
        out = valued.select(KEY).unique().sort(KEY)
        differ = []
        for c in columns:
            known = valued.filter(pl.col(c).is_not_null())
            order = pl.col(self.order) if self.order else pl.lit(None, dtype=pl.Int8)
            seen = known.group_by(KEY, pl.col(c).alias("v")).agg(
                pl.len().alias("n"), order.min().alias("first"), order.max().alias("last")
            )
            chosen = seen.sort(*self._ranked(c, seen)).group_by(KEY, maintain_order=True).first()
            joined = out.select(KEY).join(chosen, on=KEY, how="left", maintain_order="left")
            several = seen.group_by(KEY).len("values")
            apart = out.select(KEY).join(several, on=KEY, how="left", maintain_order="left")["values"].fill_null(0) > 1
            out = out.with_columns(joined["v"].alias(c))
            if c not in self.by:
                differ.append(pl.when(pl.lit(apart)).then(pl.lit(c)))
        if self.conflicts is None:
            return out
        told = pl.concat_str(differ, separator=", ", ignore_nulls=True) if differ else pl.lit("")
        return out.with_columns(pl.when(told != "").then(told).otherwise(None).cast(pl.String).alias(self.conflicts))

    def _ranked(self, column: str, seen: pl.DataFrame) -> list[pl.Series]:
        """By what the values of a column are sorted, the one to be taken first."""
        policy = "least" if column in self.by else self.columns.get(column, self.cells)
        value = (
            seen["v"].rank("dense").cast(pl.Int64)
            if seen["v"].dtype != pl.Null
            else pl.zeros(seen.height, pl.Int64, eager=True)
        )
        late = seen["last"].rank("dense").cast(pl.Int64).fill_null(0)
        early = seen["first"].rank("dense").cast(pl.Int64).fill_null(seen.height + 1)
        wanted = {
            "majority": [-seen["n"].cast(pl.Int64), -late],
            "first": [early],
            "last": [-late],
            "least": [],
            "greatest": [-value],
        }[policy]
        return [seen[KEY], *wanted, value]


class DropConflicts(Whole):
    """Rows that carry one key and contradict each other leave, every one, with reason `conflict`.

    Rows contradict when they have different values in one of `columns` (none named: all but the key); two nulls are
    equal, and so are two NaN, but a null and a value are not.

    >>> rows = pl.DataFrame({"id": [7, 7, 8], "city": ["Ulm", "Rome", "Ulm"]})
    >>> rows = rows.with_columns(_id=pl.int_range(3).cast(pl.UInt128))
    >>> DropConflicts(by=("id",)).compute({"rows": rows})["_reason"].to_list()
    ['conflict', 'conflict', None]
    """

    incremental: ClassVar[bool] = True

    by: Columns = Field(min_length=1, description="columns whose values make the key")
    columns: Columns = Field((), description="columns that must agree; none named: all but the key")

    @model_validator(mode="after")
    def _key_apart(self) -> Self:
        both = [c for c in self.columns if c in self.by]
        if both:
            raise ValueError(f"'{both[0]}' is a column of the key: rows of one key do not differ there")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(by=("city", "day"), columns=("n",))

    def needs(self) -> tuple[str, ...]:
        """The key and the columns compared."""
        return (*self.by, *self.columns)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, those that leave marked."""
        rows = inputs["rows"]
        decisions = _apart(self.entries(rows))
        return leave(rows, CONFLICT, pl.lit(decisions[REASON].is_not_null()))

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_id`, `_key` (the hash of the key) and `says` (the hash of the columns that must agree)."""
        require(rows, self.needs())
        compared = sorted(self.columns or [c for c in user_columns(rows) if c not in self.by])
        keys = content_keys(rows, sorted(self.by))
        says = content_keys(rows, compared) if compared else pl.repeat(0, rows.height, dtype=pl.UInt128, eager=True)
        return rows.select(ID, keys.alias(KEY), says.alias("says"))

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on rows of their keys that now fare otherwise."""
        return follow(state, added, removed, _apart)


def _apart(entries: pl.DataFrame) -> pl.DataFrame:
    contradict = pl.col("says").min().over(KEY) != pl.col("says").max().over(KEY)
    return entries.select(
        ID,
        pl.when(contradict).then(pl.lit(CONFLICT)).alias(REASON),
        pl.lit(None, dtype=pl.UInt128).alias(INTO),
    )


def _value(frame: pl.DataFrame, column: str) -> pl.Expr:
    """The column with NaN as null and one zero, as they count."""
    if not frame.schema[column].is_float():
        return pl.col(column)
    known = pl.col(column).fill_nan(None)
    return pl.when(known == 0).then(pl.lit(0.0, dtype=frame.schema[column])).otherwise(known).alias(column)
