"""Plain text: one row a line, in the column `text`. A blank line is a row with the empty text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.content import Content
from tillage.collect.encoding import Encoding
from tillage.collect.piece import Limits, Piece
from tillage.collect.records import Cut, blocks, line_cuts
from tillage.collect.unpack import Unreadable

COLUMN = "text"


class TextReader:
    """One file of plain text."""

    def __init__(self, content: Content, encoding: Encoding, limits: Limits) -> None:
        if not content.head:
            raise Unreadable("empty_file", "The file is empty.")
        self._content, self._encoding, self._limits = content, encoding, limits
        self.facts: dict[str, Any] = {
            "format": "text",
            "encoding": encoding.codec,
            "delimiter": "",
            "header": [COLUMN],
        }

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        for block in blocks(self._content, self._encoding, self._cut):
            lines = [
                block.data[lo:hi].decode() for lo, hi in zip(block.starts.tolist(), block.ends.tolist(), strict=True)
            ]
            frame = pl.DataFrame({COLUMN: pl.Series(lines, dtype=pl.String)})
            yield Piece(frame, block.numbers, frozenset(), block.fail, block.bad)

    def _cut(self, buffer: bytes, final: bool, force: bool) -> Cut:
        starts, ends, consumed = line_cuts(buffer, final)
        limit = f"The line is longer than max_field ({self._limits.max_field:,} bytes)."
        long = np.flatnonzero(ends - starts > self._limits.max_field).tolist()
        return Cut(starts, ends, dict.fromkeys(long, ("field_too_long", limit)), consumed)
