"""The catalog: one SQLite file that says which objects make which version of which table.

WAL and `synchronous=FULL`: a transaction that has returned survives a power cut. A chunk or a removal lives from the
version that brought it to the version that ended it: time travel is a comparison, and a version costs only its change.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from tillage.core.errors import TillageError, Unavailable, VerifyFailed

SCHEMA_VERSION = 4

_RUNS = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, stage TEXT NOT NULL, part TEXT NOT NULL, chunks TEXT NOT NULL);
CREATE TABLE pieces (
    run INTEGER NOT NULL, first INTEGER NOT NULL, object TEXT NOT NULL, checksum TEXT NOT NULL,
    entries INTEGER NOT NULL, PRIMARY KEY (run, first)) WITHOUT ROWID;
"""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    stage TEXT NOT NULL, version INTEGER NOT NULL, created TEXT NOT NULL, why TEXT NOT NULL,
    fingerprint TEXT NOT NULL, inputs TEXT NOT NULL, counts TEXT NOT NULL, columns TEXT NOT NULL,
    facts TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (stage, version)) WITHOUT ROWID;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stage TEXT NOT NULL, part TEXT NOT NULL, object TEXT NOT NULL,
    checksum TEXT NOT NULL, size INTEGER NOT NULL, rows INTEGER NOT NULL, page INTEGER NOT NULL DEFAULT -1,
    source INTEGER, added INTEGER NOT NULL, ended INTEGER);
CREATE INDEX chunks_by_stage ON chunks (stage, part, ended);
CREATE INDEX chunks_by_object ON chunks (object);
CREATE TABLE removals (
    chunk INTEGER NOT NULL, version INTEGER NOT NULL, ids BLOB NOT NULL, PRIMARY KEY (chunk, version)) WITHOUT ROWID;
CREATE TABLE placed (
    ordinal INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY (ordinal, chunk)) WITHOUT ROWID;
CREATE TABLE memo (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE small (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE digests (chunk INTEGER NOT NULL, version INTEGER NOT NULL, sum TEXT NOT NULL,
    PRIMARY KEY (chunk, version)) WITHOUT ROWID;
CREATE TABLE sources (
    stage TEXT NOT NULL, ordinal INTEGER NOT NULL, path TEXT NOT NULL, stamp TEXT NOT NULL, checksum TEXT NOT NULL,
    state TEXT NOT NULL, added INTEGER NOT NULL, ended INTEGER, PRIMARY KEY (stage, ordinal, added)) WITHOUT ROWID;
CREATE TABLE looks (model TEXT NOT NULL, exam TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (model, exam)) WITHOUT ROWID;
CREATE TABLE tags (stage TEXT NOT NULL, tag TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (stage, tag)) WITHOUT ROWID;
CREATE TABLE tombstones (
    stage TEXT NOT NULL, mark BLOB NOT NULL, hint INTEGER NOT NULL, checksum TEXT NOT NULL,
    PRIMARY KEY (stage, mark)) WITHOUT ROWID;
CREATE TABLE receipts (number INTEGER PRIMARY KEY, erased TEXT NOT NULL, signed TEXT NOT NULL);
CREATE TABLE erasures (epoch INTEGER NOT NULL, stage TEXT NOT NULL, version INTEGER NOT NULL,
    rows INTEGER NOT NULL, lost TEXT NOT NULL, created TEXT NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (epoch, stage, version)) WITHOUT ROWID;
""" + _RUNS.lstrip()

_UPGRADES = {
    "1": "DROP TABLE runs;\n" + _RUNS.lstrip(),
    "2": """
ALTER TABLE erasures RENAME COLUMN old TO lost;
UPDATE erasures SET lost = less(lost, new);
ALTER TABLE erasures DROP COLUMN new;
""",
    "3": """
ALTER TABLE erasures ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
UPDATE erasures SET last = version;
""",
}
"""By the schema that a store has: what brings it to the next. Locators are made again when they are asked for."""


def _less(a: str, b: str) -> str:
    """The difference of two sums modulo 2^128, in hexadecimal as they are."""
    return f"{(int(a, 16) - int(b, 16)) % (1 << 128):032x}"


_MISUSE = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""Errors that say nothing about the file: bugs of ours."""


_UNWRITABLE = ("readonly", "unable to open")
"""What SQLite says where a file, or the folder for its log, may not be written."""

PATIENCE = 60
"""Seconds that a connection waits for another's write."""


class _Asking:
    """One statement at a time, and what goes wrong is explained; a generator would cost as much as a small query."""

    def __init__(self, lock: RLock, path: Path) -> None:
        self._lock, self._path = lock, path

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._lock.release()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _MISUSE):
            raise _explained(error, self._path) from error


class Catalog:
    """A connection to the catalog, shared by the threads of one process."""

    _db: sqlite3.Connection

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()
        self._asking = _Asking(self._lock, path)
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        """What is to be done once the transaction under way has been committed."""
        self._undone = 0
        """Transactions that were rolled back, so far."""
        self.read_only = False
        """Nothing can be written where it lies; reading works all the same."""
        try:
            try:
                self._open(str(path))
                self._write_ahead()
                self.read_only = not os.access(path, os.W_OK)  # beside a writer's log it opens all the same
            except sqlite3.OperationalError as error:
                if not path.is_file() or not any(word in str(error) for word in _UNWRITABLE):
                    raise
                self._open_to_read()
            for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._prepare()
        except BaseException as error:
            if hasattr(self, "_db"):
                self._db.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise _explained(error, path) from error
            raise

    def _open(self, name: str, *, uri: bool = False) -> None:
        self._db = sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=PATIENCE, uri=uri)
        self._db.row_factory = sqlite3.Row

    def _open_to_read(self) -> None:
        """Open the file where nothing can be written. Without a log beside it nobody is writing, so no lock is needed

        (SQLite would make one); with a log, what it holds is read too.
        """
        self._db.close()
        logged = Path(f"{self.path}-wal")
        alone = not logged.exists() or not logged.stat().st_size
        self._open(f"{self.path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}", uri=True)
        self.read_only = True

    def _write_ahead(self) -> None:
        """Turn the write-ahead log on; SQLite does not wait by itself while another first opener does the same."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _prepare(self) -> None:
        if self._is_new():  # asked first without a lock, so that nobody who only reads waits for a writer
            with self.transaction():
                if self._is_new():
                    self._all_of(_SCHEMA)
                    self._db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
        if self.meta("schema") in _UPGRADES and not self.read_only:
            self._db.create_function("less", 2, _less, deterministic=True)
            with self.transaction():
                while (upgrade := _UPGRADES.get(self.meta("schema") or "")) is not None:
                    self._all_of(upgrade)
                    self.set_meta("schema", str(int(self.meta("schema") or "0") + 1))
        found = self.meta("schema")
        if found != str(SCHEMA_VERSION):
            raise Unavailable(
                f"The catalog {self.path} has schema {found}, and this Tillage knows {SCHEMA_VERSION}.",
                fix="Use the Tillage version that wrote it, or start a new store.",
            )

    def _all_of(self, statements: str) -> None:
        for statement in statements.split(";\n"):
            if statement.strip():
                self._db.execute(statement)

    def _is_new(self) -> bool:
        return not self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, also across a power cut; nested use joins the outer one."""
        with self._lock:
            if self._depth:
                yield
                return
            if self.read_only:
                raise _explained(sqlite3.OperationalError("attempt to write a readonly database"), self.path)
            self._depth = 1
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                    for act in self._after:
                        act()
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    self._undone += 1
                    raise
            except _MISUSE:
                raise
            except sqlite3.DatabaseError as error:
                raise _explained(error, self.path) from error
            finally:
                self._depth = 0
                self._after = []

    def once_committed(self, act: Callable[[], None]) -> None:
        """Do this when what was written so far in the transaction stands; never, when it is rolled back."""
        self._after.append(act)

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows that a query gives."""
        with self._asking:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row that a query gives."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def write(self, query: str, *values: Any) -> int:
        """Run one statement; the id of the row it made."""
        with self._asking:
            return int(self._db.execute(query, values).lastrowid or 0)

    def write_many(self, query: str, values: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        with self._asking:
            self._db.executemany(query, values)

    def state(self) -> tuple[int, int]:
        """Two numbers that stay while nothing is written, by this connection or another."""
        return int(self.rows("PRAGMA data_version")[0][0]), self._db.total_changes + self._undone

    def meta(self, key: str) -> str | None:
        """A named value of the store."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0]) if found else None

    def set_meta(self, key: str, value: str) -> None:
        """Set a named value of the store."""
        self.write("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    def vacuum(self) -> None:
        """Rewrite the file, so that no deleted value is left in it or in its log."""
        with self._asking:
            self._db.execute("VACUUM")
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Unavailable(
                f"The log of the catalog {self.path} is being read, so deleted values are still in it.",
                fix="Close whatever has the store open, and run again.",
            )

    def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when it is whole."""
        return [str(r[0]) for r in self.rows("PRAGMA integrity_check") if r[0] != "ok"]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()


def load(text: str) -> Any:
    """A JSON value of the catalog."""
    return json.loads(text)


def dump(value: Any) -> str:
    """A JSON value for the catalog."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _explained(error: sqlite3.DatabaseError, path: Path) -> TillageError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return Unavailable(f"The catalog {path} is busy.", fix="Try again; if it stays so, see who holds it open.")
    if "full" in text or "disk I/O" in text or "readonly" in text or "unable to open" in text:
        return Unavailable(
            f"The catalog {path} cannot be written: {text}.",
            fix="Free space or mend the permissions, then run again: finished work is kept.",
        )
    return VerifyFailed(f"The catalog {path} is damaged: {text}.", fix="Restore catalog.db from a backup.")
