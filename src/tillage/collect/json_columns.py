"""Records of JSON as columns, without an object a record: a compiled scan tells where values stand and what they are.

What is not plain in a record (`text/c/json_lines.c` says what is) is read by the careful parser, that record alone, and
joins the columns by its rule (`json_values.columns`). The first blocks teach the names of the columns: a record with a
key that is not known yet is read carefully, then all are scanned again. One core scans about 1.5 GB a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.collect.json_values import Literal, RefusedError, fits, text_of
from tillage.collect.records import Block
from tillage.text.native import compiled, handed

Record = dict[str, Any]

_ROUNDS = 8
"""Times that a block is scanned at most, each with the names that the one before it taught."""
_MOST_COLUMNS = 256
"""Columns that are looked for; in wider records a key would be sought for too long."""
_UNKNOWN_KEY = 2
_KIND_TYPES: tuple[type | None, ...] = (None, None, str, str, int, Literal, bool, bool)
"""What the careful parser would make of the kinds of the scan, by their numbers."""
_INTEGER, _TRUE, _FALSE = 4, 6, 7


@dataclass
class Scanned:
    """The rows of a block, those of `refused` records left out; `names`: the keys, of which a frame may mend some."""

    names: list[str]
    frame: pl.DataFrame
    raw: frozenset[str]
    refused: dict[int, RefusedError]


@dataclass
class _Cells:
    """What stands where: an array a column for each of `kinds`, `places` and `sizes`; a verdict a record."""

    data: bytes
    names: list[str]
    kinds: npt.NDArray[np.uint8]
    places: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.uint32]
    verdicts: npt.NDArray[np.uint8]


def scanned(
    block: Block, parse: Callable[[bytes], Record], longest: int, names: list[str], most: int
) -> Scanned | None:
    """The rows of a block, as the careful parser would give them; None where that has to look at all of them.

    `parse` reads one record; a record longer than `longest` bytes is always its. `names`: the keys known so far, to
    which new ones are added; `most`: columns that there may be.
    """
    if compiled is None or not len(block.starts) or len(block.data) >= 1 << 31:
        return None
    cells = _scan(block, parse, longest, names)
    others = np.flatnonzero(cells.verdicts)
    if 2 * len(others) > len(block.starts):
        return None
    read: dict[int, Record] = {}
    refused: dict[int, RefusedError] = {}
    for i in others.tolist():
        try:
            read[i] = parse(block.data[block.starts[i] : block.ends[i]])
        except RefusedError as why:
            refused[i] = why
    order = _order(cells, read)
    if not 0 < len(order) <= most:
        return None
    raw: set[str] = set()
    made = [_column(cells, name, read, raw) for name in order]
    frame = pl.DataFrame(made)
    if refused:
        keep = np.ones(len(block.starts), dtype=np.bool_)
        keep[list(refused)] = False
        frame = frame.filter(keep)
    return Scanned(order, frame, frozenset(raw), refused)


def _scan(block: Block, parse: Callable[[bytes], Record], longest: int, names: list[str]) -> _Cells:
    assert compiled is not None
    starts, ends = np.ascontiguousarray(block.starts), np.ascontiguousarray(block.ends)
    for _ in range(_ROUNDS):
        shape = len(names), len(block.starts)
        kinds, verdicts = np.empty(shape, dtype=np.uint8), np.empty(shape[1], dtype=np.uint8)
        places, sizes = np.empty(shape, dtype=np.uint32), np.empty(shape, dtype=np.uint32)
        keys = [name.encode() for name in names]
        bounds = np.array([0, *accumulate(map(len, keys))], dtype=np.int64)
        compiled.json_records(block.data, starts, ends, longest, b"".join(keys), bounds, kinds, places, sizes, verdicts)
        strange = np.flatnonzero(verdicts == _UNKNOWN_KEY)
        if not len(strange) or len(names) >= _MOST_COLUMNS:
            break
        i = strange[0]
        try:
            names += [name for name in parse(block.data[block.starts[i] : block.ends[i]]) if name not in names]
        except RefusedError:
            break
    return _Cells(block.data, names[: shape[0]], kinds, places, sizes, verdicts)


def _order(cells: _Cells, read: dict[int, Record]) -> list[str]:
    """The keys in the order in which they come, record by record."""
    first: dict[str, tuple[int, int]] = {}
    for name, kinds, places in zip(cells.names, cells.kinds, cells.places, strict=True):
        at = int((kinds != 0).argmax())
        if kinds[at]:
            first[name] = at, int(places[at])
    for i, record in read.items():
        for place, name in enumerate(record):
            if name not in first or first[name] > (i, place):
                first[name] = i, place
    return sorted(first, key=lambda name: first[name])


def _column(cells: _Cells, name: str, read: dict[int, Record], raw: set[str]) -> pl.Series:
    """A column by the rule of `json_values.columns`; `raw` is told where its values are numbers as they are written."""
    assert compiled is not None
    height = len(cells.verdicts)
    nothing = np.zeros(height, dtype=np.uint32)
    at = cells.names.index(name) if name in cells.names else -1
    kinds = cells.kinds[at] if at >= 0 else nothing.astype(np.uint8)
    places, sizes = (cells.places[at], cells.sizes[at]) if at >= 0 else (nothing, nothing)
    others = {i: record[name] for i, record in read.items() if record.get(name) is not None}
    counts = np.bincount(kinds, minlength=len(_KIND_TYPES))
    types = {_KIND_TYPES[kind] for kind in np.flatnonzero(counts).tolist()} - {None}
    types |= {type(value) for value in others.values()}
    if not types:
        return pl.Series(name, [None], dtype=pl.Null).new_from_index(0, height)
    if types == {bool} or (types == {int} and fits([0, *others.values()])):
        if types == {bool}:
            known, values = kinds >= _TRUE, kinds == _TRUE
        else:
            known, values = kinds == _INTEGER, np.empty(height, dtype=np.int64)
            compiled.json_integers(cells.data, kinds, places, sizes, values)
        for i, value in others.items():
            values[i], known[i] = value, True
        column = pl.Series(name, values)
        return column if known.all() else column.set(pl.Series(~known), None)
    if types <= {int, Literal}:
        raw.add(name)
    texts = handed(name, compiled.json_texts(cells.data, kinds, places, sizes))
    return texts.scatter(list(others), [text_of(value) for value in others.values()]) if others else texts
