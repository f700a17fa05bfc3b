"""Whom a request is about: the row whose key it brings, the subject that it names; so its answers are on the thread.

Neither the key nor the subject is kept. A row goes by its row_id, which the store gives to that key; a subject by a
keyed mark. Both are made for a group of requests at once, off the path of the answer: 0.5 ms a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from tillage.core.keys import Keyring
from tillage.flow.plan import Plan, Table
from tillage.serve.prediction_ids import Ids

About = tuple[str, str, str]
"""A prediction, the row_id or the mark (32 hexadecimal digits each), and the table of the row; "" for a subject."""


@dataclass(frozen=True)
class Linkage:
    """Which columns of a request name the row and the subject that it is about."""

    table: str = ""
    """The table that collects, whose key it is; empty when a request's rows cannot be told by a key."""
    key: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    """Columns that tables on the way declare as their subject."""
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All that it needs of a request."""
        return tuple(dict.fromkeys((*self.key, *self.subjects)))

    def about(self, keys: Keyring, ids: Ids, names: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> list[About]:
        """What the rows of these predictions are about; nothing where a key or a subject is null or empty."""
        texts = {c: pl.Series(c, columns[c], dtype=self.schema[c]).cast(pl.String) for c in self.columns}
        found: list[About] = []
        if self.key:
            brought = pl.DataFrame([pl.Series("id", names), *(texts[c].alias(f"k{n}") for n, c in enumerate(self.key))])
            brought = brought.drop_nulls()
            if brought.height:
                keyed = brought.drop("id").rename({f"k{n}": c for n, c in enumerate(self.key)})
                rows = keys.row_ids(self.table, keyed, self.key).to_list()
                found += [(n, f"{row:032x}", self.table) for n, row in zip(brought["id"].to_list(), rows, strict=True)]
        for column in self.subjects:
            found += [
                (name, f"{ids.subject(text):032x}", "")
                for name, text in zip(names, texts[column].to_list(), strict=True)
                if text
            ]
        return found


def linkage(plan: Plan, start: str, end: str, schema: Mapping[str, pl.DataType]) -> Linkage:
    """By what requests say whom they are about, from table `start` on their way to the model's table `end`.

    The key is that of the only table behind `start` that collects and declares one; a subject is a column that a table
    behind `end` declares, and that requests may bring.

    >>> from pathlib import Path
    >>> notes = Table.model_construct(name="notes", key=("id",), subject="person", inputs=(), source=None)
    >>> plan = Plan.model_construct(project="p", root=Path(), store=Path(), tables={"notes": notes})
    >>> linkage(plan, "notes", "notes", {"person": pl.String()}).subjects
    ('person',)
    """
    keyed = [t for t in behind(plan, start) if t.source is not None and t.key]
    table = keyed[0] if len(keyed) == 1 and all(c in schema for c in keyed[0].key) else None
    declared = {t.subject: None for t in (*behind(plan, start), *behind(plan, end)) if t.subject}
    subjects = tuple(c for c in declared if c in schema)
    known = {c: schema[c] for c in (*(table.key if table else ()), *subjects)}
    return Linkage(table.name if table else "", table.key if table else (), subjects, known)


def behind(plan: Plan, name: str) -> list[Table]:
    """A table and all that it is made from."""
    found: dict[str, Table] = {}
    waiting = [name]
    while waiting:
        table = plan.tables[waiting.pop()]
        if table.name not in found:
            found[table.name] = table
            waiting += [source for _, source in table.inputs]
    return list(found.values())
