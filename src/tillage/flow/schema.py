"""The schema that a version recorded: a table without a row has its columns all the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

_TIMES = re.compile(r"(Datetime|Duration)\(time_unit='(\w+)'(?:, time_zone=(?:None|'([^']+)'))?\)")
_DECIMAL = re.compile(r"Decimal\(precision=(\d+), scale=(\d+)\)")
_ARRAY = re.compile(r"Array\((.+), shape=\((\d+),\)\)")
_LIST = re.compile(r"List\((.+)\)")


def recorded(columns: Mapping[str, str]) -> dict[str, pl.DataType]:
    """Column to type, from the names of the types that a version keeps.

    >>> recorded({"n": "Int64", "at": "Datetime(time_unit='us', time_zone='UTC')"})
    {'n': Int64, 'at': Datetime(time_unit='us', time_zone='UTC')}
    """
    return {column: _type(name) for column, name in columns.items()}


def _type(name: str) -> pl.DataType:
    if found := _TIMES.fullmatch(name):
        unit: Any = found[2]
        return pl.Datetime(unit, found[3]) if found[1] == "Datetime" else pl.Duration(unit)
    if found := _DECIMAL.fullmatch(name):
        return pl.Decimal(int(found[1]), int(found[2]))
    if found := _ARRAY.fullmatch(name):
        return pl.Array(_type(found[1]), int(found[2]))
    if found := _LIST.fullmatch(name):
        return pl.List(_type(found[1]))
    kind = getattr(pl, name, None) if name.isalnum() else None
    if not (isinstance(kind, type) and issubclass(kind, pl.DataType)):
        raise TypeError(f"a table has a column of the type {name}, which no step should have made")
    return kind()
