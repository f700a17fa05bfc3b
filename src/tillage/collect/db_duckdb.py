"""DuckDB, by its own library: the file opened to be read alone, with no way to other files or the network.

A query of DuckDB may read any file of the machine and load extensions; both are switched off. Extra:
`pip install tillage[sql]`. Source: duckdb.org, Securing DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from tillage.collect.address import Address
from tillage.collect.database import (
    Database,
    Row,
    Shape,
    bad_statement,
    decimal_type,
    missing_library,
    no_connection,
    no_table,
    table_parts,
)
from tillage.collect.db_sqlite import file_stamp, require_file

PLAIN = {
    "BOOLEAN": "bool",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "float64"),
}
TIMES = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"}


class DuckDb(Database):
    """An open connection."""

    mark: ClassVar[str] = "?"

    def __init__(self, address: Address) -> None:
        try:
            import duckdb
        except ImportError:
            raise missing_library("duckdb", "DuckDB") from None
        self._errors = duckdb
        self._address = address
        require_file(address.database)
        closed: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "threads": "1",
        }
        try:
            self._connection = duckdb.connect(address.database, read_only=True, config=closed)
            self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        except duckdb.Error as error:
            raise no_connection(address.shown, str(error)) from None

    def close(self) -> None:
        """At once: nothing is under way."""
        self._connection.close()

    def shapes(self, relation: str, table: str) -> list[Shape]:
        """The columns, by what the database says of them."""
        with self._told():
            found = self._connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608 - quoted
        return [self._shape(str(row[0]), str(row[1])) for row in found]

    def _shape(self, column: str, declared: str) -> Shape:
        name = self.quoted(column)
        as_text, bound = f"CAST({name} AS VARCHAR)", f"CAST(? AS {declared})"
        if declared in PLAIN:
            return Shape(column, declared, PLAIN[declared], name, bound)
        if declared in ("VARCHAR", "UUID") or declared.startswith("ENUM"):
            return Shape(column, declared, "text", as_text, bound)
        if declared == "DATE":
            return Shape(column, declared, "date", as_text, bound)
        if declared in TIMES:
            note = "" if "ZONE" in declared else "its times are taken to be UTC"
            return Shape(column, declared, "datetime", f"CAST(CAST({name} AS TIMESTAMP) AS VARCHAR)", bound, note)
        if digits := re.fullmatch(r"DECIMAL\((\d+),\s*\d+\)", declared):
            here, note = decimal_type(int(digits[1]))
            return Shape(column, declared, here, as_text, bound, note and f"read as text: {note}", True)
        if declared == "BLOB":
            return Shape(column, declared, "text", f"hex({name})", "unhex(?)", "read as text")
        return Shape(column, declared, "text", as_text, bound, "read as text")

    def primary_key(self, table: str) -> tuple[str, ...]:
        """From the catalog."""
        *schema, name = table_parts(table)
        with self._told():
            found = self._connection.execute(
                "SELECT constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY' "
                "AND lower(table_name) = lower(?) AND lower(schema_name) = lower(?)",
                [name, schema[0] if schema else "main"],
            ).fetchall()
        return tuple(found[0][0]) if found else ()

    def stamp(self, table: str) -> dict[str, Any] | None:
        """Size and times of the file and of the log beside it."""
        return file_stamp(self._address.database, ".wal")

    def rows(self, statement: str, values: Sequence[Any], size: Callable[[], int]) -> Iterator[list[Row]]:
        """The rows, as they are computed."""
        with self._told():
            answer = self._connection.execute(statement, list(values))
            while rows := answer.fetchmany(size()):
                yield rows

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors as ours."""
        shown = self._address.shown
        try:
            yield
        except self._errors.CatalogException as error:
            raise no_table(shown, str(error)) from None
        except self._errors.Error as error:
            raise bad_statement(shown, str(error)) from None
