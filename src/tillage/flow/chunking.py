"""How many rows make a chunk: enough that 128 chunks hold a table, never fewer than 8,192, never more than 64 MB."""

from __future__ import annotations

import polars as pl

LEAST_ROWS = 8192
MOST_CHUNKS = 128
MOST_BYTES = 64 << 20


def chunk_rows(total: int) -> int:
    """Rows a chunk of a table of `total` rows.

    >>> chunk_rows(1000), chunk_rows(10_000_000)
    (8192, 78125)
    """
    return max(LEAST_ROWS, -(-total // MOST_CHUNKS))


def fitting(frame: pl.DataFrame, rows: int) -> int:
    """`rows`, or fewer where so many rows of `frame` would weigh more than MOST_BYTES in memory."""
    if frame.is_empty():
        return rows
    each = max(1, int(frame.estimated_size()) // frame.height)
    return max(1, min(rows, MOST_BYTES // each))
