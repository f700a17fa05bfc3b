"""Frames as bytes: Parquet for many rows, an Arrow stream for few.

Parquet is what other tools open, and it packs a large table best; but writing or reading it costs a query, half a
millisecond before the first row. A table of small files, a ledger and an index are thousands of small frames: as Arrow
streams they cost a twentieth. Both are compressed with zstd, but for frames of ids and hashes alone, which take ten
times as long to write for a sixth of the bytes; Polars knows one level for streams, and the lowest of
Parquet takes 40 % less time for a third more bytes, so that heavy frames are Parquet too, however few their rows.

A stream holds whole buffers, and a buffer may hold more than the frame shows: the text of rows that were filtered out,
the value that stood where a null stands now. What is purged must not stay there, and the same rows must give the same
bytes; so texts are copied out of their buffers, and a frame with nulls, or with nested columns, is Parquet.

Numbers of the store's own (the place of a record in its file) rise by one from row to row: in Parquet they stand as
steps from a row to the next, which pack to nothing in a quarter of the time. Columns of users stay what other tools
expect.

Sources: Apache Parquet format 2; Apache Arrow columnar format 1, IPC streaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Literal

import numpy as np
import polars as pl

from tillage.core.rows import ID, Halves, drop_columns, from_storage, high, only, to_storage

PARQUET = "parquet"
STREAM = "arrow"
FEW = 16_384
"""Rows up to which a frame is written as a stream; about where both cost the same."""
HEAVY = 1 << 20
"""Bytes in memory from which on it is Parquet all the same."""
PAGE = 1 << 17
"""Bytes of a page of Parquet before it is compressed: so many are unpacked for a row that is looked for."""
STEP = ":step"
"""Behind the name of a column that stands as steps."""
_AT = "_at:row"
"""The place of a row in its file, while it is looked for."""


def is_frame(name: str) -> bool:
    """Whether an object of this name holds rows.

    >>> is_frame("a/b-c.parquet"), is_frame("a/b-c.state")
    (True, False)
    """
    return name.endswith((f".{PARQUET}", f".{STREAM}"))


def packed(frame: pl.DataFrame, made: Halves | None = None) -> tuple[memoryview, str]:
    """The bytes of a frame, and the suffix that says how they are written; `made`: its `_id` in halves, if known.

    >>> data, suffix = packed(pl.DataFrame({"n": [1]}))
    >>> unpacked(data, "x.arrow")["n"].to_list(), suffix
    ([1], 'arrow')
    """
    buffer = BytesIO()
    small = frame.height <= FEW and frame.estimated_size() < HEAVY
    if small and all(_is_bare(column) for column in frame.iter_columns()):
        noise = all(kind == pl.UInt128 for kind in frame.dtypes)
        how: Literal["uncompressed", "zstd"] = "uncompressed" if noise else "zstd"
        frame.write_ipc_stream(buffer, compression=how, compat_level=pl.CompatLevel.oldest())
        return buffer.getbuffer(), STREAM
    _as_steps(to_storage(frame, made)).write_parquet(
        buffer, compression="zstd", compression_level=1, statistics=False, data_page_size=PAGE
    )
    return buffer.getbuffer(), PARQUET


def unpacked(
    data: bytes | memoryview, name: str, columns: Sequence[str] | None = None, *, but: str | None = None
) -> pl.DataFrame:
    """The rows in the bytes of the object `name`: all columns, some of them, or all `but` one."""
    if name.endswith(STREAM):
        stream = data if isinstance(data, bytes) else BytesIO(data)  # Polars would copy what lies in a buffer
        if columns:  # what is not asked for is not decoded
            return pl.read_ipc_stream(stream, columns=list(dict.fromkeys(columns)))[list(columns)]
        rows = pl.read_ipc_stream(stream)
        return rows[[c for c in (rows.columns if columns is None else ()) if c != but]]
    file = BytesIO(data)
    if columns is None and but is None:
        return from_storage(_from_steps(pl.read_parquet(file)))
    stored = pl.read_parquet_schema(file)
    wanted = [c for c in stored if (_whole(c) in columns if columns is not None else _whole(c) != but)]
    file.seek(0)
    rows = from_storage(_from_steps(pl.read_parquet(file, columns=wanted)))
    return rows.select(columns) if columns is not None else rows


def some(data: bytes | memoryview, name: str, wanted: pl.Series) -> pl.DataFrame:
    """The rows in the bytes of the object `name` whose `_id` is among `wanted`: few, or all are unpacked the same.

    >>> rows = pl.DataFrame({"_id": pl.Series([1, 2, 3], dtype=pl.UInt128), "n": [None, 5, 6]})
    >>> data, suffix = packed(rows)
    >>> some(data, f"x.{suffix}", pl.Series([3, 4], dtype=pl.UInt128))["n"].to_list(), suffix
    ([6], 'parquet')
    """
    if name.endswith(STREAM):
        return only(unpacked(data, name), wanted)
    source = BytesIO(data)
    steps = [column for column in pl.read_parquet_schema(source) if column.endswith(STEP)]
    tops = wanted.rename(ID).to_frame().select(high(ID))[ID]
    source.seek(0)
    lazy = pl.scan_parquet(source, parallel="prefiltered", use_statistics=False)  # pages with none are left packed
    near = pl.col(f"{ID}:hi").is_in(tops.implode())
    if not steps:
        return only(from_storage(lazy.filter(near).collect()), wanted)
    found = lazy.with_row_index(_AT).filter(near).collect()
    source.seek(0)
    numbers = _from_steps(pl.read_parquet(source, columns=steps))[found[_AT]]  # sums of all steps before the row
    for step in steps:
        found.replace_column(found.columns.index(step), numbers[step.removesuffix(STEP)])
    return only(from_storage(drop_columns(found, _AT)), wanted)


def halves(data: bytes, name: str, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows as Parquet keeps them, 128-bit columns in halves; those of `columns` that there are, as halves too."""
    if name.endswith(PARQUET):
        source = BytesIO(data)
        if columns is not None and any(_may_step(c) for c in columns):
            stored = pl.read_parquet_schema(source)
            columns = [c if c in stored else c + STEP for c in columns]
            source.seek(0)
        return _from_steps(pl.read_parquet(source, columns=columns, parallel="none", use_statistics=False))
    rows = pl.read_ipc_stream(BytesIO(data))
    if columns is not None:
        rows = rows.select(list(dict.fromkeys(_whole(c) for c in columns)))
    return to_storage(rows)


def _is_bare(column: pl.Series) -> bool:
    """Whether the column's buffers, texts copied, hold its values and nothing else."""
    return column.dtype == pl.Null or not (column.dtype.is_nested() or column.null_count())


def _may_step(name: str) -> bool:
    return name.startswith("_") and name[-3:] not in (":lo", ":hi")


def _as_steps(stored: pl.DataFrame) -> pl.DataFrame:
    """The columns as Parquet keeps them; differences wrap around, so that every number comes back."""
    for place, column in enumerate(stored.get_columns()):
        if column.dtype == pl.UInt64 and _may_step(column.name) and not column.null_count():
            steps = column.to_numpy().copy()
            steps[1:] -= column.to_numpy()[:-1]
            stored.replace_column(place, pl.Series(column.name + STEP, steps))
    return stored


def _from_steps(stored: pl.DataFrame) -> pl.DataFrame:
    """The inverse of `_as_steps`."""
    for place, name in enumerate(stored.columns):
        if name.startswith("_") and name.endswith(STEP):
            numbers = np.cumsum(stored[name].to_numpy(), dtype=np.uint64)
            stored.replace_column(place, pl.Series(name.removesuffix(STEP), numbers))
    return stored


def _whole(name: str) -> str:
    """The column that a stored column is, or is half of."""
    kept, mark, how = name.rpartition(":") if name.startswith("_") else (name, "", "")
    return kept if mark + how in (":lo", ":hi", STEP) else name
