"""A table or query of PostgreSQL, MySQL, MariaDB, SQLite or DuckDB as a source; nothing is written there, ever.

Whole: the rows are read in the order of their key and compared with those of the last time, so that updates and
deletions show; PostgreSQL (by its log) and the two that are files (by their stamps) say when nothing can have changed.
With `cursor`: only rows beyond the last value of that column are asked for; deletions are not seen. A lost connection
is taken up behind the last key. Cost: some 5 us a row of five columns, memory flat, a compressed copy in the folder for
temporary files (a file without a name) while it is read.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from tillage.collect.address import address_of, check_address
from tillage.collect.cursor import STARTS, is_mask, is_what, masked, named, number, window
from tillage.collect.database import BY_VALUE, ConnectionLostError, Database, Row, Shape, table_parts
from tillage.collect.db_duckdb import DuckDb
from tillage.collect.db_mysql import MySql
from tillage.collect.db_postgres import Postgres
from tillage.collect.db_sqlite import Sqlite
from tillage.collect.files import TypeName
from tillage.collect.piece import Limits, check_names
from tillage.collect.rows import batches, no_rows
from tillage.collect.spool import Spool
from tillage.collect.types import ClashError, Column, union
from tillage.core.errors import ConfigurationError, Problem, Unavailable, UnknownColumns, unknown_name
from tillage.core.state import State
from tillage.core.step import Batch, Found
from tillage.flow.following import Following, Held, Looked
from tillage.flow.pipeline import reader

TRIES = 5
"""Connections that may be lost one after another without a row between them."""

WAIT_SECONDS = 0.2
KEPT = 8
"""Answers that are kept until they are read."""

ORDERED = {"int64", "float64", "date", "datetime", "text", BY_VALUE}
_ORDERED_COLUMNS = "Take a column of integers, decimals, times or texts."
ENDS = {"infinity", "-infinity", "nan"}
"""Times and decimals that stand beyond all others; PostgreSQL puts NaN above every number."""
_spools: OrderedDict[str, Spool] = OrderedDict()


class Sql(Following):
    """Rows of a table or query in a database.

    >>> import sqlite3, tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with sqlite3.connect(root / "shop.db") as shop:
    ...     _ = shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
    ...     _ = shop.execute("INSERT INTO orders VALUES (7, 'tea'), (8, NULL)")
    >>> shop.close()
    >>> orders = Sql(address="sqlite:shop.db", table="orders")
    >>> types = orders.column_types([orders.observe(root, found.path) for found in orders.scan(root)])
    >>> [(batch.records.to_list(), batch.rows.rows()) for batch in orders.read(root, "orders", types)]
    [([7, 8], [(7, 'tea'), (8, None)])]
    """

    sees_deletions: ClassVar[bool] = True
    """Unless there is a `cursor`."""

    address: str = Field(
        description="postgresql://USER@HOST/DATABASE, mysql://.., sqlite:FILE or duckdb:FILE; ${NAME} stands for an "
        "environment variable. It holds no password."
    )
    secret: str = Field("", description="Name of the environment variable that holds the password.")
    table: str = Field("", description="TABLE or SCHEMA.TABLE; or else give a query.")
    query: str = Field("", description="One SELECT; or else give a table.")
    key: tuple[str, ...] = Field(
        (), description="Columns that identify a row and order the reading; default: the table's primary key."
    )
    cursor: str = Field(
        "",
        description="A column that grows with each change (a time, a number): only rows beyond its last value come.",
    )
    accept: str = Field(
        "", description="Digest of the columns as they are meant to be; the error about changed columns names it."
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict, description="Column to type; a record with a cell that does not fit is quarantined."
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        check_address(self.address, self.secret)
        if bool(self.table) == bool(self.query):
            raise ValueError("give either 'table' or 'query'")
        if self.query and not self.key:
            raise ValueError("a query has no key of its own: name the columns that identify a row as 'key'")
        return self

    @field_validator("table")
    @classmethod
    def _a_table(cls, value: str) -> str:
        if value:
            table_parts(value)
        return value

    @field_validator("query")
    @classmethod
    def _one_query(cls, value: str) -> str:
        return value.strip().rstrip(";").rstrip()

    # -- what is there ----------------------------------------------------------------------------------------------

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """One object, the table; with a cursor one for each time there was something new. No row of it is fetched."""
        with self._asked(root) as database:
            shapes = self._shapes(database)
            self._refuse_changed(shapes, held)
            if self.cursor:
                return Looked(self._windows(database, shapes, held))
            stamp = database.stamp(self.table) if self.table else None
        return Looked([Found(path=self._label, stamp=stamp or {"asked": time.time_ns()})])

    def needs_key(self) -> bool:
        """With a cursor an updated row comes again."""
        return bool(self.cursor)

    def masked(self, held: Sequence[Held], named: Collection[str]) -> list[Held]:
        """The objects with digests in place of the cursor's values; a whole table is named by none."""
        return masked(held, named, self._label) if self.cursor else list(held)

    def notes(self, states: Sequence[State]) -> tuple[str, ...]:
        """What a cursor does not see, and which columns are read as something else than they are there."""
        out = []
        if self.cursor:
            out.append(
                f"'{self.cursor}' is the cursor, so rows deleted in the database stay here, and rows that are given a "
                "value below the last one read, or none, are not seen"
            )
        told = dict.fromkeys((c, d, note) for state in states for c, d, note in state.get("noted", ()))
        return (*out, *(f"column '{column}' ({declared}): {note}" for column, declared, note in told))

    @property
    def _label(self) -> str:
        return self.table or "query"

    def _windows(self, database: Database, shapes: list[Shape], held: Sequence[Held]) -> list[Found]:
        """The stretches of the cursor that were read, and the one since."""
        shape = next((s for s in shapes if s.name == self.cursor), None)
        if shape is None:
            raise ConfigurationError(
                unknown_name("column", self.cursor, [s.name for s in shapes]), fix="Mend 'cursor'."
            )
        if shape.type not in ORDERED or (shape.type == "float64" and not shape.written):
            raise ConfigurationError(f"'{shape.name}' ({shape.declared}) cannot be a cursor.", fix=_ORDERED_COLUMNS)
        found = [Found(path=h.path, stamp=h.stamp) for h in held]
        if held and window(held[-1].path)["to"] is None:  # the table was empty
            found.pop()
            held = held[:-1]
        name, relation = database.quoted(shape.name), self._relation(database)
        at, last = self._last(database, shape, held)
        bounds: dict[str, Any] = {}
        top = last
        if last is None or self._any(database, f"{relation} WHERE {name} > {shape.bound}", [last]):
            top = self._top(database, shape, relation)
        if last is not None:
            ties = held[at].state.get("ties", ())
            same = at == len(held) - 1 and is_what(ties, self._ties(database, shapes, shape, last))
            if same and top == last:
                return found
            bound = window(held[at].path)["to"]  # as it stands on record
            bounds = {"after" if same else "from": bound}
            top = bound if top == last else top
        following = 1 + (number(found[-1].path, self._label) if found else 0)
        path, stamp = named(self._label, following, {**bounds, "to": top})
        return [*found, Found(path=path, stamp=stamp)]

    def _last(self, database: Database, shape: Shape, held: Sequence[Held]) -> tuple[int, Any]:
        """The object that ends with the greatest bound that is known, and the bound; (-1, None) when there is none."""
        bounds = [window(h.path)["to"] for h in held]
        floor = next((n for n in reversed(range(len(bounds))) if not is_mask(bounds[n])), -1)
        least = bounds[floor] if floor >= 0 else None
        for value in self._values(database, shape, least) if floor < len(bounds) - 1 else ():
            for at in range(len(bounds) - 1, floor, -1):
                if is_what(bounds[at], value):
                    return at, value
        return floor, least

    def _values(self, database: Database, shape: Shape, least: Any = None) -> Iterator[Any]:
        """The values of the cursor from the greatest down, those beyond `least` alone if it is given."""
        name = database.quoted(shape.name)
        beyond = f"{name} IS NOT NULL" if least is None else f"{name} > {shape.bound}"
        inner = f"SELECT DISTINCT {name} FROM {self._relation(database)} WHERE {beyond}"  # noqa: S608 - quoted
        query = f"SELECT {shape.select} FROM ({inner}) AS t ORDER BY t.{name} DESC"  # noqa: S608 - quoted
        for rows in database.rows(query, [] if least is None else [least], lambda: 256):
            yield from (row[0] for row in rows)

    def _any(self, database: Database, where: str, values: list[Any]) -> bool:
        asked = database.rows(f"SELECT 1 FROM {where} LIMIT 1", values, lambda: 1)  # noqa: S608 - quoted
        return bool(next(asked, None))

    def _top(self, database: Database, shape: Shape, relation: str) -> Any:
        """The greatest value of the cursor, as it is read; None in a table without one."""
        name = database.quoted(shape.name)
        query = f"SELECT {shape.select} FROM (SELECT max({name}) AS {name} FROM {relation}) AS t"  # noqa: S608
        ((value,),) = next(database.rows(query, [], lambda: 1))
        if isinstance(value, bytes | float):
            kind = "bytes" if isinstance(value, bytes) else "fractions"
            raise ConfigurationError(f"'{shape.name}' ({kind}) cannot be a cursor.", fix=_ORDERED_COLUMNS)
        if (shape.written or shape.type in ("date", "datetime")) and str(value).lower() in ENDS:
            raise ConfigurationError(
                f"The greatest value of the cursor '{shape.name}' is {value!r}, after which nothing could come.",
                fix="Take another column, or a query that leaves such rows out.",
            )
        return value

    def _ties(self, database: Database, shapes: list[Shape], shape: Shape, value: Any) -> tuple[int, str]:
        """How many rows have the last value of the cursor, and the sum of their hashes."""
        columns = ", ".join(s.select for s in shapes)
        where = f"{database.quoted(shape.name)} = {shape.bound}"
        query = f"SELECT {columns} FROM {self._relation(database)} WHERE {where}"  # noqa: S608 - quoted
        found = _Ties()
        for rows in database.rows(query, [value], lambda: 1000):
            found.add(rows)
        return found.told()

    # -- one object -------------------------------------------------------------------------------------------------

    def checksum(self, root: Path, path: str) -> str:
        """SHA-256 of columns and rows, which are fetched anew for it."""
        return self._fetched(root, path, anew=True).digest()

    def observe(self, root: Path, path: str) -> State:
        """Columns, their types there and here, how many records, and those with the cursor's last value."""
        spool = self._fetched(root, path)
        seen = spool.seen.columns
        noted = [[s.name, s.declared, s.note] for s in spool.shapes if s.note and s.name not in self.types]
        noted += [[name, "bytes", "read as hexadecimal text"] for name in sorted(spool.has_bytes)]
        return {
            "path": path,
            "columns": {name: column.type for name, column in seen.items()},
            "order": list(seen),
            "wide": sorted(name for name, column in seen.items() if column.wide),
            "records": spool.records,
            "declared": _declared(spool.shapes),
            "noted": noted,
            "ties": list(spool.ties),
        }

    def column_types(self, states: list[State]) -> dict[str, str]:
        """Column to type; raises ConfigurationError for a declared column that is not there."""
        try:
            merged = union(
                (s["path"], {n: Column(s["columns"][n], n in s["wide"]) for n in s["order"]}) for s in states
            )
        except ClashError as clash:
            raise ConfigurationError(f"The values do not go together: {clash}.", fix="Declare 'types'.") from clash
        absent = [name for name in self.types if name not in merged]
        if absent:
            raise UnknownColumns("types", absent, merged, "Mend 'types' of the source.")
        return {name: self.types.get(name, column.final()) for name, column in merged.items()}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """The rows, by ascending key; see `Source.read`."""
        spool = self._fetched(root, path)
        dated = {s.name for s in spool.shapes if s.type in ("date", "datetime") and s.name not in self.types}
        empty = True
        for piece in spool.pieces():
            for batch in batches(piece, schema, schema, dated):
                empty = False
                yield batch
        if empty:
            yield no_rows(schema, [])
        if _spools.pop(self._place(root, path), None) is not None:
            spool.close()

    def _place(self, root: Path, path: str) -> str:
        return json.dumps([self.model_dump_json(exclude={"types", "accept"}), str(root.absolute()), path])

    def _fetched(self, root: Path, path: str, *, anew: bool = False) -> Spool:
        place = self._place(root, path)
        if anew or place not in _spools:
            if before := _spools.pop(place, None):
                before.close()
            _spools[place] = self._fetch(root, path)
            while len(_spools) > KEPT:
                _spools.popitem(last=False)[1].close()
        return _spools[place]

    def _fetch(self, root: Path, path: str) -> Spool:
        """All rows of an object."""
        with ExitStack() as undo:
            spool = self._fetch_into(undo, root, path)
            undo.pop_all()
        return spool

    def _fetch_into(self, undo: ExitStack, root: Path, path: str) -> Spool:
        """All rows of an object; after a lost connection from behind the last key on."""
        spool: Spool | None = None
        ties, after, lost = _Ties(), None, 0
        while True:
            try:
                with self._connected(root) as database:
                    shapes = self._shapes(database)
                    if spool is None:
                        key = self._key(database, shapes)
                        spool = Spool(shapes, self._numbering(database, shapes, key))
                        undo.callback(spool.close)
                    elif spool.shapes != shapes:
                        raise self._changed(_declared(spool.shapes), _declared(shapes))
                    for rows in self._rows(database, shapes, key, path, after, spool):
                        after, lost = self._last_key(rows, shapes, key, after), 0
                        plain = ties.taken(rows, len(shapes))
                        spool.add(plain)
                    spool.ties = ties.told()
                    return spool
            except ConnectionLostError as error:
                lost += 1
                if lost > TRIES:
                    raise self._gone(error) from None
                time.sleep(WAIT_SECONDS * 2**lost)

    def _rows(
        self, database: Database, shapes: list[Shape], key: tuple[str, ...], path: str, after: Row | None, spool: Spool
    ) -> Iterator[list[Row]]:
        """The rows of an object behind a key; with a cursor each has one column more: whether it has its last value."""
        by_name = {s.name: s for s in shapes}
        columns, where, values = [s.select for s in shapes], [], list[Any]()
        if self.cursor:
            shape = by_name[self.cursor]
            name, bounds = database.quoted(self.cursor), self._known(database, shape, window(path))
            if bounds.get("to") is None:
                where += [f"{name} IS NULL"] if "to" in bounds else []
                columns.append("NULL")
            else:
                columns.append(f"{name} = {shape.bound}")
                within = f"{name} <= {shape.bound}"
                values += [bounds["to"], bounds["to"]]
                where.append(f"({within} OR {name} IS NULL)" if len(bounds) == 1 else within)
            for word, sign in STARTS:
                if word in bounds:
                    where.append(f"{name} {sign} {shape.bound}")
                    values.append(bounds[word])
        names = [database.quoted(k) for k in key]
        if after is not None:
            where.append(f"({', '.join(names)}) > ({', '.join(by_name[k].bound for k in key)})")
            values += after
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        query = f"SELECT {', '.join(columns)} FROM {self._relation(database)}{condition} ORDER BY {', '.join(names)}"  # noqa: S608
        return database.rows(query, values, spool.size)

    def _known(self, database: Database, shape: Shape, bounds: dict[str, Any]) -> dict[str, Any]:
        """The bounds of a stretch as values; without one that is found no more, so that it holds too much rather than
        too little: of a row that comes twice the later stretch has the last word."""
        known = {word: bound for word, bound in bounds.items() if not is_mask(bound)}
        for word in bounds.keys() - known:
            found = next((v for v in self._values(database, shape) if is_what(bounds[word], v)), None)
            known |= {} if found is None else {word: found}
        return known

    def _last_key(self, rows: list[Row], shapes: list[Shape], key: tuple[str, ...], before: Row | None) -> Row:
        """The key of the last row; raises ConfigurationError for keys that do not tell rows apart."""
        places = [[s.name for s in shapes].index(k) for k in key]
        keys = [tuple(row[p] for p in places) for row in rows]
        if any(None in k for k in keys):
            raise ConfigurationError(
                f"The key ({', '.join(key)}) is NULL in a row of {self._label}.", fix="Mend 'key'."
            )
        if keys[0] == before or any(a == b for a, b in pairwise(keys)):
            raise ConfigurationError(
                f"Two rows of {self._label} have one key ({', '.join(key)}).",
                fix="Name columns as 'key' that tell all rows apart.",
            )
        return keys[-1]

    # -- columns ----------------------------------------------------------------------------------------------------

    def _relation(self, database: Database) -> str:
        if self.table:
            return ".".join(database.quoted(part) for part in table_parts(self.table))
        return f"({database.escaped(self.query)}\n) AS q"

    def _shapes(self, database: Database) -> list[Shape]:
        shapes = database.shapes(self._relation(database), self.table)
        check_names([s.name for s in shapes], self._label, Limits())
        return shapes

    def _key(self, database: Database, shapes: list[Shape]) -> tuple[str, ...]:
        names = [s.name for s in shapes]
        key = self.key or database.primary_key(self.table)
        if not key:
            raise ConfigurationError(
                f"The table '{self.table}' has no primary key, so its rows have no order.",
                fix="Name the columns that identify a row as 'key' of the source.",
            )
        if problems := [Problem(unknown_name("column", k, names)) for k in key if k not in names]:
            raise ConfigurationError(problems, fix="Mend 'key' of the source.")
        return key

    def _numbering(self, database: Database, shapes: list[Shape], key: tuple[str, ...]) -> int | None:
        """The place of a key that can number the records: one integer, never negative."""
        place = [s.name for s in shapes].index(key[0])
        if len(key) > 1 or shapes[place].type not in ("int64", BY_VALUE):
            return None
        name = database.quoted(key[0])
        ends = f"SELECT min({name}), max({name}) FROM {self._relation(database)}"  # noqa: S608 - quoted
        ((least, most),) = next(database.rows(ends, [], lambda: 1))
        ok = type(least) is int and least >= 0 and type(most) is int and most < 1 << 63
        return place if ok else None

    def _refuse_changed(self, shapes: list[Shape], held: Sequence[Held]) -> None:
        now = _declared(shapes)
        if self.accept:
            if self.accept != _digest(now):
                raise ConfigurationError(
                    f"The columns of {self._label} are not those that 'accept' stands for: {_told(now)}.",
                    fix=f"If they are meant to be so, write: accept: {_digest(now)}",
                )
        elif held and held[-1].state.get("declared", now) != now:
            raise self._changed(held[-1].state["declared"], now)

    def _changed(self, before: list[list[str]], now: list[list[str]]) -> ConfigurationError:
        was, here = {name: kind for name, kind in before}, {name: kind for name, kind in now}  # noqa: C416
        said = [f"'{n}' is gone" for n in was if n not in here]
        said += [f"'{n}' ({t}) is new" for n, t in here.items() if n not in was]
        said += [f"'{n}' was {was[n]} and is {t}" for n, t in here.items() if n in was and was[n] != t]
        return ConfigurationError(
            f"The columns of {self._label} changed since it was read: {'; '.join(said) or 'another order'}.",
            fix=f"If that is meant, put this into the source, which reads it anew: accept: {_digest(now)}",
        )

    # -- connections ------------------------------------------------------------------------------------------------

    def _connected(self, root: Path) -> Database:
        address = address_of(self.address, self.secret, root)
        kinds: dict[str, type[Postgres | MySql | Sqlite | DuckDb]] = {
            "postgresql": Postgres,
            "mysql": MySql,
            "sqlite": Sqlite,
            "duckdb": DuckDb,
        }
        return kinds[address.kind](address)

    @contextmanager
    def _asked(self, root: Path) -> Iterator[Database]:
        """A connection for a few questions, which are not asked again when it is lost."""
        try:
            with self._connected(root) as database:
                yield database
        except ConnectionLostError as error:
            raise self._gone(error) from None

    def _gone(self, error: ConnectionLostError) -> Unavailable:
        return Unavailable(
            f"The connection for {self._label} was lost: {error}", fix="Run again when the server is up."
        )


class _Ties:
    """The rows that have the last value of a cursor: their number, and the sum of their hashes in whatever order."""

    def __init__(self) -> None:
        self._count, self._sum = 0, 0

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            said = json.dumps([v.hex() if isinstance(v, bytes) else v for v in row], default=str).encode()
            self._count += 1
            self._sum = (self._sum + int.from_bytes(sha256(said).digest()[:16], "little")) % (1 << 128)

    def taken(self, rows: list[Row], width: int) -> list[Row]:
        """The rows without the column that marks ties, which are counted."""
        if len(rows[0]) == width:
            return rows
        self.add([row[:width] for row in rows if row[width]])
        return [row[:width] for row in rows]

    def told(self) -> tuple[int, str]:
        return self._count, f"{self._sum:032x}"


def _declared(shapes: Sequence[Shape]) -> list[list[str]]:
    return [[s.name, s.declared] for s in shapes]


def _digest(declared: list[list[str]]) -> str:
    return sha256(json.dumps(declared, ensure_ascii=False).encode()).hexdigest()[:12]


def _told(declared: list[list[str]]) -> str:
    return ", ".join(f"{name} {kind}".strip() for name, kind in declared)


sql = reader(Sql)
"""The function that begins a pipeline with this source."""
