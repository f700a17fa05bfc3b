"""Parquet: types as the file declares them, nested values as JSON text, every time with a zone in UTC.

The whole file is decoded and validated before a row of it counts: a cut or damaged one is refused as a file. That is
one decoding up to 256 MB, and two beyond, in the memory of one batch. Page checksums are verified where the writer
wrote them; most do not, and then a flipped bit that still decodes shows only in the file's own SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tillage.collect.columnar import ROWS, frame, no_values, piece, refuse_extensions, valid, zone_notes
from tillage.collect.content import Content
from tillage.collect.piece import Limits, Piece, TypedReader, check_names
from tillage.collect.types import EXACT, Column, name_of
from tillage.collect.unpack import Unreadable

AT_ONCE = 256 << 20
"""Bytes of decoded values up to which a file is held whole."""


class ParquetReader(TypedReader):
    """One Parquet file; raises Unreadable when it cannot be decoded, ConfigurationError for extension types."""

    def __init__(self, content: Content, path: str, limits: Limits) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._failures = (pa.ArrowException, OSError, ValueError, OverflowError)
        given: dict[str, Any] = {
            "page_checksum_verification": True,
            "coerce_int96_timestamp_unit": "us",
            "memory_map": False,
        }
        try:
            self._file = pq.ParquetFile(content.file(), **given)
            if few := _texts_from_dictionaries(self._file):
                self._file = pq.ParquetFile(content.file(), metadata=self._file.metadata, read_dictionary=few, **given)
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
        refuse_extensions(schema, path)
        self.facts: dict[str, Any] = {"format": "parquet", "encoding": "", "delimiter": "", "header": names}
        notes = [f"Times of '{name}' have no zone (int96): taken to be UTC." for name in names if name in self._utc]
        self.facts |= {"notes": found} if (found := notes + zone_notes(schema)) else {}

    def columns(self) -> tuple[dict[str, Column], int]:
        """Each column's type and the number of rows, from the footer; long integers are looked for where needed."""
        schema = self._file.schema_arrow
        made = frame(schema, no_values(schema), self._utc).schema
        try:
            found = {
                name: Column(name_of(dtype), wide=dtype == pl.Int64 and self._is_wide(place))
                for place, (name, dtype) in enumerate(made.items())
            }
        except self._failures as error:
            raise _unreadable(error) from error
        return found, self._file.metadata.num_rows

    def _is_wide(self, place: int) -> bool:
        """Whether a column of whole numbers goes beyond what a float holds exactly."""
        meta = self._file.metadata
        if meta.num_columns != len(self._file.schema_arrow):  # nested columns: places differ
            return self._holds_wide(place)
        for group in range(meta.num_row_groups):
            known = meta.row_group(group).column(place).statistics
            if known is None or not known.has_min_max:
                return self._holds_wide(place)
            if known.min <= -EXACT or known.max >= EXACT:
                return True
        return False

    def _holds_wide(self, place: int) -> bool:
        import pyarrow.compute as pc

        name = self._file.schema_arrow.names[place]
        for batch in self._file.iter_batches(batch_size=ROWS, columns=[name], use_threads=False):
            ends = pc.min_max(batch.column(0))
            low, high = ends["min"].as_py(), ends["max"].as_py()
            if low is not None and (low <= -EXACT or high >= EXACT):
                return True
        return False

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`; nothing is yielded before the whole file is known to be good."""
        import pyarrow as pa

        meta = self._file.metadata
        size = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
        try:
            if size <= AT_ONCE:
                table = self._file.read(use_threads=False)
                table.validate(full=True)
                self._complete(table.num_rows)
                batches = iter(table.to_batches(max_chunksize=ROWS))
            else:
                self._complete(sum(valid(b).num_rows for b in self._batches()))
                batches = self._batches()
            number = 0
            for batch in batches:
                yield self._piece(batch.schema, batch.columns, number, batch.num_rows)
                number += batch.num_rows
            if number == 0:
                schema = self._file.schema_arrow
                yield self._piece(schema, no_values(schema), 0, 0)
        except (*self._failures, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise _unreadable(error) from error

    def _batches(self) -> Iterator[Any]:
        return iter(self._file.iter_batches(batch_size=ROWS, use_threads=False))

    def _complete(self, rows: int) -> None:
        if rows != self._file.metadata.num_rows:
            raise ValueError(f"it says {self._file.metadata.num_rows} rows and holds {rows}")

    def _piece(self, schema: Any, columns: Any, first: int, rows: int) -> Piece:
        return piece(schema, columns, first, rows, self._utc)


def _texts_from_dictionaries(file: Any) -> list[str]:
    """The columns of texts that stand as numbers of a dictionary all through the file, so that few texts are decoded.

    A plain text takes four bytes for its length alone: where all take less, they cannot be plain.
    """
    import pyarrow as pa

    schema, meta = file.schema_arrow, file.metadata
    if meta.num_columns != len(schema):  # nested columns: places differ
        return []
    texts = [
        i for i, field in enumerate(schema) if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    groups = [meta.row_group(group) for group in range(meta.num_row_groups)] if texts else []
    return [
        schema.names[i]
        for i in texts
        if all(g.column(i).total_uncompressed_size < 4 * g.column(i).num_values for g in groups)
    ]


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable("unreadable_file", f"The Parquet file cannot be read: {str(error)[:200]}")
