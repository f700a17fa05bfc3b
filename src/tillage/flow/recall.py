"""What a Whole may ask while it follows a change: its index, and the entries of rows made anew, heavy columns and all.

The index leaves out what weighs (texts); the few rows that a change asks for are read where they stand in the input.
Where a chunk or two would hold them the locator says which; more are looked for in every chunk, since the ids must be
read to find them anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import polars as pl

from tillage.core.rows import ID, PARENT, drop_columns, only
from tillage.core.step import Whole
from tillage.flow.engine import Engine
from tillage.flow.stages import Stage
from tillage.store.index import KEY, Index
from tillage.store.locate import candidates
from tillage.store.tables import ROWS, Chunk, Store

Out = TypeVar("Out")


class Asked:
    """The state of a Whole, as `tillage.core.step.Keyed` has it; `version`: that of the input which the index knows."""

    def __init__(
        self,
        store: Store,
        stage: Stage,
        step: Whole,
        index: Index,
        version: int,
        *,
        every: bool = False,
        came: Sequence[tuple[Chunk, pl.DataFrame]] = (),
        engine: Engine | None = None,
    ) -> None:
        """`every`: the whole index will be read for this change; `came`: the ids that come with it, by chunk."""
        self.store, self.stage, self.step, self.index, self.version = store, stage, step, index, version
        self.every, self.came, self.engine = every, came, engine or Engine(1)
        self._rows = 0

    @property
    def touched(self) -> int:
        """Entries and rows read so far."""
        return self.index.touched + self._rows

    def known(self) -> bool:
        """Whether there is any entry."""
        return bool(self.index.chunks)

    def read(self, keys: pl.Series) -> pl.DataFrame:
        """All entries under these keys, without the columns that are recalled."""
        return self.index.read(keys)

    def recall(self, rows: pl.Series) -> pl.DataFrame:
        """All entries of the rows with these ids, whole, as the input showed them at `version`."""
        source = self.stage.inputs["rows"]
        chunks = self.store.chunks(source, ROWS, self.version)
        few = len(rows) < len(chunks)
        pairs = candidates(self.store, source, rows, ROWS, chunks) if few else [(c, rows) for c in chunks]
        found = []
        for chunk, near in pairs:
            here = self.store.some(chunk, near, self.version)
            self._rows += here.height
            found.append(_apart(here))
        if found:
            return self.step.entries(cleaned(self.stage, pl.concat(found, how="diagonal_relaxed")))
        return pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128})

    def each(self, rows: pl.Series, work: Callable[[pl.DataFrame], Out]) -> Iterator[Out]:
        """What `work` makes of the rows with these ids that came, chunk by chunk."""

        def one(asked: tuple[Chunk, pl.Series]) -> Out:
            chunk, wanted = asked
            return work(only(cleaned(self.stage, self.store.objects.get_frame(chunk.object, chunk.checksum)), wanted))

        asked = [(chunk, only(here, rows)[ID]) for chunk, here in self.came]
        return self.engine.each(one, [(chunk, wanted) for chunk, wanted in asked if len(wanted)])

    def keys_of(self, rows: pl.Series) -> pl.Series | None:
        """The keys under which these rows stand, where the whole index is read for this change; else None."""
        return self.index.of(rows)[KEY].unique() if self.every else None


def _apart(rows: pl.DataFrame) -> pl.DataFrame:
    """The same few rows; as they come, their texts would hold all texts of the chunk in memory."""
    texts = [column for column in rows.iter_columns() if column.dtype == pl.String]
    return rows.with_columns(pl.Series(column.name, column.to_list(), pl.String) for column in texts)


def cleaned(stage: Stage, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as a stage that looks across rows sees them: without the columns of the store's own."""
    own = ("_object", "_record", KEY)
    return drop_columns(rows, *own, PARENT) if stage.first else drop_columns(rows, *own)
