"""Values of JSON as columns: numbers keep their digits until all of a column is known; nested values are texts."""

from __future__ import annotations

import json
from typing import Any

import polars as pl


class Literal(str):
    """A number with a fraction or exponent, as it is written."""

    __slots__ = ()


class RefusedError(ValueError):
    """Why a record is no record: reason and message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def columns(rows: list[dict[str, Any]], names: list[str]) -> tuple[pl.DataFrame, frozenset[str]]:
    """The rows as a frame, and its columns of number texts, whose type is still to be inferred.

    >>> columns([{"a": 1, "b": [1, {"y": 2, "x": None}]}, {"a": "z"}], ["a", "b"])[0].rows()
    [('1', '[1,{"x":null,"y":2}]'), ('z', None)]
    """
    raw: set[str] = set()
    made: list[pl.Series] = []
    for name in names:
        values = [row.get(name) for row in rows]
        kinds = set(map(type, values)) - {type(None)}
        if kinds == {str}:
            made.append(pl.Series(name, values, dtype=pl.String))
        elif kinds == {bool}:
            made.append(pl.Series(name, values, dtype=pl.Boolean))
        elif kinds == {int} and fits(values):
            made.append(pl.Series(name, values, dtype=pl.Int64))
        else:
            if kinds and kinds <= {int, Literal}:
                raw.add(name)
            texts = [None if v is None else text_of(v) for v in values]
            made.append(pl.Series(name, texts, dtype=pl.String if kinds else pl.Null))
    return (pl.DataFrame(made) if made else pl.DataFrame({})), frozenset(raw)


def fits(values: list[Any]) -> bool:
    """Whether these whole numbers, nulls aside, are all of 64 bits."""
    numbers = [v for v in values if v is not None]
    return bool(min(numbers) >= -(1 << 63) and max(numbers) < 1 << 63)


def text_of(value: Any) -> str:
    """A value as text: texts and numbers as they are, the rest as canonical JSON."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else canonical(value)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; a fraction as its shortest equal text, or as written where none is equal.

    >>> canonical({"b": [True, None], "a": Literal("1.50")})
    '{"a":1.5,"b":[true,null]}'
    """
    if isinstance(value, dict):
        inner = (f"{json.dumps(k, ensure_ascii=False)}:{canonical(value[k])}" for k in sorted(value))
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, Literal):
        from decimal import Decimal

        short = repr(float(value)) if len(value) < 400 else value
        return short if len(value) < 400 and Decimal(short) == Decimal(value) else str(value)
    return json.dumps(value, ensure_ascii=False)
