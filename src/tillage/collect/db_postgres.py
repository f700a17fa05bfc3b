"""PostgreSQL, by psycopg 3: one read-only transaction that sees one moment, a cursor on the server, text where needed.

Times come as the server writes them in UTC; what this program has no type for comes as the server's own text. Extra:
`pip install tillage[sql]`. Source: PostgreSQL documentation, sections 8 (types), 9.28 (write-ahead log), 13.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from tillage.collect.address import Address
from tillage.collect.database import (
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

if TYPE_CHECKING:
    import psycopg

TEXTS = {18, 19, 25, 1042, 1043, 2950}
"""Object ids of "char", name, text, bpchar, varchar, uuid (pg_type.dat; they never change)."""

PLAIN = {16: "bool", 20: "int64", 21: "int64", 23: "int64", 26: "int64", 700: "float64", 701: "float64"}
DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC = 1082, 1114, 1184, 1700
TABLES = ("r", "p", "m")
"""Kinds of relation that change by a commit alone: tables, partitioned ones, materialized views."""


class Postgres(Database):
    """An open connection."""

    mark: ClassVar[str] = "%s"

    def __init__(self, address: Address) -> None:
        try:
            import psycopg
        except ImportError:
            raise missing_library("psycopg", "PostgreSQL") from None
        self._errors = psycopg
        self._address = address
        given = {"connect_timeout": "15", "application_name": "tillage", **address.options}
        try:
            self._connection = psycopg.connect(
                host=address.host,
                port=address.port,
                dbname=address.database,
                user=address.user or None,
                password=address.password or None,
                client_encoding="utf8",
                options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex",
                **given,  # type: ignore[arg-type]
            )
        except psycopg.OperationalError as error:
            said = address.scrubbed(str(error))
            refused = any(word in said for word in ("authentication", "no password", "permission", "role "))
            raise no_connection(address.shown, said, refused=refused) from None
        self._connection.read_only = True
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

    def close(self) -> None:
        """The transaction has nothing to keep."""
        with suppress(self._errors.Error):
            self._connection.rollback()
        self._connection.close()

    def shapes(self, relation: str, table: str) -> list[Shape]:
        """The columns, by the description of an empty answer."""
        with self._told(), self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {relation} LIMIT 0", ())  # noqa: S608 - quoted
            described = list(cursor.description or ())
            kinds = sorted({column.type_code for column in described})
            cursor.execute(
                "SELECT oid::int8, format_type(oid, NULL), format_type(oid, -1), typtype = 'e' FROM pg_type "
                "WHERE oid = ANY(%s)",
                (kinds,),
            )
            names = {oid: rest for oid, *rest in cursor.fetchall()}
        return [self._shape(column, *names.get(column.type_code, ("unknown", "text", False))) for column in described]

    def _shape(self, column: psycopg.Column, kind: str, whole: str, is_enum: bool) -> Shape:
        """`whole`: the type of a value of any length; a plain `bit` or `character` would cut it to one."""
        oid, name = column.type_code, self.quoted(column.name)
        declared = f"{kind}({column.precision},{column.scale})" if oid == NUMERIC and column.precision else kind
        bound = f"CAST(%s AS {self.escaped(whole)})"
        as_text = f"{name}::text"
        if oid in PLAIN:
            return Shape(column.name, declared, PLAIN[oid], name, bound)
        if oid in TEXTS or is_enum:
            return Shape(column.name, declared, "text", as_text, bound)
        if oid == DATE:
            return Shape(column.name, declared, "date", as_text, bound)
        if oid == TIMESTAMP:
            return Shape(column.name, declared, "datetime", as_text, bound, "its times are taken to be UTC")
        if oid == TIMESTAMPTZ:
            return Shape(column.name, declared, "datetime", f"({name} AT TIME ZONE 'UTC')::text", bound)
        if oid == NUMERIC:
            kind_here, note = decimal_type(column.precision)
            return Shape(column.name, declared, kind_here, as_text, bound, note and f"read as text: {note}", True)
        return Shape(column.name, declared, "text", as_text, bound, "read as text")

    def primary_key(self, table: str) -> tuple[str, ...]:
        """From the catalog."""
        with self._told(), self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = "
                "ANY(i.indkey) WHERE i.indrelid = to_regclass(%s) AND i.indisprimary "
                "ORDER BY array_position(i.indkey::int2[], a.attnum)",
                (self._named(table),),
            )
            return tuple(row[0] for row in cursor.fetchall())

    def _named(self, table: str) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in table_parts(table))

    def stamp(self, table: str) -> dict[str, Any] | None:
        """The place in the write-ahead log, which every commit moves; of tables alone, since a view may ask a clock."""
        with self._told(), self._connection.cursor() as cursor:
            cursor.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", (self._named(table),))
            found = cursor.fetchone()
            if found is None or found[0] not in TABLES:
                return None
            cursor.execute(
                "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                "ELSE pg_current_wal_insert_lsn() END)::text, pg_postmaster_start_time()::text"
            )
            place, since = cursor.fetchone() or ("", "")
        return {"log": place, "since": since}

    def rows(self, statement: str, values: Sequence[Any], size: Callable[[], int]) -> Iterator[list[Row]]:
        """The rows, by a cursor that stays on the server."""
        with self._told(), self._connection.cursor(name="tillage") as cursor:
            cursor.execute(statement, tuple(values))
            while rows := cursor.fetchmany(size()):
                yield rows

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as ours."""
        shown, errors = self._address.shown, self._errors
        try:
            yield
        except errors.Error as error:
            said = self._address.scrubbed(str(error))
            if self._connection.closed:
                raise ConnectionLostError(said) from None
            if isinstance(error, errors.errors.UndefinedTable | errors.errors.InvalidSchemaName):
                raise no_table(shown, said) from None
            if isinstance(error, errors.errors.InsufficientPrivilege):
                raise no_connection(shown, said, refused=True) from None
            if isinstance(error, errors.OperationalError):
                raise no_connection(shown, said) from None
            raise bad_statement(shown, said) from None
