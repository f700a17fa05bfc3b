"""Records of JSON lines that are all of one plain shape, read by Polars and believed only where writing them again
gives the same bytes.

Objects with the same keys in the same order, whose values are texts, whole numbers of 64 bits, true or false: most
files of documents. Reading costs a quarter of what a record costs by itself. What is written again as it stood has no
key twice, no other spelling of a number and no half character, so nothing else need be asked; any other record of the
block is read by the careful parser, and a block that is not plain at all is left to it whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.records import Block

Record = dict[str, Any]

_KINDS: dict[type, pl.DataType | type[pl.DataType]] = {str: pl.String, int: pl.Int64, bool: pl.Boolean}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MOST_OTHERS = 8
"""One record in so many, at most, that is not plain: else the careful parser had better read them all."""


def plain_rows(block: Block, parse: Callable[[bytes], Record], longest: int) -> pl.DataFrame | None:
    """The rows of a block, as the careful parser would give them; None where that has to look at them.

    `parse` reads one record, and is asked about the first and about those that are not plain; what it refuses, and a
    record longer than `longest` bytes, makes the block not plain.
    """
    lengths = block.ends - block.starts
    together = len(lengths) and not block.bad and (block.starts[1:] == block.ends[:-1] + 1).all()
    if not together or lengths.max() > longest:
        return None
    records = [block.data[lo:hi] for lo, hi in zip(block.starts.tolist(), block.ends.tolist(), strict=True)]
    try:
        first = parse(records[0])
        kinds = {name: _KINDS.get(type(value)) for name, value in first.items()}
        spacing = _spacing(first, records[0])
        if not kinds or None in kinds.values() or spacing is None:
            return None
        whole = block.data[int(block.starts[0]) : int(block.ends[-1])]
        frame = pl.read_ndjson(whole, schema=kinds)
        if frame.height != len(records):
            return None
        again = _written(frame, spacing, escaped=b"\\" in whole)
        if b"\n".join(again) == whole:
            return frame
        others = [n for n, (one, other) in enumerate(zip(again, records, strict=True)) if one != other]
        if len(others) * _MOST_OTHERS > len(records):
            return None
        read = [parse(records[n]) for n in others]
    except (ValueError, pl.exceptions.PolarsError):  # the careful parser says what is wrong, and with which record
        return None
    names = list(first)
    if not all(list(one) == names and all(_fits(one[name], kinds[name]) for name in names) for one in read):
        return None
    try:
        mended = pl.DataFrame(read, schema=kinds, strict=True)
    except (OverflowError, TypeError, pl.exceptions.PolarsError):  # a number beyond 64 bits
        return None
    places = np.array(others)
    return frame.with_columns(frame[name].scatter(places, mended[name]) for name in names)


def _fits(value: Any, kind: Any) -> bool:
    return value is None or _KINDS.get(type(value)) == kind


def _spacing(first: Record, record: bytes) -> tuple[str, str] | None:
    """What stands between entries and behind keys: how `json.dumps` and its like write, with blanks or without."""
    for between, behind in ((",", ":"), (", ", ": ")):
        if json.dumps(first, ensure_ascii=False, separators=(between, behind)).encode() == record:
            return between, behind
    return None


def _written(frame: pl.DataFrame, spacing: tuple[str, str], *, escaped: bool) -> list[bytes]:
    """Each row as a JSON object."""
    between, behind = spacing
    parts: list[pl.Expr] = []
    for n, (name, kind) in enumerate(frame.schema.items()):
        before = ("{" if n == 0 else between) + json.dumps(name, ensure_ascii=False) + behind
        value = pl.col(name)
        if kind == pl.String:
            if escaped:
                value = value.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
            parts += [pl.lit(before + '"'), value, pl.lit('"')]
        else:
            parts += [pl.lit(before), value.cast(pl.String)]
    parts.append(pl.lit("}"))
    written: pl.Series = frame.select(pl.concat_str(parts).fill_null("").cast(pl.Binary).alias("")).to_series()
    return written.to_list()
