"""What every database is asked, and the words in which it answers: the four of them stand behind one class.

A column is read by an expression of its own, so that the server itself writes what has no type here (an interval, a
document, a geometry) as text, the same text that its own tools show.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

from tillage.core.errors import ConfigurationError, Denied, InputMissing, TillageError, Unavailable

Row: TypeAlias = "tuple[Any, ...]"

BY_VALUE = ""
"""The type of a column whose values each have one of their own."""

EXACT_DIGITS = 15
"""Decimals of so many digits are doubles and come back the same (IEEE 754)."""


class ConnectionLostError(Exception):
    """The server, or the way to it, went away in the middle of an answer; what was read before is good."""


@dataclass(frozen=True)
class Shape:
    """A column as its database has it.

    `declared`: its type there; `type`: the one it gets here; `select`: the expression that reads it; `bound`: the
    placeholder through which a value that was read is given back; `note`: why it is read as text; `written`: that the
    server writes a number as text.
    """

    name: str
    declared: str
    type: str
    select: str
    bound: str
    note: str = ""
    written: bool = False


class Database(ABC):
    """An open connection that only reads; what one driver does otherwise than SQL says stands in its own file."""

    mark: ClassVar[str]
    """What stands for a value in a statement; `%s` asks that a `%` which is no value be doubled."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def quoted(self, name: str) -> str:
        """A name as it stands in a statement that has values."""
        return self.escaped('"' + name.replace('"', '""') + '"')

    def escaped(self, statement: str) -> str:
        """A user's query as it stands in a statement that has values."""
        return statement if self.mark == "?" else statement.replace("%", "%%")

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection, whatever became of it."""

    @abstractmethod
    def shapes(self, relation: str, table: str) -> list[Shape]:
        """The columns of a relation; `table`: its name when it is a table, else empty."""

    @abstractmethod
    def primary_key(self, table: str) -> tuple[str, ...]:
        """The columns of a table's primary key, in order; none: there is no such key."""

    @abstractmethod
    def stamp(self, table: str) -> dict[str, Any] | None:
        """What changes whenever the table may have changed; None: the database has nothing of the kind."""

    @abstractmethod
    def rows(self, statement: str, values: Sequence[Any], size: Callable[[], int]) -> Iterator[list[Row]]:
        """The rows in lists of `size()`, as the server gives them; raises ConnectionLostError."""


def table_parts(table: str) -> list[str]:
    """A table's name and the schema before it.

    >>> table_parts("public.orders"), table_parts("orders")
    (['public', 'orders'], ['orders'])
    """
    parts = table.split(".")
    if len(parts) > 2 or not all(parts):
        raise ConfigurationError(f"'{table}' is no name of a table.", fix="Write TABLE or SCHEMA.TABLE, or a query.")
    return parts


def decimal_type(digits: int | None) -> tuple[str, str]:
    """Type and note of an exact decimal of so many digits; None: of any number."""
    if digits is not None and digits <= EXACT_DIGITS:
        return "float64", ""
    return "text", f"exact decimals have more than the {EXACT_DIGITS} digits of a double"


def missing_library(name: str, needs: str) -> Unavailable:
    """The error for a driver that is not installed."""
    return Unavailable(f"{needs} needs the library {name}.", fix="Install it: pip install 'tillage[sql]'")


def no_connection(shown: str, reason: str, *, refused: bool = False) -> TillageError:
    """The error for a database that cannot be reached, or that turns us away."""
    if refused:
        return Denied(f"{shown} turns us away: {reason.strip()}", fix="Check the user, and the secret's variable.")
    return Unavailable(f"{shown} cannot be reached: {reason.strip()}", fix="Check the address, and that it runs.")


def no_table(shown: str, reason: str) -> InputMissing:
    """The error for a table that is not there."""
    return InputMissing(f"{shown}: {reason.strip()}", fix="Mend 'table' or 'query'.")


def bad_statement(shown: str, reason: str) -> ConfigurationError:
    """The error for a query that the database does not take."""
    return ConfigurationError(f"{shown} does not take the query: {reason.strip()}", fix="Mend 'query'.")
