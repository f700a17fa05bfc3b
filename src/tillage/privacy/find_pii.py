"""Rows with personal data are marked. Cost: that of the recogniser; a column without digits costs a filter."""

from __future__ import annotations

from typing import Self

import polars as pl
from pydantic import Field

from tillage.core.columns import NewName
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.privacy.looking import Looking


class FindPii(Looking, Map):
    """Add a column that says which types of personal data a row holds: `email, phone`; null where none was found.

    The types, never the values, so that the column may be shown. Columns of whole numbers are looked into as well,
    since a column of telephone numbers is read as one. What has no structure (names, addresses) is found by `words`
    and `cells`, and by `spans` that a model marked. With `leave` those rows leave, with the reason `pii`.

    >>> rows = pl.DataFrame({"note": ["call 13812345678", "mail a.b@example.org or +44 20 7946 0018", "fine"]})
    >>> FindPii().apply(rows)["pii"].to_list()
    ['phone', 'email, phone', None]
    """

    column: NewName = Field("pii", description="name of the new column")
    leave: bool = Field(False, description="rows in which something is found leave, with the reason 'pii'")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text", "day"), words={"town": ("Ulm", "\u5317\u4eac")}, cells={"city": "town"})

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the column; raises ConfigurationError for a column that is missing or holds something else."""
        held: dict[int, set[str]] = {}
        for column in self.looked_at(rows, whole_numbers=True):
            for at, spans in self.found_in(rows, column).items():
                held.setdefault(at, set()).update(span.type for span in spans)
        said: list[str | None] = [None] * rows.height
        for at, types in held.items():
            said[at] = ", ".join(sorted(types))
        marked = rows.with_columns(pl.Series(self.column, said, dtype=pl.String))
        return leave(marked, "pii", pl.col(self.column).is_not_null()) if self.leave else marked
