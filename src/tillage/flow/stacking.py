"""Tables stacked on one another: one schema for all, or an error that says which columns do not go together.

A column that one table lacks is null there. Integers of different widths become Int64, a null column takes the type
of the others; anything else would change values, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import ID, without
from tillage.store.tables import ROWS, Draft, Store

Shape = dict[str, pl.DataType]

TWICE = "twice"
"""The fact of a stack's version that says how many rows stand in it more than once."""


def common_shape(tables: Mapping[str, pl.Schema], target: str) -> Shape:
    """The schema of all tables stacked, in the order in which columns first appear.

    >>> common_shape({"a": pl.Schema({"x": pl.Int8()}), "b": pl.Schema({"x": pl.Int64(), "y": pl.String()})}, "both")
    {'x': Int64, 'y': String}
    """
    found: dict[str, dict[str, pl.DataType]] = {}
    for table, schema in tables.items():
        for column, dtype in schema.items():
            if not column.startswith("_"):
                found.setdefault(column, {})[table] = dtype
    shape: Shape = {}
    problems = []
    for column, kinds in found.items():
        held = {k for k in kinds.values() if k != pl.Null()}
        if len(held) <= 1:
            shape[column] = next(iter(held), pl.Null())
        elif all(k.is_signed_integer() for k in held):
            shape[column] = pl.Int64()
        else:
            said = ", ".join(f"{k} in '{t}'" for t, k in kinds.items())
            problems.append(Problem(f"Table '{target}' stacks tables whose column '{column}' is {said}."))
    if problems:
        raise ConfigurationError(problems, fix="Declare `types` where they are collected, or select other columns.")
    return shape


def standing_twice(store: Store, draft: Draft) -> int:
    """How many rows of a stage's next version stand in it more than once: 16 bytes a row, for stacks of kin alone."""
    shown = [pl.Series(ID, [], dtype=pl.UInt128)]
    for chunk in store.chunks(draft.stage, ROWS):
        if chunk.id not in draft.ended:
            rows = store.read(chunk, columns=[ID])
            gone = draft.removals.get(chunk.id)
            shown.append((rows if gone is None else without(rows, gone))[ID])
    fresh = [new.stored for new in draft.added if new.part == ROWS]
    shown += [store.objects.get_frame(stored.name, stored.checksum, [ID])[ID] for stored in fresh]
    every = pl.concat(shown)
    return len(every) - every.n_unique()


def refuse_twice(store: Store, stacks: Iterable[str], target: str) -> None:
    """Raise ConfigurationError when a row stands twice above a step that tells rows apart by their id."""
    for stack in stacks:
        version = store.latest(stack)
        twice = int(version.facts.get(TWICE, 0)) if version is not None else 0
        if version is not None and twice:
            tables = " and ".join(f"'{name}'" for name in sorted(version.inputs))
            raise ConfigurationError(
                f"'{target}' looks across rows of {tables} together, and {twice:,} of the rows stand in both: they "
                "come from one source, so they are one row.",
                fix="Filter the tables so that no row is in both, or collect the second one from files of its own.",
            )


def fitted(rows: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The rows with every column of `shape`, in its order and types, after the reserved ones."""
    reserved = [c for c in rows.columns if c.startswith("_")]
    columns = [
        pl.col(c).cast(dtype) if c in rows.columns else pl.lit(None, dtype=dtype).alias(c) for c, dtype in shape.items()
    ]
    return rows.select(*reserved, *columns)
