"""Parquet: types as the file declares them, nested values as JSON text, every time with a zone in UTC.

The whole file is decoded and validated before a row of it counts: a cut or damaged one is refused as a file. Page
checksums are verified where the writer wrote them; most writers do not, and then a flipped bit that still decodes can
only be seen by comparing the file's own SHA-256 with one from elsewhere.
Memory: one batch of 65,536 rows, or one row group's column chunks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.content import Content, Unreadable
from tillage.collect.piece import Limits, Piece, check_names
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.step import BadRecord

ROWS = 65_536

_whole: set[tuple[str | int, ...]] = set()
"""Files, by place and stamp, that this process has decoded to their end: 200 bytes each."""


class ParquetReader:
    """One Parquet file; raises Unreadable when it cannot be decoded, ConfigurationError for extension types."""

    def __init__(self, content: Content, path: str, limits: Limits) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._failures = (pa.ArrowException, OSError, ValueError, OverflowError)
        try:
            self._file = pq.ParquetFile(
                content.path, page_checksum_verification=True, coerce_int96_timestamp_unit="us", memory_map=False
            )
            schema = self._file.schema_arrow
            physical = self._file.schema
            self._utc = {
                column.path
                for column in (physical.column(i) for i in range(len(physical)))
                if column.physical_type == "INT96"
            }
        except self._failures as error:
            raise _unreadable(error) from error
        names = list(schema.names)
        check_names(names, path, limits)
        extended = [f.name for f in schema if _is_extension(f)]
        if extended:
            raise ConfigurationError(
                [Problem(f"Column '{name}' has an extension type, which is not read.", path) for name in extended],
                fix="Write the column with a plain Parquet type.",
            )
        self.facts: dict[str, Any] = {"format": "parquet", "encoding": "", "delimiter": "", "header": names}
        if content.identity not in _whole:
            for _ in self.pieces():
                pass
            _whole.add(content.identity)

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        import pyarrow as pa

        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=ROWS, use_threads=False):
                batch.validate(full=True)
                frame = pl.DataFrame(
                    [self._column(f.name, c) for f, c in zip(batch.schema, batch.columns, strict=True)]
                )
                yield Piece(
                    frame,
                    np.arange(number, number + batch.num_rows, dtype=np.int64),
                    frozenset(),
                    _fail(number),
                )
                number += batch.num_rows
            if number == 0:
                empty = self._file.schema_arrow.empty_table()
                columns = [
                    self._column(n, c.combine_chunks()) for n, c in zip(empty.column_names, empty.columns, strict=True)
                ]
                yield Piece(pl.DataFrame(columns), np.empty(0, dtype=np.int64), frozenset(), _fail(0))
            if number != self._file.metadata.num_rows:
                raise ValueError(f"it says {self._file.metadata.num_rows} rows and holds {number}")
        except (*self._failures, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise _unreadable(error) from error

    def _column(self, name: str, values: Any) -> pl.Series:
        import pyarrow as pa

        kind = values.type
        if pa.types.is_nested(kind):
            texts = [None if v is None else json_text(v) for v in values.to_pylist()]
            return pl.Series(name, texts, dtype=pl.String)
        if pa.types.is_dictionary(kind):
            values, kind = values.dictionary_decode(), kind.value_type
        if pa.types.is_decimal256(kind):
            values = values.cast(pa.string())
        if pa.types.is_float16(kind):
            values = values.cast(pa.float32())
        made = pl.Series(name, values)
        if isinstance(made.dtype, pl.Datetime):
            if made.dtype.time_zone is None and name in self._utc:
                made = made.dt.replace_time_zone("UTC")
            elif made.dtype.time_zone not in (None, "UTC"):
                made = made.dt.convert_time_zone("UTC")
        return made.cast(pl.String) if isinstance(made.dtype, pl.Categorical | pl.Enum) else made


def json_text(value: Any) -> str:
    """A nested value as canonical JSON; what JSON does not know (bytes, times) as its text.

    >>> json_text({"b": [1, None], "a": b"x"})
    '{"a":"78","b":[1,null]}'
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _is_extension(field: Any) -> bool:
    import pyarrow as pa

    return isinstance(field.type, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {})


def _fail(first: int) -> Any:
    def fail(row: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
        """A row of a Parquet file has no bytes of its own; its number is its place."""
        return BadRecord(
            record=first + row,
            byte_start=0,
            byte_end=0,
            stage=stage,
            reason=reason,
            column=column,
            message=message,
            raw=b"",
        )

    return fail


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable("unreadable_file", f"The Parquet file cannot be read: {str(error)[:200]}")
