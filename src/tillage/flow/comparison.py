"""When two results are equal, and the ways to cut and order rows that must not make a difference.

Rows are compared by their values, types and marks, one NaN and one zero; everything else by its canonical bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID, INTO, PARENT, REASON
from tillage.core.state import encode
from tillage.flow.results import packed
from tillage.store.digests import content_hashes
from tillage.store.index import KEY


def canonical(result: Any) -> bytes:
    """A result as bytes that are equal when the results are: rows by `_id` or content, whatever their order."""
    if isinstance(result, pl.DataFrame):
        hashes = content_hashes(result.select(c for c in result.columns if c not in (ID, KEY)))
        marks = [c for c in (KEY, ID, REASON, INTO, PARENT) if c in result.columns]
        rows = result.with_columns(hashes.alias("_content")).select(*marks, "_content").sort(*marks, "_content")
        schema = [(c, str(t)) for c, t in result.schema.items()]
        return json.dumps([schema, [[str(v) for v in row] for row in rows.rows()]]).encode()
    return encode(packed(result))


def outcome(call: Callable[[], Any]) -> bytes:
    """What came of it: a result or a refusal, which are compared alike."""
    try:
        return canonical(call())
    except TillageError as error:
        return f"{type(error).__name__}: {error}".encode()


def difference(a: pl.DataFrame, b: pl.DataFrame) -> str | None:
    """Where two frames differ, in words; None when they are equal, order and types included."""
    if a.schema != b.schema:
        return f"other columns or types: {dict(a.schema)} and {dict(b.schema)}"
    if a.height != b.height:
        return f"{a.height} rows and {b.height}"
    for name in a.columns:
        if not a[name].equals(b[name], null_equal=True):
            return f"other values in '{name}'"
    return None


def cuts(height: int, random: Random) -> Iterator[list[int]]:
    """Ways to cut rows into chunks: each alone, halves, some at random with an empty one among them."""
    yield list(range(height + 1))
    yield [0, height // 2, height]
    for _ in range(2):
        yield sorted([0, height, *(random.randint(0, height) for _ in range(4))])


def shuffled(rows: pl.DataFrame, random: Random) -> pl.DataFrame:
    """The rows in another order."""
    order = list(range(rows.height))
    random.shuffle(order)
    return rows[order]


def halves(rows: pl.DataFrame, random: Random) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows in two parts, drawn."""
    mixed = shuffled(rows, random)
    at = random.randint(0, rows.height)
    return mixed[:at], mixed[at:]
