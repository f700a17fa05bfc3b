"""What a table has of an object that its source cannot give again, for a version that is written anew.

Its rows, shown and superseded, in the types that the columns have now; the records that were set aside, as they are.
Cost: the chunks that hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from tillage.core.step import Batch
from tillage.flow.following import Following
from tillage.flow.quarantine import PART as QUARANTINE
from tillage.store.tables import LEFT, ROWS, Store


def kept_rows(store: Store, stage: str, source: Following, ordinal: int, columns: Mapping[str, str]) -> Iterator[Batch]:
    """The rows of an object with their record numbers; a cell that has no value in its new type is a bad record."""
    for rows in [*_of_object(store, stage, ROWS, ordinal), *_of_object(store, stage, LEFT, ordinal)]:
        yield source.recast(rows.select(c for c in rows.columns if c[0] != "_"), rows["_record"], columns)


def kept_aside(store: Store, stage: str, ordinal: int) -> list[pl.DataFrame]:
    """The records of an object in quarantine, sealed as they are, until they expire as they would have."""
    return _of_object(store, stage, QUARANTINE, ordinal)


def _of_object(store: Store, stage: str, part: str, ordinal: int) -> list[pl.DataFrame]:
    chunks = store.chunks_of_origin(stage, part, ordinal)
    return [store.read(chunk).filter(pl.col("_object") == ordinal) for chunk in chunks]
