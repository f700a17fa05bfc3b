"""Bodies of requests: JSON into rows, within limits, each complaint with the path of the field that is at fault.

A row is checked by looking at the Python type of each value; only values that are not already what the column holds
(a number written as text, a date) cost a query.
Source: RFC 8259 (JSON); NaN and the infinities are no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any

import polars as pl

from tillage.core.twice import first_twice
from tillage.flow.score import typed
from tillage.serve.refusal import Refused

LARGEST = 8 << 20
"""Bytes of a body."""

MOST_ROWS = 10_000
"""Rows of one request."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_pieces = (
    make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    if (make := getattr(json.encoder, "c_make_encoder", None)) is not None
    else lambda value, _: _ENCODER.iterencode(value)
)
"""What `_ENCODER.encode` makes anew at every call, for half of what it takes, where the interpreter has it in C."""


def dumped(value: Any) -> str:
    """A value as JSON; ValueError for a number that is not finite, TypeError for what JSON has no form for.

    >>> dumped({"a": ["é", 2.5, None]})
    '{"a":["é",2.5,null]}'
    """
    return "".join(_pieces(value, 0))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = str(first_twice(name for name, _ in pairs))
        raise Refused(400, f"The key {twice[:64]!r} stands twice in an object: which of its values is meant?")
    return made


_read = json.JSONDecoder(object_pairs_hook=_object).decode

Columns = dict[str, list[Any]]
"""Column to its values, one a row, in the types that the column holds."""

Where = Callable[[int, str], str]
"""The path of a field in the request: of which row, of which column."""


def loaded(body: bytes | memoryview) -> dict[str, Any]:
    """The JSON object of a body; Refused (400) when it is none.

    >>> loaded(b'{"rows": []}')
    {'rows': []}
    >>> loaded(b"[1]")
    Traceback (most recent call last):
    tillage.serve.refusal.Refused: The body is not a JSON object.
    """
    try:
        value = _read(str(body, "utf-8"))
    except RecursionError:
        raise Refused(400, "The body is nested too deeply.") from None
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {_said(error)}") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body is not a JSON object.")
    return value


def _said(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}."
    return "it is not UTF-8." if isinstance(error, UnicodeError) else "a number in it is too long."


def rows_of(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `{"rows": [{...}, ...]}`; Refused (400) with the path of what is wrong.

    >>> rows_of({"rows": [{"a": 1}, 2]})
    Traceback (most recent call last):
    tillage.serve.refusal.Refused: A row is an object of column to value, and this is a number.
    """
    for key in value:
        if key != "rows":
            raise Refused(400, "The body has 'rows' and nothing else.", field=str(key)[:64])
    rows = value.get("rows")
    if not isinstance(rows, list):
        raise Refused(400, "It must be a list of rows, each an object of column to value.", field="rows")
    if not rows:
        raise Refused(400, "There is no row.", field="rows")
    if len(rows) > MOST_ROWS:
        raise Refused(413, f"There are {len(rows):,} rows, and one request may have {MOST_ROWS:,}.", field="rows")
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refused(400, f"A row is an object of column to value, and this is {_kind(row)}.", field=f"rows[{at}]")
    return rows


def in_rows(at: int, column: str) -> str:
    """The path of a field of `{"rows": [...]}`.

    >>> in_rows(0, "age")
    'rows[0].age'
    """
    return f"rows[{at}].{column}"


def columns_of(
    rows: Sequence[Mapping[str, Any]],
    schema: Mapping[str, pl.DataType],
    needed: Mapping[str, str],
    where: Where = in_rows,
) -> Columns:
    """The rows by column, every column of `schema`, a value that is missing as None.

    `needed`: columns that each row has to bring, to the step that needs them. Columns that the schema does not know
    are not looked at. Raises Refused (400) for the first field that is missing, nested, not finite, or of another type.

    >>> schema = {"n": pl.Int64(), "text": pl.String()}
    >>> columns_of([{"n": "7", "text": 5}], schema, {"n": "scale"})
    {'n': [7], 'text': ['5']}
    >>> columns_of([{"picture": "iVBORw=="}], {"picture": pl.Binary()}, {})
    {'picture': [b'\x89PNG']}
    >>> columns_of([{"n": "x"}], schema, {}).keys()
    Traceback (most recent call last):
    tillage.serve.refusal.Refused: 'x' in column 'n' is not a whole number.
    """
    for column, step in needed.items():
        for at, row in enumerate(rows):
            if column not in row:
                near = get_close_matches(column, row.keys() - schema.keys(), n=1)
                hint = f" Is '{near[0][:64]}' meant?" if near else ""
                raise Refused(400, f"It is missing, and the step {step} needs it.{hint}", field=where(at, column))
    out: Columns = {}
    for column, dtype in schema.items():
        values = [row.get(column) for row in rows]
        kinds = set(map(type, values))
        kinds.discard(_NULL)
        if not kinds:
            out[column] = values
            continue
        if float in kinds or not kinds <= _SCALARS:
            _refuse_odd(values, column, where)
        if kinds <= _NATIVE.get(dtype.base_type(), _NONE):
            out[column] = values
        else:
            out[column] = _converted(values, column, dtype, where)
    return out


_SCALARS: set[type] = {str, int, float, bool}
_NULL = type(None)
_NONE: frozenset[type] = frozenset()
_NATIVE: dict[Any, frozenset[type]] = {
    pl.String: frozenset({str}),
    pl.Float64: frozenset({float}),
    pl.Boolean: frozenset({bool}),
    pl.Binary: frozenset({bytes}),
}
"""What a body gives as the column holds it (bytes: in a binary tensor alone); a whole number may be too large, so it is
looked at."""

_WHOLE = 1 << 63
_NESTED = (dict, list)


def _refuse_odd(values: list[Any], column: str, where: Where) -> None:
    for at, value in enumerate(values):
        if isinstance(value, float) and not isfinite(value):
            raise Refused(400, "It is not a finite number.", field=where(at, column))
        if isinstance(value, _NESTED):
            raise Refused(400, f"It must be one value, and is {_kind(value)}.", field=where(at, column))


def _converted(values: list[Any], column: str, dtype: pl.DataType, where: Where) -> list[Any]:
    """The values in the column's type; Refused for the first that is not the same value there."""
    base = dtype.base_type()
    if base is pl.Int64:
        if _are_whole(values):
            return values
        values = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]  # 1.0 is whole in JSON
        if _are_whole(values):
            return values
    if base is pl.Float64 and all(v is None or type(v) in (float, int) for v in values):
        try:
            return [None if v is None else float(v) for v in values]
        except OverflowError:
            raise Refused(400, f"A value of '{column}' is too large for a number.", field=where(0, column)) from None
    if base is pl.Binary:  # true and 1234 would be base64, too, if they were taken for text
        for at, value in enumerate(values):
            if not isinstance(value, str | bytes | None):
                raise Refused(400, f"It must be a text in base64, and is {_kind(value)}.", field=where(at, column))
        return _from_base64(values, column, dtype, where)
    texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    if base is pl.String:
        return texts
    return _read_as(texts, column, dtype, where)


def _are_whole(values: list[Any]) -> bool:
    """Whether they are whole numbers of 64 bits, or null; a generator would cost one value four times that."""
    for v in values:  # noqa: SIM110
        if v is not None and (type(v) is not int or not -_WHOLE <= v < _WHOLE):
            return False
    return True


def _from_base64(values: list[Any], column: str, dtype: pl.DataType, where: Where) -> list[Any]:
    """Bytes, and texts that are bytes in base64."""
    made = _read_as([v if isinstance(v, str) else None for v in values], column, dtype, where)
    return [value if isinstance(value, bytes) else other for value, other in zip(values, made, strict=True)]


def _read_as(texts: list[str | None], column: str, dtype: pl.DataType, where: Where) -> list[Any]:
    """Texts as a file's would be read; Refused for the first that is no value of the type."""
    try:
        made, errors = typed(pl.DataFrame({column: pl.Series(texts, dtype=pl.String)}), {column: dtype})
    except UnicodeEncodeError:
        raise unencodable(texts, column, where) from None
    for at, error in enumerate(errors.to_list()):
        if error is not None:
            raise Refused(400, f"{error}.", field=where(at, column))
    return made[column].to_list()


def unencodable(values: Sequence[Any], column: str, where: Where) -> Refused:
    """The refusal of half of a surrogate pair, which no text can hold."""
    for at, value in enumerate(values):
        if isinstance(value, str) and not _encodes(value):
            return Refused(400, "It holds half of a surrogate pair, which is no character.", field=where(at, column))
    return Refused(400, f"A value of '{column}' is no text.", field=where(0, column))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_text(columns: Columns, where: Where) -> None:
    """Raise Refused (400) for a text that cannot be written as UTF-8.

    >>> require_text({"a": ["fine"]}, in_rows)
    """
    for column, values in columns.items():
        for value in values:
            if isinstance(value, str) and not value.isascii() and not _encodes(value):
                raise unencodable(values, column, where)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
