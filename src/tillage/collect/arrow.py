"""Arrow IPC: files (`.arrow`, Feather version 2) and streams, typed as they say themselves; see `columnar`.

The whole file is decoded and validated before a row of it counts, since a damaged one may crash whoever trusts its
offsets: that is two passes, in the memory of one batch. The format has no checksum: a flipped bit in a number shows
only in the file's own SHA-256. Source: Apache Arrow columnar format 1, IPC; deny-list of extensions: CVE-2023-47248.
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

FILE = b"ARROW1\0\0"
STREAM = b"\xff\xff\xff\xff"


class ArrowReader(TypedReader):
    """One Arrow file or stream; raises Unreadable when it cannot be decoded, ConfigurationError for extension types."""

    def __init__(self, content: Content, path: str, limits: Limits) -> None:
        import pyarrow as pa

        self._content = content
        self._failures = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
        content.prove()
        try:
            self._schema = self._open().schema
        except self._failures as error:
            raise _unreadable(error) from error
        check_names(list(self._schema.names), path, limits)
        refuse_extensions(self._schema, path)
        self.facts: dict[str, Any] = {
            "format": "arrow",
            "encoding": "",
            "delimiter": "",
            "header": list(self._schema.names),
        }
        self.facts |= {"notes": notes} if (notes := zone_notes(self._schema)) else {}

    def _open(self) -> Any:
        from pyarrow import ipc

        source = self._content.file()
        return ipc.open_file(source) if self._content.head.startswith(FILE) else ipc.open_stream(source)

    def _batches(self) -> Iterator[Any]:
        """The batches, each validated in full."""
        opened = self._open()
        if self._content.head.startswith(FILE):
            yield from (valid(opened.get_batch(i)) for i in range(opened.num_record_batches))
        else:
            yield from map(valid, opened)

    def columns(self) -> tuple[dict[str, Column], int]:
        """Each column's type and the number of rows; the whole file is decoded."""
        made = frame(self._schema, no_values(self._schema)).schema
        wide = dict.fromkeys((name for name, dtype in made.items() if dtype == pl.Int64), False)
        rows = 0
        try:
            for batch in self._batches():
                rows += batch.num_rows
                for name in [n for n, known in wide.items() if not known]:
                    wide[name] = _is_wide(batch.column(self._schema.names.index(name)))
        except (*self._failures, pl.exceptions.PolarsError) as error:
            raise _unreadable(error) from error
        return {name: Column(name_of(dtype), wide=wide.get(name, False)) for name, dtype in made.items()}, rows

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`; nothing is yielded before the whole file is known to be good."""
        number = 0
        try:
            for _ in self._batches():
                pass
            for batch in self._batches():
                for at in range(0, batch.num_rows, ROWS):
                    part = batch.slice(at, ROWS)
                    yield piece(part.schema, part.columns, number, part.num_rows)
                    number += part.num_rows
            if number == 0:
                yield piece(self._schema, no_values(self._schema), 0, 0)
        except (*self._failures, pl.exceptions.PolarsError) as error:
            raise _unreadable(error) from error


def _is_wide(values: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    ends = pc.min_max(plain)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is not None and bool(low <= -EXACT or high >= EXACT)


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable("unreadable_file", f"The Arrow file cannot be read: {str(error)[:200]}")
