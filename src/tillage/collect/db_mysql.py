"""MySQL and MariaDB, by PyMySQL: one read-only transaction, rows as the server sends them, text where needed.

A query's columns are known by what its answer describes, which tells a BLOB from a TEXT only by its values, and an
unsigned integer not at all: such a column gets the type of its values. Extra: `pip install tillage[sql]`.
Source: MySQL 8.4 reference manual, sections 13 (types) and 15.3.1 (transactions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from tillage.collect.address import Address
from tillage.collect.database import (
    BY_VALUE,
    ConnectionLostError,
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

INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "year"}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "uuid"}
BYTES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
SHAPES = {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
SHAPES |= {"geometrycollection", "geomcollection"}
CODES = {
    0: "decimal",
    7: "timestamp",
    10: "date",
    11: "time",
    12: "datetime",
    16: "bit",
    246: "decimal",
    255: "geometry",
}
"""Type codes of an answer whose values have to be asked for as text (include/mysql/field_types.h)."""

LOST = {1053, 1927, 2006, 2013, 2055, 4031}
"""Errors after which the connection is gone: shutdown, killed, gone away, lost."""

REFUSED = {1044, 1045, 1142, 1143, 1227, 1698}


class MySql(Database):
    """An open connection."""

    mark: ClassVar[str] = "%s"

    def __init__(self, address: Address) -> None:
        try:
            import pymysql
            import pymysql.cursors
        except ImportError:
            raise missing_library("PyMySQL", "MySQL or MariaDB") from None
        self._errors = pymysql.err
        self._address = address
        place: dict[str, Any] = {"host": address.host, "port": address.port}
        if address.host.startswith("/"):
            place = {"unix_socket": address.host}
        if "ssl_ca" in address.options:
            place["ssl_ca"] = address.options["ssl_ca"]
        try:
            self._connection = pymysql.connect(
                user=address.user or None,
                password=address.password,
                database=address.database,
                charset="utf8mb4",
                connect_timeout=int(address.options.get("connect_timeout", "15")),
                local_infile=False,
                cursorclass=pymysql.cursors.SSCursor,
                init_command="SET SESSION time_zone = '+00:00'",
                **place,
            )
        except pymysql.err.OperationalError as error:
            said = address.scrubbed(str(error.args[-1]))
            raise no_connection(address.shown, said, refused=error.args[0] in REFUSED) from None
        with self._told():
            self._ask("SET SESSION TRANSACTION READ ONLY")
            self._ask("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def close(self) -> None:
        """What was not read is left."""
        self._let_go()
        with suppress(self._errors.Error):
            self._connection.close()

    def _let_go(self) -> None:
        """Leave what was not read: the driver would read on when it is cleared away, from a connection that is gone."""
        result = getattr(self._connection, "_result", None)
        if result is not None:
            result.unbuffered_active = False

    def quoted(self, name: str) -> str:
        """A name in backticks, its `%` doubled."""
        return self.escaped("`" + name.replace("`", "``") + "`")

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(values))
            return list(cursor.fetchall())

    def shapes(self, relation: str, table: str) -> list[Shape]:
        """The columns: a table's from the catalog, a query's by the description of an empty answer."""
        if table:
            *schema, name = table_parts(table)
            with self._told():
                found = self._ask(
                    "SELECT column_name, data_type, column_type, numeric_precision FROM information_schema.columns "
                    "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                    (schema[0] if schema else self._address.database, name),
                )
            if not found:
                raise no_table(self._address.shown, f"No table or view has the name '{table}'.")
            return [
                self._declared(str(n), _str(kind).lower(), _str(full).lower(), digits)
                for n, kind, full, digits in found
            ]
        with self._told(), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {relation} LIMIT 0", ())  # noqa: S608 - quoted
            described = list(cursor.description or ())
        return [self._described(str(column[0]), int(column[1])) for column in described]

    def _declared(self, column: str, kind: str, full: str, digits: Any) -> Shape:
        name = self.quoted(column)
        as_text = f"CAST({name} AS CHAR)"
        if kind in INTEGERS:
            if kind == "bigint" and "unsigned" in full:
                note = "read as text: it holds integers beyond those of 64 bits with a sign"
                return Shape(column, full, "text", as_text, "CAST(%s AS UNSIGNED)", note)
            return Shape(column, full, "int64", name, "%s")
        if kind in ("float", "double"):
            return Shape(column, full, "float64", name, "%s")
        if kind == "decimal":
            here, note = decimal_type(int(digits))
            return Shape(
                column, full, here, as_text, "CAST(%s AS DECIMAL(65, 30))", note and f"read as text: {note}", True
            )
        if kind in TEXTS:
            return Shape(column, full, "text", name, "%s")
        return self._by_text(column, kind, full)

    def _described(self, column: str, code: int) -> Shape:
        kind = CODES.get(code, "")
        if kind == "decimal":
            note = "read as text: a query does not tell how many digits its decimals have"
            text = f"CAST({self.quoted(column)} AS CHAR)"
            return Shape(column, kind, "text", text, "CAST(%s AS DECIMAL(65, 30))", note)
        if kind:
            return self._by_text(column, kind, kind)
        return Shape(column, f"type {code}", BY_VALUE, self.quoted(column), "%s")

    def _by_text(self, column: str, kind: str, full: str) -> Shape:
        name = self.quoted(column)
        as_text = f"CAST({name} AS CHAR)"
        if kind == "date":
            return Shape(column, full, "date", as_text, "%s")
        if kind in ("datetime", "timestamp"):
            note = "its times are taken to be UTC" if kind == "datetime" else ""
            return Shape(column, full, "datetime", as_text, "%s", note)
        if kind in BYTES:
            return Shape(column, full, "text", f"HEX({name})", "UNHEX(%s)", "read as text")
        if kind in SHAPES:
            return Shape(column, full, "text", f"ST_AsText({name})", "ST_GeomFromText(%s)", "read as text")
        if kind == "bit":
            return Shape(column, full, "text", f"CAST({name} + 0 AS CHAR)", "CAST(%s AS UNSIGNED)", "read as text")
        return Shape(column, full, "text", as_text, "%s", "read as text")

    def primary_key(self, table: str) -> tuple[str, ...]:
        """From the catalog."""
        *schema, name = table_parts(table)
        with self._told():
            found = self._ask(
                "SELECT column_name FROM information_schema.key_column_usage WHERE constraint_name = 'PRIMARY' "
                "AND table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                (schema[0] if schema else self._address.database, name),
            )
        return tuple(str(row[0]) for row in found)

    def stamp(self, table: str) -> dict[str, Any] | None:
        """None: the server keeps nothing that every change moves and a restart keeps."""
        return None

    def rows(self, statement: str, values: Sequence[Any], size: Callable[[], int]) -> Iterator[list[Row]]:
        """The rows as they come over the wire."""
        with self._told():
            cursor = self._connection.cursor()
            try:
                cursor.execute(statement, tuple(values))
                while rows := cursor.fetchmany(size()):
                    yield list(rows)
            finally:
                if not self._connection.open:
                    self._let_go()
                else:
                    cursor.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as ours."""
        shown, errors = self._address.shown, self._errors
        try:
            yield
        except errors.Error as error:
            code = error.args[0] if error.args else 0
            said = self._address.scrubbed(str(error.args[-1] if error.args else error))
            if code in LOST or isinstance(error, errors.InterfaceError):
                raise ConnectionLostError(said) from None
            if code == 1146:
                raise no_table(shown, said) from None
            if code in REFUSED:
                raise no_connection(shown, said, refused=True) from None
            raise bad_statement(shown, said) from None


def _str(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
