"""What a source must leave out when it reads: the records of forgotten rows, known by keyed marks alone.

A mark is HMAC-SHA-256 under the subkey `tombstone` over the row_id (tables with a key), or over the checksum of the
object and the number of the record (tables without one: nobody else's equal text is barred), and over the bytes of a
quarantined record that named the person. 16 bits of the row_id or record number stand beside the mark, so that of a
million rows only a handful need an HMAC: 10 ms a million rows.

Marks are a table's and outlive edits of its plan: whether steps stand below its source, which gives the source's stage
another name, and which columns are its key. Of rows that are read under another key, the row_ids that they had are made
again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import polars as pl

from tillage.core.errors import GateFailed
from tillage.core.keys import Keyring
from tillage.core.rows import ID, low
from tillage.core.step import BadRecord
from tillage.store.catalog import dump, load
from tillage.store.tables import Store

RECORD = "_record"
_HINTS = 1 << 16
_NO_HINT = -1


@dataclass(frozen=True)
class Mark:
    """One tombstone of a source's stage; `checksum` is that of the object, of a row the columns of its key as JSON."""

    stage: str
    mark: bytes
    hint: int
    checksum: str


def stages_of(stage: str) -> tuple[str, str]:
    """The names that the stage of a table's source has, or had by another plan: the table's own, where no step follows.

    >>> stages_of("notes/source"), stages_of("notes")
    (('notes', 'notes/source'), ('notes', 'notes/source'))
    """
    table = stage.removesuffix("/source")
    return table, f"{table}/source"


def row_marks(keys: Keyring, stage: str, rows: pl.Series, key: Sequence[str]) -> list[Mark]:
    """The marks of rows of a table with a key, of these columns."""
    secret, named = keys.subkey("tombstone"), dump(list(key))
    return [Mark(stage, _of_row(secret, row), row % _HINTS, named) for row in rows.to_list()]


def place_marks(keys: Keyring, stage: str, places: Iterable[tuple[str, int]]) -> list[Mark]:
    """The marks of records, each by the checksum of its object and its number there."""
    secret = keys.subkey("tombstone")
    return [Mark(stage, _of_place(secret, c, record), record % _HINTS, c) for c, record in places]


def raw_marks(keys: Keyring, stage: str, records: Iterable[bytes]) -> list[Mark]:
    """The marks of quarantined records, by their bytes."""
    secret = keys.subkey("tombstone")
    return [Mark(stage, _of_bytes(secret, raw), _NO_HINT, "") for raw in records]


def write_marks(store: Store, marks: Sequence[Mark]) -> None:
    """Keep the marks; call it inside a transaction."""
    store.catalog.write_many(
        "INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?, ?)",
        [(m.stage, m.mark, m.hint, m.checksum) for m in marks],
    )


def release(store: Store, stage: str, path: str) -> int:
    """Drop the marks of an object's records, so that it is read as it stands; how many there were."""
    before = _count(store, stage)
    for checksum in _checksums_of(store, stage, path):
        query = "DELETE FROM tombstones WHERE stage IN (?, ?) AND checksum = ?"
        store.catalog.write(query, *stages_of(stage), checksum)
    return before - _count(store, stage)


class Tombstones:
    """The marks of one table, as a reading of its source asks for them.

    `key`: the columns by which the table's rows are known now.
    """

    def __init__(self, store: Store, stage: str, key: Sequence[str]) -> None:
        self.store, self.stage, self.key = store, stage, tuple(key)
        self._secret = store.keys.subkey("tombstone")
        self._rows: dict[tuple[str, ...], tuple[set[bytes], set[int]]] = {}
        """By the key under which the rows were forgotten."""
        self._raw: set[bytes] = set()
        self._places: dict[str, tuple[set[bytes], set[int]]] = {}
        query = "SELECT mark, hint, checksum FROM tombstones WHERE stage IN (?, ?)"
        for row in store.catalog.rows(query, *stages_of(stage)):
            mark, hint, checksum = bytes(row["mark"]), int(row["hint"]), str(row["checksum"])
            if hint == _NO_HINT:
                self._raw.add(mark)
                continue
            by_row = not checksum or checksum.startswith("[")  # nothing: a store of before knew no other key
            named = tuple(load(checksum)) if checksum and by_row else self.key
            held = (
                self._rows.setdefault(named, (set(), set()))
                if by_row
                else self._places.setdefault(checksum, (set(), set()))
            )
            held[0].add(mark)
            held[1].add(hint)

    @property
    def by_row(self) -> bool:
        """Whether rows must have their ids to be told apart."""
        return self.key in self._rows

    def screen(self, rows: pl.DataFrame, checksum: str) -> pl.DataFrame:
        """The rows of an object without the forgotten ones.

        Raises GateFailed where they were forgotten by a key of which the object lacks a column.
        """
        for key, (marks, hints) in self._rows.items():
            if key == self.key:
                rows = rows if ID not in rows.columns else self._without(rows, rows[ID], marks, hints)
            elif rows.height:
                rows = self._without(rows, self._ids(rows, key), marks, hints)
        if checksum in self._places:
            marks, hints = self._places[checksum]
            near = rows.filter((pl.col(RECORD) % _HINTS).is_in(list(hints)))[RECORD]
            gone = [n for n in near.to_list() if _of_place(self._secret, checksum, n) in marks]
            rows = rows.filter(~pl.col(RECORD).is_in(gone)) if gone else rows
        return rows

    def _ids(self, rows: pl.DataFrame, key: tuple[str, ...]) -> pl.Series:
        """The row_ids that rows had while the table's key was another."""
        table = stages_of(self.stage)[0]
        if absent := [column for column in key if column not in rows.columns]:
            raise GateFailed(
                f"Rows of table '{table}' were forgotten by their key ({', '.join(key)}), and what is read now has no "
                f"{' and no '.join(repr(column) for column in absent)}, so nobody can tell which ones they are.",
                fix="Read those columns as well: they need not be the key.",
            )
        return self.store.keys.row_ids(table, rows, key)

    def _without(self, rows: pl.DataFrame, named: pl.Series, marks: set[bytes], hints: set[int]) -> pl.DataFrame:
        near = named.rename(ID).to_frame().filter((low(ID) % _HINTS).is_in(list(hints)))[ID].unique()
        hit = [row for row in near.to_list() if _of_row(self._secret, row) in marks]
        return rows.filter(~named.is_in(pl.Series(ID, hit, dtype=pl.UInt128).implode())) if hit else rows

    def readable(self, bad: Sequence[BadRecord], checksum: str) -> list[BadRecord]:
        """The bad records without the forgotten ones."""
        marks, _ = self._places.get(checksum, (set(), set()))
        if not marks and not self._raw:
            return list(bad)
        return [
            b
            for b in bad
            if _of_bytes(self._secret, b.raw) not in self._raw
            and _of_place(self._secret, checksum, b.record) not in marks
        ]

    def awaits(self, path: str, checksum: str) -> bool:
        """Whether an object changed after records of it were forgotten, so that nobody knows which ones they are."""
        if not self._places or checksum in self._places:
            return False
        return any(c in self._places for c in _checksums_of(self.store, self.stage, path))


def _checksums_of(store: Store, stage: str, path: str) -> set[str]:
    query = "SELECT DISTINCT checksum FROM sources WHERE stage IN (?, ?) AND path = ?"
    found = store.catalog.rows(query, *stages_of(stage), path)
    return {str(r[0]) for r in found}


def _count(store: Store, stage: str) -> int:
    row = store.catalog.row("SELECT count(*) FROM tombstones WHERE stage IN (?, ?)", *stages_of(stage))
    return int(row[0]) if row else 0


def _of_row(secret: bytes, row: int) -> bytes:
    return hmac.digest(secret, b"row\0" + row.to_bytes(16, "little"), sha256)


def _of_place(secret: bytes, checksum: str, record: int) -> bytes:
    return hmac.digest(secret, f"place\0{checksum}\0{record}".encode(), sha256)


def _of_bytes(secret: bytes, raw: bytes) -> bytes:
    return hmac.digest(secret, b"raw\0" + raw, sha256)
