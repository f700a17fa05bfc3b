"""What every format hands over: a stretch of good records as columns, and the bad ones beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.collect.types import Column
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.step import BadRecord

Fail = Callable[[int, str, str, str, str], BadRecord]
"""(row, stage, reason, message, column) to the bad record that a row turns out to be."""


@dataclass
class Piece:
    """Rows of one file.

    `raw`: columns of text whose type is still to be inferred; the others have the type that the file gave them.
    `numbers`: the record number of each row.
    """

    frame: pl.DataFrame
    numbers: npt.NDArray[np.int64]
    raw: frozenset[str]
    fail: Fail
    bad: list[BadRecord] = field(default_factory=list)


class Reader(Protocol):
    """One file in one format."""

    facts: dict[str, Any]
    """What was found out about it: format, encoding, delimiter, header."""

    def pieces(self) -> Iterator[Piece]:
        """All of its records, in order."""
        ...


class TypedReader(ABC):
    """A reader of a format that says itself which types its columns have."""

    facts: dict[str, Any]

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """All of its records, in order."""

    @abstractmethod
    def columns(self) -> tuple[dict[str, Column], int]:
        """Each column's type, and the number of rows."""


@dataclass(frozen=True)
class Limits:
    """How much is read: `max_field` bytes of one field, `max_columns` columns of one file."""

    max_field: int = 1_000_000
    max_columns: int = 20_000


@dataclass(frozen=True)
class Way:
    """How the plan says that files are read; `auto` is decided file by file, an empty `template` is none."""

    encoding: str = "auto"
    delimiter: str = "auto"
    template: str = ""
    continued: bool = False
    max_pixels: int = 50_000_000
    sample_rate: int | None = None
    limits: Limits = field(default_factory=Limits)


def check_names(names: list[str], path: str, limits: Limits, line: int = 0, columns: list[int] | None = None) -> None:
    """Raise ConfigurationError for names that cannot be columns: all of them at once, each with its place.

    >>> check_names(["a", "a", " "], "x.csv", Limits(), 1, [1, 3, 5])
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: x.csv:1:3  Two columns are called 'a'.
    x.csv:1:5  Column 3 has no name. Give each column of the file a name of its own ...
    """
    if len(names) > limits.max_columns:
        raise too_many_columns(len(names), path, limits, line)
    problems = []
    seen: set[str] = set()
    for i, name in enumerate(names):
        if not name.strip():
            message = f"Column {i + 1} has no name."
        elif "\0" in name:
            message = f"The name {name!r} holds a NUL."
        elif name in seen:
            message = f"Two columns are called '{name}'."
        elif name.startswith("_"):
            message = f"The name '{name}' begins with '_', which is reserved."
        else:
            seen.add(name)
            continue
        seen.add(name)
        problems.append(Problem(message, path, line, columns[i] if columns else 0))
    if problems:
        raise ConfigurationError(
            problems, fix="Give each column of the file a name of its own that does not begin with '_'."
        )


def too_many_columns(count: int, path: str, limits: Limits, line: int = 0) -> ConfigurationError:
    """The error for a file that is too wide."""
    message = f"too_many_columns: {count:,} or more columns, and max_columns is {limits.max_columns:,}."
    return ConfigurationError(
        [Problem(message, path, line, 1 if line else 0)],
        fix="Check the delimiter; if the file is that wide, raise max_columns.",
    )
