"""What Parquet and Arrow files have in common: typed columns from outside, as frames of the types that tables have.

Nested values become canonical JSON text, dictionaries their values, every time with a zone UTC. Extension types, known
or not, are refused: what one means is the decision of whoever wrote it. A row has no bytes of its own in such a file;
its place is its number.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.piece import Piece
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.step import BadRecord
from tillage.flow.bad_records import bad_row

ROWS = 65_536


def refuse_extensions(schema: Any, path: str) -> None:
    """Raise ConfigurationError for an Arrow schema with extension types, on any level of a nested column."""
    extended = [f.name for f in schema if _is_extension(f)]
    if extended:
        raise ConfigurationError(
            [Problem(f"Column '{name}' has an extension type, which is not read.", path) for name in extended],
            fix="Write the column with a plain type.",
        )


def zone_notes(schema: Any) -> list[str]:
    """What a run should say of times that change their zone (not their moment)."""
    import pyarrow as pa

    zones = {f.name: f.type.tz for f in schema if pa.types.is_timestamp(f.type) and f.type.tz not in (None, "UTC")}
    return [f"Times of '{name}' are of {zone}: kept in UTC." for name, zone in zones.items()]


def piece(schema: Any, columns: Any, first: int, rows: int, utc: Collection[str] = ()) -> Piece:
    """Arrow columns as a Piece whose first row has the number `first`; `utc`: columns whose bare times are UTC."""
    numbers = np.arange(first, first + rows, dtype=np.int64)
    return Piece(frame(schema, columns, utc), numbers, frozenset(), _fail(first))


def frame(schema: Any, columns: Any, utc: Collection[str] = ()) -> pl.DataFrame:
    """Arrow columns as a frame; as one table, since a column alone makes Polars load more of pyarrow, for 40 ms."""
    import pyarrow as pa

    names = [f.name for f in schema]
    few = {name: c for name, c in zip(names, columns, strict=True) if _is_few_texts(c)}
    plain = [few[name].indices if name in few else _plain(c) for name, c in zip(names, columns, strict=True)]
    made = _polars(pa.Table.from_arrays(plain, names=names))
    if few:
        texts = {name: _polars(pa.table({name: c.dictionary}))[name] for name, c in few.items()}
        made = made.with_columns(texts[name].gather(made[name]).alias(name) for name in few)
    zoned = []
    for name, dtype in made.schema.items():
        if isinstance(dtype, pl.Datetime):
            if dtype.time_zone is None and name in utc:
                zoned.append(pl.col(name).dt.replace_time_zone("UTC"))
            elif dtype.time_zone not in (None, "UTC"):
                zoned.append(pl.col(name).dt.convert_time_zone("UTC"))
    return made.with_columns(zoned) if zoned else made


def _polars(table: Any) -> pl.DataFrame:
    made = pl.from_arrow(table)
    if not isinstance(made, pl.DataFrame):
        raise TypeError("a table of Arrow makes a frame")
    return made


def _is_few_texts(values: Any) -> bool:
    """Whether these are numbers of a dictionary of texts no longer than they are: Polars looks those up faster."""
    import pyarrow as pa

    kind = values.type
    if not pa.types.is_dictionary(kind) or len(values.dictionary) > len(values):
        return False
    return bool(pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))


def no_values(schema: Any) -> list[Any]:
    """Arrow columns without a value: nulls, since `pyarrow.array([])` loads pandas where it is installed, for 0.4 s."""
    import pyarrow as pa

    return [pa.nulls(0, field.type) for field in schema]


def _plain(values: Any) -> Any:
    """An Arrow array of a type that tables have: nested values as JSON text, dictionaries decoded."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_nested(kind):
        return pa.array([None if v is None else json_text(v) for v in values.to_pylist()], pa.string())
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pa.types.is_date64(kind):
        values = values.cast(pa.date32(), safe=False)
    if pa.types.is_decimal256(kind):
        values = values.cast(pa.string())
    return values.cast(pa.float32()) if pa.types.is_float16(kind) else values


def valid(batch: Any) -> Any:
    """The batch, once every offset and text in it was checked; raises ArrowInvalid."""
    batch.validate(full=True)
    return batch


def json_text(value: Any) -> str:
    """A nested value as canonical JSON; what JSON does not know (bytes, times) as its text.

    >>> json_text({"b": [1, None], "a": b"x"})
    '{"a":"78","b":[1,null]}'
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_text)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _is_extension(field: Any) -> bool:
    import pyarrow as pa

    if isinstance(field.type, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {}):
        return True
    if pa.types.is_dictionary(field.type):
        return isinstance(field.type.value_type, pa.BaseExtensionType)
    return any(_is_extension(field.type.field(i)) for i in range(field.type.num_fields))


def _fail(first: int) -> Any:
    def fail(row: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
        """The bad record of a row without bytes of its own."""
        return bad_row(first + row, stage, reason, message, column)

    return fail
