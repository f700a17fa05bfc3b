"""A file that is one record: a page, a picture, a sound. It is a row, or a bad record that holds the whole file.

Its columns are known whatever becomes of it, so that a folder of nothing but bad ones still makes a table. Memory: the
file and what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.content import Content
from tillage.collect.piece import Piece
from tillage.collect.records import bad_record
from tillage.collect.unpack import Unreadable
from tillage.core.step import BadRecord

LARGEST = 256 << 20
"""Bytes of one document that are read."""


class DocumentReader:
    """One file, read by `reading`: its bytes to the values of its columns, or Unreadable, which makes a bad record.

    `notes` beside the values are what a run is to say of the file; they are known once the file is read.
    """

    def __init__(
        self,
        content: Content,
        form: str,
        schema: Mapping[str, pl.DataType],
        reading: Callable[[bytes], dict[str, Any]],
        most: int = LARGEST,
    ) -> None:
        if not content.head:
            raise Unreadable("empty_file", "The file is empty.")
        self._content, self._schema, self._reading, self._most = content, dict(schema), reading, most
        self.facts: dict[str, Any] = {"format": form, "encoding": "", "delimiter": "", "header": list(schema)}

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`: one piece, with one row or one bad record."""
        data = self._content.all(self._most)
        try:
            if data is None:
                raise Unreadable("field_too_long", f"The file is larger than {self._most:,} bytes.")
            values = self._reading(data)
            self.facts |= {"notes": values["notes"]} if "notes" in values else {}
        except Unreadable as refused:
            raw = data or self._content.head
            bad = _fail(raw)(0, "decode", refused.reason, refused.message, "")
            yield Piece(pl.DataFrame(schema=self._schema), _numbers(0), frozenset(), _fail(raw), [bad])
            return
        made = pl.DataFrame([pl.Series(name, [values[name]], dtype=kind) for name, kind in self._schema.items()])
        yield Piece(made, _numbers(1), frozenset(), _fail(data or b""))


def _numbers(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64)


def _fail(data: bytes) -> Callable[[int, str, str, str, str], BadRecord]:
    def fail(_: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
        """The bad record that is the whole file."""
        return bad_record(0, 0, len(data), stage=stage, reason=reason, message=message, raw=data, column=column)

    return fail
