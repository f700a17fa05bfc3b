"""A fair sample of whole rows: those whose `_id` comes first by a hash, the same in whatever order rows came.

Any part of the rows yields its own first ones, and the first of all are among them, so samples merge exactly; a row
that is erased gives way to the next at the fold that follows. The state is the rows kept, as plain values.
Source: Cohen and Kaplan, Summarizing data using bottom-k sketches, PODC 2007.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tillage.core.keys import fraction
from tillage.core.rows import ID, high, low
from tillage.core.state import State

_AT = "_at"


class RowSample:
    """`size` rows of some columns, each row equally likely; `salt` draws another sample.

    >>> sample = RowSample(("x",), 2, "salt")
    >>> rows = pl.DataFrame({"_id": [1, 2, 3], "x": [10, 20, 30]}, schema_overrides={"_id": pl.UInt128})
    >>> len(sample.update(sample.start(), rows)["rows"]["x"])
    2
    """

    def __init__(self, columns: Sequence[str], size: int, salt: str) -> None:
        """`columns`: what is kept of a row; `size`: rows at most."""
        self.columns, self.size, self.salt = tuple(columns), size, salt

    def start(self) -> State:
        """No row."""
        return {"at": [], "rows": {c: [] for c in self.columns}}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows, which bear `_id` and values that a state may hold."""
        drawn = rows.select(fraction(rows[ID], self.salt).alias(_AT), ID, *self.columns)
        first = drawn.sort(_AT, ID).head(self.size)
        places = first.select(pl.col(_AT), high(ID).alias("high"), low(ID).alias("low")).rows()
        return self.merge(
            state, {"at": [list(p) for p in places], "rows": {c: first[c].to_list() for c in self.columns}}
        )

    def merge(self, a: State, b: State) -> State:
        """The first rows of both."""
        at = [*a["at"], *b["at"]]
        order = sorted(range(len(at)), key=at.__getitem__)[: self.size]
        columns = {c: [*a["rows"][c], *b["rows"][c]] for c in self.columns}
        return {"at": [at[i] for i in order], "rows": {c: [v[i] for i in order] for c, v in columns.items()}}
