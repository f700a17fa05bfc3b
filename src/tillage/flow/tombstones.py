"""What a source must leave out when it reads: the records of forgotten rows, known by keyed marks alone.

A mark is HMAC-SHA-256 under the subkey `tombstone` over the row_id (tables with a key), or over the checksum of the
object and the number of the record (tables without one: nobody else's equal text is barred), and over the bytes of a
quarantined record that named the person. 16 bits of the row_id or record number stand beside the mark, so that of a
million rows only a handful need an HMAC: 10 ms a million rows.

Marks are a table's and outlive edits of its plan: whether steps stand below its source, which gives the source's stage
another name, and which columns are its key. Of rows that are read under another key, the row_ids that they had are made
again; a row in which a column of that key is empty or gone could be anybody's, and no run reads it unasked.

A mark is never taken back. Whoever decides that an object is read as it stands writes a release: a mark, too, of that
object alone, so that what was forgotten stays away from every other one, copies of the same bytes included.
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
_RELEASE = -2
"""In place of a hint: the mark is a release."""

_SHOWN = 5


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


def release(store: Store, stage: str, key: Sequence[str], path: str, checksum: str | None) -> int:
    """Let an object be read as it stands, whatever was forgotten of it; how many marks do not hold for it any more.

    `key`: the columns by which the table's rows are known now. `checksum`: of what the object holds now, None where it
    is not there. By it rows are let in of which nobody can tell who they are, so a change of it is asked about again.
    """
    held = Tombstones(store, stage, key)
    made, freed = held.releases(path, checksum)
    write_marks(store, [Mark(stages_of(stage)[0], mark, _RELEASE, "") for mark in made])
    return freed


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
        self._releases: set[bytes] = set()
        self._untold: dict[str, str] = {}
        """By path of an object, the first column that one of its rows lacks to be told from a forgotten one."""
        query = "SELECT mark, hint, checksum FROM tombstones WHERE stage IN (?, ?)"
        for row in store.catalog.rows(query, *stages_of(stage)):
            mark, hint, checksum = bytes(row["mark"]), int(row["hint"]), str(row["checksum"])
            if hint in (_NO_HINT, _RELEASE):
                (self._raw if hint == _NO_HINT else self._releases).add(mark)
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

    def untold(self, rows: pl.DataFrame, path: str, checksum: str) -> bool:
        """Whether nobody can tell if rows of an object are forgotten: they lack the key by which others were.

        Such an object is noted for `refuse`, unless what it holds was released.
        """
        for key in self._earlier() if rows.height else ():
            lacks = [column for column in key if column not in rows.columns or rows[column].null_count()]
            if lacks and self._pass(checksum, key) not in self._releases:
                self._untold.setdefault(path, lacks[0])
        return path in self._untold

    def refuse(self) -> None:
        """Raise GateFailed where an object was noted."""
        if not self._untold:
            return
        table, paths = stages_of(self.stage)[0], list(self._untold)
        keys = " or ".join(f"({', '.join(key)})" for key in self._earlier())
        shown = "; ".join(f"{path} lacks '{column}'" for path, column in list(self._untold.items())[:_SHOWN])
        more = f"; so do {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
        each = ", and the same for each of the others" if len(paths) > 1 else ""
        raise GateFailed(
            f"Rows of table '{table}' were forgotten by their key {keys}, and without it nobody can tell whether they "
            f"are read again: {shown}{more}, in a row at least. Nothing was read; the last version stays.",
            fix="Have those columns filled (they need not be the key). Or take the records of whoever was forgotten "
            f"out, then run: tillage forget {table} --release {paths[0]}{each}.",
        )

    def screen(self, rows: pl.DataFrame, path: str, checksum: str) -> pl.DataFrame:
        """The rows of an object without the forgotten ones."""
        if self.by_row and ID in rows.columns:
            rows = self._without(rows, rows[ID], *self._rows[self.key])
        for key in self._earlier():
            if all(column in rows.columns for column in key):
                ids = self.store.keys.row_ids(stages_of(self.stage)[0], rows, key)
                rows = self._without(rows, ids, *self._rows[key])
        if marks := self._marks_of(path, checksum):
            near = rows.filter((pl.col(RECORD) % _HINTS).is_in(list(marks[1])))[RECORD]
            gone = [n for n in near.to_list() if _of_place(self._secret, checksum, n) in marks[0]]
            rows = rows.filter(~pl.col(RECORD).is_in(gone)) if gone else rows
        return rows

    def _earlier(self) -> list[tuple[str, ...]]:
        """The keys, other than that of now, by which rows were forgotten."""
        return sorted(key for key in self._rows if key != self.key)

    def _marks_of(self, path: str, checksum: str) -> tuple[set[bytes], set[int]] | None:
        """The marks and hints of records of an object; None where there are none that hold."""
        if checksum not in self._places or self._leave(path, checksum) in self._releases:
            return None
        return self._places[checksum]

    def _leave(self, path: str, checksum: str) -> bytes:
        """The release of an object of which records were forgotten when it had this checksum."""
        return hmac.digest(self._secret, f"leave\0{path}\0{checksum}".encode(), sha256)

    def _pass(self, checksum: str, key: tuple[str, ...]) -> bytes:
        """The release of what an object holds from all that was forgotten by a key as yet: more is asked about."""
        marks = sha256(b"".join(sorted(self._rows[key][0]))).hexdigest()
        return hmac.digest(self._secret, f"pass\0{checksum}\0{dump(list(key))}\0{marks}".encode(), sha256)

    def releases(self, path: str, checksum: str | None) -> tuple[list[bytes], int]:
        """The releases of an object that are still to be written, and how many marks they let pass."""
        left = {c: self._leave(path, c) for c in _checksums_of(self.store, self.stage, path) if c in self._places}
        passed = {key: self._pass(checksum, key) for key in self._earlier()} if checksum is not None else {}
        freed = sum(len(self._places[c][0]) for c, mark in left.items() if mark not in self._releases)
        freed += sum(len(self._rows[key][0]) for key, mark in passed.items() if mark not in self._releases)
        return sorted({*left.values(), *passed.values()} - self._releases), freed

    def _without(self, rows: pl.DataFrame, named: pl.Series, marks: set[bytes], hints: set[int]) -> pl.DataFrame:
        near = named.rename(ID).to_frame().filter((low(ID) % _HINTS).is_in(list(hints)))[ID].unique()
        hit = [row for row in near.to_list() if _of_row(self._secret, row) in marks]
        return rows.filter(~named.is_in(pl.Series(ID, hit, dtype=pl.UInt128).implode())) if hit else rows

    def readable(self, bad: Sequence[BadRecord], path: str, checksum: str) -> list[BadRecord]:
        """The bad records without the forgotten ones."""
        marks, _ = self._marks_of(path, checksum) or (set(), set())
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
        return any(self._marks_of(path, c) for c in _checksums_of(self.store, self.stage, path))


def _checksums_of(store: Store, stage: str, path: str) -> set[str]:
    query = "SELECT DISTINCT checksum FROM sources WHERE stage IN (?, ?) AND path = ?"
    found = store.catalog.rows(query, *stages_of(stage), path)
    return {str(r[0]) for r in found}


def _of_row(secret: bytes, row: int) -> bytes:
    return hmac.digest(secret, b"row\0" + row.to_bytes(16, "little"), sha256)


def _of_place(secret: bytes, checksum: str, record: int) -> bytes:
    return hmac.digest(secret, f"place\0{checksum}\0{record}".encode(), sha256)


def _of_bytes(secret: bytes, raw: bytes) -> bytes:
    return hmac.digest(secret, b"raw\0" + raw, sha256)
