"""Which chunk shows which of some rows, where it is known that one of a few does: so that no chunk need be read for it.

A row that came into a stage is in its rows or in its ledger, in one chunk alone. The ledger is small and is read; what
is not in it is among the rows, and where one chunk alone may show an id, that one does.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tillage.core.rows import ID, only, without
from tillage.store.tables import Chunk, Store


def shown_among(
    store: Store, pairs: Sequence[tuple[Chunk, pl.Series]], columns: Sequence[str] = ()
) -> list[tuple[Chunk, pl.DataFrame]]:
    """Chunks alive now, each with the rows among its ids that it shows: `_id` and `columns`.

    `pairs`: chunks and ids that they may show; each id must be shown by one of them. A chunk is read where two may show
    an id, or where other columns are asked for.
    """
    if columns:
        read = [(chunk, only(store.read(chunk, columns=columns), near)) for chunk, near in pairs]
        return [(chunk, rows) for chunk, rows in read if rows.height]
    near = [(chunk, without(ids.rename(ID).to_frame(), store.removed(chunk))) for chunk, ids in pairs]
    every = pl.concat([pl.DataFrame(schema={ID: pl.UInt128}), *(rows for _, rows in near)])[ID]
    twice = every.filter(every.is_duplicated()).unique() if len(every) > 1 else every[:0]
    found = []
    for chunk, rows in near:
        doubtful = only(rows, twice)[ID] if len(twice) else twice
        sure = without(rows, doubtful)
        shown = pl.concat([sure, only(store.read(chunk, columns=()), doubtful)]) if len(doubtful) else sure
        if shown.height:
            found.append((chunk, shown))
    return found
