"""SQLite, by Python's own module: the file opened to be read alone, each value with the type that it has there.

A declared type binds nobody in SQLite, so that a column gets the narrowest type that holds all of its values, as one
of a CSV does. Source: sqlite.org, Datatypes In SQLite; URI filenames.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from tillage.collect.address import Address
from tillage.collect.database import BY_VALUE, Database, Row, Shape, bad_statement, no_connection, no_table, table_parts
from tillage.core.errors import InputMissing

BUSY_SECONDS = 30.0


class BrokenText(bytes):
    """A text that is not UTF-8, as its bytes."""


class Sqlite(Database):
    """An open connection."""

    mark: ClassVar[str] = "?"

    def __init__(self, address: Address) -> None:
        self._address = address
        require_file(address.database)
        with self._told():
            place = f"file:{quote(address.database)}?mode=ro"
            self._connection = sqlite3.connect(place, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            self._connection.text_factory = _text
            self._connection.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        """At once: nothing is under way."""
        self._connection.close()

    def shapes(self, relation: str, table: str) -> list[Shape]:
        """The columns; what they are declared as is known of a table alone."""
        with self._told():
            declared: dict[Any, Any] = dict(self._table_info(table, "name, type")) if table else {}
            cursor = self._connection.execute(f"SELECT * FROM {relation} LIMIT 0")  # noqa: S608 - quoted
            names = [str(column[0]) for column in cursor.description]
        return [Shape(n, str(declared.get(n, "")), BY_VALUE, self.quoted(n), "?") for n in names]

    def primary_key(self, table: str) -> tuple[str, ...]:
        """From the catalog."""
        with self._told():
            found = self._table_info(table, "pk, name")
        return tuple(str(name) for place, name in sorted(found) if place)

    def _table_info(self, table: str, columns: str) -> list[Row]:
        *schema, name = table_parts(table)
        query = f"SELECT {columns} FROM pragma_table_info(?, ?)"  # noqa: S608 - names of ours
        return self._connection.execute(query, (name, schema[0] if schema else "main")).fetchall()

    def stamp(self, table: str) -> dict[str, Any] | None:
        """Size and times of the file and of the log beside it."""
        return file_stamp(self._address.database, "-wal")

    def rows(self, statement: str, values: Sequence[Any], size: Callable[[], int]) -> Iterator[list[Row]]:
        """The rows, as the file is walked through."""
        with self._told():
            cursor = self._connection.execute(statement, tuple(values))
            while rows := cursor.fetchmany(size()):
                yield rows

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The module's errors as ours."""
        shown = self._address.shown
        try:
            yield
        except sqlite3.Error as error:
            said = str(error)
            if "no such table" in said:
                raise no_table(shown, said) from None
            if isinstance(error, sqlite3.DatabaseError) and any(
                w in said for w in ("locked", "open", "not a database", "malformed", "disk I/O")
            ):
                raise no_connection(shown, said) from None
            raise bad_statement(shown, said) from None


def require_file(path: str) -> None:
    """Raise InputMissing where there is no such file: opened, it would be made."""
    if not Path(path).is_file():
        raise InputMissing(f"There is no file {path}.", fix="Mend 'address', or put the file there.")


def file_stamp(path: str, log: str) -> dict[str, Any]:
    """What changes when a database's file changes, or its write-ahead log."""
    out: dict[str, Any] = {"size": 0}
    for name in (path, path + log):
        file = Path(name)
        if file.exists():
            info = file.stat()
            out["size"] += info.st_size
            out["log" if name != path else "file"] = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
    return out


def _text(data: bytes) -> str | BrokenText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return BrokenText(data)
