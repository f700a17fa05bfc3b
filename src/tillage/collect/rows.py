"""From pieces of a file to typed rows: what a file needs, and its batches in the types of the whole table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import polars as pl

from tillage.collect.cache import Parsed
from tillage.collect.piece import Piece, Reader, TypedReader
from tillage.collect.types import (
    EXACT,
    FLOAT,
    INT,
    NULL,
    TEXT,
    ClashError,
    Column,
    Seen,
    cast,
    dtype_of,
    infer,
    name_of,
    why_text,
)
from tillage.core.errors import ConfigurationError
from tillage.core.step import BadRecord, Batch

ROWS = 65_536
BYTES = 32 << 20


def observed(reader: Reader, declared: Mapping[str, str], room: int = 0) -> tuple[Seen, int, list[Parsed]]:
    """What the columns of a file need, the number of its records, and its values if they take `room` bytes at most."""
    seen = Seen()
    if isinstance(reader, TypedReader):
        found, rows = reader.columns()
        for name, column in found.items():
            seen.add(name, Column(declared[name]) if name in declared else column)
        return seen, rows, []
    for name in reader.facts["header"]:
        seen.add(name, Column(declared.get(name, NULL)))
    records = 0
    kept: list[Parsed] = []
    for piece in reader.pieces():
        records += len(piece.numbers) + len(piece.bad)
        typed: list[pl.Series] = []
        columns: dict[str, Column] = {}
        for series in piece.frame.get_columns():
            name = series.name
            if name in declared:
                column, made = Column(declared[name]), series
            elif name in piece.raw:
                before = seen.knows(name)
                column, made = infer(series, before)
                if column.type == TEXT != before and (why := why_text(series)):
                    reader.facts.setdefault("notes", []).append(f"Column '{name}' is read as text: {why}.")
            else:
                column, made = Column(name_of(series.dtype), wide=_is_wide(series)), series
            seen.add(name, column)
            columns[name] = column
            typed.append(made)
        if room >= 0:
            kept.append(Parsed(pl.DataFrame(typed), columns, piece.numbers, piece.bad))
            room -= kept[-1].size()
        if room < 0:
            kept.clear()
    return seen, records, kept


def _is_wide(series: pl.Series) -> bool:
    if series.dtype != pl.Int64 or series.null_count() == len(series):
        return False
    low, high = series.min(), series.max()
    return bool(low <= -EXACT or high >= EXACT)  # type: ignore[operator]


def batches(
    piece: Piece, schema: Mapping[str, str], declared: Mapping[str, str], dated: Collection[str] = ()
) -> Iterator[Batch]:
    """The rows of a piece in the types of `schema`, in batches; a row with a cell that does not fit is a bad record.

    `dated`: columns of texts that were days and times where they came from, whatever the year.
    """
    height = len(piece.numbers)  # of a frame without columns nothing else tells it
    if height and not schema:
        raise ConfigurationError("The records are all empty objects.", fix="A table needs one column at least.")
    failed: dict[int, str] = {}
    made: list[pl.Series] = []
    given = {series.name: series for series in piece.frame.get_columns()}
    for name, to in schema.items():
        if name not in given:
            made.append(_nulls(name, to, height))
            continue
        try:
            values, lost = cast(given[name], to, declared=name in declared, any_day=name in dated)
        except ClashError as clash:
            raise ConfigurationError(f"Column '{name}' cannot be {to}: {clash}.", fix="Mend 'types'.") from clash
        made.append(values)
        for row in lost:
            failed.setdefault(row, name)
    numbers, bad = piece.numbers, piece.bad
    frame = pl.DataFrame(made)
    if failed:
        bad = bad + [_misfit(piece, row, name, schema[name]) for row, name in failed.items()]
        bad.sort(key=lambda record: record.record)
        keep = np.ones(height, dtype=bool)
        keep[list(failed)] = False
        frame, numbers = frame.filter(keep), numbers[keep]
    return _sliced(frame, pl.Series("records", numbers).cast(pl.UInt64), bad)


def _misfit(piece: Piece, row: int, name: str, to: str) -> BadRecord:
    return piece.fail(row, "cast", "bad_value", f"The value of column '{name}' is no {to}.", name)


def from_parsed(pieces: list[Parsed], schema: Mapping[str, str], declared: Mapping[str, str]) -> list[Batch] | None:
    """Batches of what `observed` kept; None when its values no longer say what `schema` asks for."""
    out: list[Batch] = []
    if not schema and any(len(parsed.numbers) for parsed in pieces):
        return None
    for parsed in pieces:
        made: list[pl.Series] = []
        given = {series.name: series for series in parsed.frame.get_columns()}
        for name, to in schema.items():
            column = parsed.columns.get(name)
            if column is None:
                made.append(_nulls(name, to, len(parsed.numbers)))
                continue
            values = given[name]
            if values.dtype != dtype_of(to):
                widened = column.type == INT and (to == FLOAT or (to == TEXT and not column.empty))
                if not (name in declared or widened or (column.type == NULL and not column.empty)):
                    return None
                values, lost = cast(values, to, declared=name in declared)
                if lost:
                    return None
            made.append(values)
        out += _sliced(pl.DataFrame(made), pl.Series("records", parsed.numbers).cast(pl.UInt64), parsed.bad)
    return out


def no_rows(schema: Mapping[str, str], bad: list[BadRecord]) -> Batch:
    """A Batch without rows, but with the columns of `schema`."""
    frame = pl.DataFrame(schema={name: dtype_of(kind) for name, kind in schema.items()})
    return Batch(frame, pl.Series("records", [], dtype=pl.UInt64), bad)


def _nulls(name: str, to: str, height: int) -> pl.Series:
    return pl.Series(name, [None], dtype=dtype_of(to)).new_from_index(0, height)


def _sliced(frame: pl.DataFrame, records: pl.Series, bad: list[BadRecord]) -> Iterator[Batch]:
    height = len(records)
    step = max(1, min(ROWS, int(BYTES * height / max(1, frame.estimated_size()))))
    if height <= step:
        yield Batch(frame, records, bad)
        return
    for at in range(0, height, step):
        yield Batch(frame.slice(at, step), records.slice(at, step), bad if at == 0 else [])
