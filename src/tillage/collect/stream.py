"""What sources of messages share: how values are read, which facts become columns, how a broker is reached.

An object is what came between two runs. Its messages are fetched once into a temporary file; once they are in the table
its rows are what there is of it, whether or not the broker still has them.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from tillage.collect.files import TypeName
from tillage.collect.messages import Form, Format, MessageReader, Messages, recast
from tillage.collect.piece import Limits
from tillage.collect.rows import batches, no_rows, observed
from tillage.collect.types import Column, union
from tillage.core.errors import Denied
from tillage.core.state import State
from tillage.core.step import Batch
from tillage.flow.following import Following
from tillage.guard.paths import inside

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Stream(Following):
    """Messages of a broker, a row each."""

    sees_deletions: ClassVar[bool] = False

    facts: ClassVar[dict[str, str]]
    """Facts about a message, as columns with their types; all of them stand beside the values in what is fetched."""

    format: Format = Field("json", description="What a message holds: an object of JSON, one record of CSV, or text.")
    columns: tuple[str, ...] = Field((), description="The names of the fields of CSV, in order.")
    delimiter: str = Field(",", description="What separates the fields of CSV: one ASCII character.")
    user: str = Field("", description="The name under which the broker knows us.")
    secret: str = Field("", description="Name of the environment variable that holds the password.")
    tls: bool = Field(False, description="Whether connections are encrypted, and the broker's certificate checked.")
    ca: str = Field("", description="File of the certificates that are trusted (PEM); default: those of the machine.")
    certificate: str = Field("", description="File of our own certificate (PEM), where the broker asks for one.")
    private_key: str = Field("", description="File of its key (PEM).")
    key_secret: str = Field("", description="Name of the environment variable that holds the password of that key.")
    timeout: float = Field(30.0, ge=0.1, le=600, description="Seconds that the broker may be silent.")
    types: dict[str, TypeName] = Field(
        default_factory=dict, description="Column to type; a message with a cell that does not fit is quarantined."
    )
    max_field: int = Field(1_000_000, ge=1, le=16_000_000, description="Longest field that is read, in bytes.")
    max_columns: int = Field(20_000, ge=1, description="Most columns that the messages may have.")

    @field_validator("secret", "key_secret")
    @classmethod
    def _a_variable(cls, value: str) -> str:
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("it is the name of an environment variable: letters, digits and _")
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if len(value) != 1 or not value.isascii() or value in '"\r\n\0':
            raise ValueError("the delimiter must be one ASCII character, not a quote or a line break; or 'tab'")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.format == "csv") != bool(self.columns):
            raise ValueError("'columns' names the fields of format csv, which needs it")
        if any(c.startswith("_") or c in self.facts or not c.strip() for c in self.columns):
            raise ValueError("a column has a name, which neither begins with '_' nor is that of a fact")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("'columns' names one twice")
        if bool(self.user) != bool(self.secret):
            raise ValueError("'user' and 'secret' go together: the name, and the variable that holds the password")
        if (self.ca or self.certificate) and not self.tls:
            raise ValueError("certificates mean nothing without 'tls: true'")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("'certificate' and 'private_key' go together")
        if clash := sorted(self.facts.keys() & self.types.keys()):
            raise ValueError(f"'{clash[0]}' has a type of its own")
        return self

    # -- one object -------------------------------------------------------------------------------------------------

    @abstractmethod
    def fetched(self, root: Path, path: str) -> tuple[Messages, str]:
        """The messages of an object and their SHA-256; raises Expired when they cannot be had any more."""

    @abstractmethod
    def which(self, facts: Mapping[str, Any]) -> str:
        """Which message has these facts, for people."""

    @abstractmethod
    def asked(self) -> tuple[str, ...]:
        """The facts that become columns."""

    def empty_rows(self) -> bool:
        """Whether a message without a value is a row."""
        return False

    def checksum(self, root: Path, path: str) -> str:
        """SHA-256 of the messages, in hexadecimal."""
        return self.fetched(root, path)[1]

    def observe(self, root: Path, path: str) -> State:
        """The columns of the values and their types; how many records and messages there are, and those without any."""
        messages, _ = self.fetched(root, path)
        seen, records, _ = observed(self._reader(messages), self.types)
        columns = {name: column for name, column in seen.columns.items() if name not in self.facts}
        return {
            "path": path,
            "columns": {name: column.type for name, column in columns.items()},
            "order": list(columns),
            "wide": sorted(name for name, column in columns.items() if column.wide),
            "blank": sorted(name for name, column in columns.items() if column.empty),
            "records": records,
            "messages": messages.count,
            "empty": messages.empty,
        }

    def column_types(self, states: list[State]) -> dict[str, str]:
        """Column to type over all messages; those declared where no message names one, then the facts asked for."""
        merged = union(
            (s["path"], {n: Column(s["columns"][n], n in s["wide"], n in s["blank"]) for n in s["order"]})
            for s in states
        )
        kinds = {name: self.types.get(name, column.final()) for name, column in merged.items()}
        kinds |= {name: kind for name, kind in self.types.items() if name not in kinds}
        if not kinds and not any(s["records"] for s in states):
            return {}  # nothing is known yet, not even whether there is a key
        return {**kinds, **{name: kind for name, kind in self.facts.items() if name in self.asked()}}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """A row a message, in their order; see `Source.read`."""
        messages, _ = self.fetched(root, path)
        empty = True
        for piece in self._reader(messages).pieces():
            for batch in batches(piece, schema, self.types):
                empty = False
                yield batch
        if empty:
            yield no_rows(schema, [])

    def recast(self, rows: pl.DataFrame, records: pl.Series, schema: Mapping[str, str]) -> Batch:
        """See `Following.recast`."""
        return recast(rows, records, schema)

    def _reader(self, messages: Messages) -> MessageReader:
        form = Form(
            self.format, self.columns, self.delimiter, Limits(self.max_field, self.max_columns), self.empty_rows()
        )
        return MessageReader(messages.frames, form, list(self.facts), self.which)


def password(name: str) -> str:
    """What an environment variable holds; Denied, naming it, where it is not set."""
    if name not in os.environ:
        raise Denied(f"The environment variable {name} is not set.", fix=f"Set it: export {name}=...")
    return os.environ[name]


def beside(root: Path, path: str) -> str:
    """A file that the plan names: in its folder, or absolute."""
    return path if Path(path).is_absolute() else str(inside(root, path))
