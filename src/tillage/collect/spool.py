"""What a database gave, in a file without a name: fetched once, at one moment, then read as often as it is asked for.

Digest, types and rows must come from the same answer, and a table that others write to gives a different one each time.
The file is deleted when it is opened, so that nothing of it stays, whatever happens. Memory: some 8 MB of rows at once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from weakref import finalize

import numpy as np
import polars as pl

from tillage.collect.database import BY_VALUE, Row, Shape
from tillage.collect.db_sqlite import BrokenText
from tillage.collect.piece import Piece
from tillage.collect.records import bad_record
from tillage.collect.types import EXACT, Column, Seen, name_of
from tillage.core.rows import high, low
from tillage.core.step import BadRecord
from tillage.store.digests import content_hashes
from tillage.store.frames import packed, unpacked

BYTES = 8 << 20
"""Of rows that are fetched at once, about."""

FIRST_ROWS, MOST_ROWS = 256, 16_384
RAW: dict[str, pl.DataType] = {"int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}
"""Types whose values a driver gives as they are; texts become what they say when they are read."""


@dataclass(frozen=True)
class _Stretch:
    """Where a frame stands in the file, and the records in it that are none."""

    at: int
    size: int
    name: str
    bad: tuple[BadRecord, ...]


class Spool:
    """The rows of one answer, in the order of their key.

    `by_key`: a record is numbered by its key, which is one integer of 0 or more; else by its place in the order.
    """

    def __init__(self, shapes: Sequence[Shape], by_key: int | None = None) -> None:
        self.shapes = list(shapes)
        self.records = 0
        self.seen = Seen()
        self.has_bytes: set[str] = set()
        self.ties = (0, "")
        """How many rows have the last value of the cursor, and the sum of their hashes."""
        self._by_key = by_key
        self._file = tempfile.TemporaryFile(prefix="tillage-")  # noqa: SIM115 - it lives as long as the spool
        finalize(self, self._file.close)
        self._stretches: list[_Stretch] = []
        self._digest = sha256(json.dumps([[s.name, s.declared] for s in shapes]).encode())
        self._size = FIRST_ROWS
        for shape in shapes:
            self.seen.add(shape.name, Column(shape.type) if shape.type else Column())

    def size(self) -> int:
        """How many rows to fetch next."""
        return self._size

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in, each with the values of the shapes in order."""
        series, broken = [], dict[int, str]()
        for shape, values in zip(self.shapes, zip(*rows, strict=True), strict=True):
            made, bad = self._series(shape, values)
            series.append(made)
            broken.update(dict.fromkeys(bad, shape.name))
        numbers = self._numbers(rows)
        frame = pl.DataFrame(series)
        bad_records = [self._broken(rows[row], int(numbers[row]), column) for row, column in sorted(broken.items())]
        if broken:
            keep = np.ones(len(rows), dtype=bool)
            keep[list(broken)] = False
            frame, numbers = frame.filter(keep), numbers[keep]
        self.records += len(rows)
        self._digest.update(repr(frame.dtypes).encode())
        hashed = content_hashes(frame).rename("h").to_frame().select(low("h").alias("low"), high("h").alias("high"))
        for half in hashed.iter_columns():
            self._digest.update(half.to_numpy().tobytes())
        self._write(frame.with_columns(pl.Series("_record", numbers)), tuple(bad_records))
        self._size = max(1, min(MOST_ROWS, int(BYTES * len(rows) / max(1, frame.estimated_size()))))

    def _series(self, shape: Shape, values: Sequence[Any]) -> tuple[pl.Series, list[int]]:
        if shape.type != BY_VALUE:
            dtype = pl.String() if shape.written else RAW.get(shape.type, pl.String())
            return pl.Series(shape.name, values, dtype=dtype), []
        made, bad = by_value(shape.name, values)
        if any(isinstance(v, bytes) for v in values):
            self.has_bytes.add(shape.name)
        wide = made.dtype == pl.Int64 and any(v is not None and abs(v) >= EXACT for v in made.to_list())
        self.seen.add(shape.name, Column(name_of(made.dtype), wide=wide))
        return made, bad

    def _numbers(self, rows: Sequence[Row]) -> np.ndarray[Any, np.dtype[np.int64]]:
        if self._by_key is None:
            return np.arange(self.records, self.records + len(rows), dtype=np.int64)
        return np.array([row[self._by_key] for row in rows], dtype=np.int64)

    def _broken(self, row: Row, number: int, column: str) -> BadRecord:
        raw = json.dumps([v.hex() if isinstance(v, bytes) else v for v in row], ensure_ascii=False, default=str)
        message = f"The text of column '{column}' is not UTF-8."
        return bad_record(
            number, 0, 0, stage="decode", reason="bad_encoding", message=message, raw=raw.encode(), column=column
        )

    def _write(self, frame: pl.DataFrame, bad: tuple[BadRecord, ...]) -> None:
        data, suffix = packed(frame)
        at = self._file.seek(0, 2)
        self._file.write(data)
        self._stretches.append(_Stretch(at, len(data), f"rows.{suffix}", bad))

    def digest(self) -> str:
        """SHA-256 over columns and rows, in hexadecimal."""
        return self._digest.hexdigest()

    def pieces(self) -> Iterator[Piece]:
        """The rows, in order."""
        for stretch in self._stretches:
            self._file.seek(stretch.at)
            frame = unpacked(self._file.read(stretch.size), stretch.name)
            numbers = frame["_record"].to_numpy()
            rows = frame.drop("_record")

            def fail(
                row: int,
                stage: str,
                reason: str,
                message: str,
                column: str,
                rows: pl.DataFrame = rows,
                numbers: Any = numbers,
            ) -> BadRecord:
                raw = json.dumps(rows.row(row, named=True), ensure_ascii=False, default=str).encode()
                return bad_record(
                    int(numbers[row]), 0, 0, stage=stage, reason=reason, message=message, raw=raw, column=column
                )

            yield Piece(rows, numbers, frozenset(), fail, list(stretch.bad))

    def close(self) -> None:
        """Give the room back."""
        self._file.close()


def by_value(name: str, values: Sequence[Any]) -> tuple[pl.Series, list[int]]:
    """A column of values each of its own type, in the narrowest that holds all; and the places of broken texts.

    Bytes become their hexadecimal digits; where numbers stand among texts all are text.

    >>> by_value("x", [1, None, 2.5])[0].to_list(), by_value("x", [1, "a", b"\\x01\\xff"])[0].to_list()
    ([1.0, None, 2.5], ['1', 'a', '01ff'])
    """
    bad = [i for i, v in enumerate(values) if isinstance(v, BrokenText)]
    plain = [None if isinstance(v, BrokenText) else v for v in values]
    kinds = {type(v) for v in plain if v is not None}
    if kinds <= {bool}:
        return pl.Series(name, plain, dtype=pl.Boolean if kinds else pl.Null), bad
    integers = [v for v in plain if isinstance(v, int)]
    fits = all(-(1 << 63) <= v < 1 << 63 for v in integers)
    if kinds == {int} and fits:
        return pl.Series(name, plain, dtype=pl.Int64), bad
    if kinds <= {int, float} and all(abs(v) < EXACT for v in integers):
        return pl.Series(name, plain, dtype=pl.Float64), bad
    return pl.Series(name, [_as_text(v) for v in plain], dtype=pl.String), bad


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)
