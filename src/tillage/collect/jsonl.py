"""JSON lines, and JSON arrays of objects: strict RFC 8259, record by record; a bad one is set aside alone.

Numbers keep their digits until all is known about their column (2^70 becomes the text of its digits); nested values are
canonical JSON text (keys sorted, no spaces). Refused records: NaN, Infinity, 1e400, a key twice, more than 100 levels,
a lone surrogate, anything but an object. Python's own scanner does the careful work, about 4 us a record of five
fields; plain records are cut into columns by a compiled scan (`json_columns`), or, where there is no compiler and all
are of one shape, by Polars (`plain_json`).
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.collect.content import Content
from tillage.collect.encoding import Encoding
from tillage.collect.json_columns import scanned
from tillage.collect.json_values import Literal, RefusedError, columns, text_of
from tillage.collect.piece import Limits, Piece, check_names, too_many_columns
from tillage.collect.plain_json import plain_rows
from tillage.collect.records import Block, Cut, blocks, line_cuts
from tillage.collect.unpack import Unreadable
from tillage.core.twice import first_twice

DEEPEST = 100
Bytes = npt.NDArray[np.uint8]
_OPENING, _CLOSING, _WHITE = b"[{", b"]}", b" \t\r\n"


def _fraction(text: str) -> Literal:
    number = float(text)
    if number - number != 0:
        raise RefusedError("number_too_large", f"{text[:40]} is beyond the range of numbers.")
    return Literal(text)


def _integer(text: str) -> int | Literal:
    # Python refuses integers of more than 4,300 digits; as text they are as good.
    return int(text) if len(text) < 4000 else Literal(text)


def _constant(text: str) -> None:
    raise RefusedError("not_a_number", f"{text} is no JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = str(first_twice(name for name, _ in pairs))
        raise RefusedError("duplicate_key", f"The key {twice[:40]!r} comes twice.")
    return made


_DECODER = json.JSONDecoder(
    parse_float=_fraction, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object
)


def parse_object(record: bytes, max_field: int = 1_000_000) -> dict[str, Any]:
    """The object of one record; a ValueError with a `reason` says why there is none.

    >>> parse_object(b'{"a": 1.10, "b": [1]}')
    {'a': '1.10', 'b': [1]}
    """
    if record.count(b"[") + record.count(b"{") > DEEPEST and _depth(record) > DEEPEST:
        raise RefusedError("too_deep", f"Values are nested more than {DEEPEST} levels deep.")
    text = record.decode().strip(" \t\r\n")
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise RefusedError("bad_json", f"{error.msg} at character {error.pos + 1} of the record.") from error
    if end != len(text):
        raise RefusedError("bad_json", f"Something follows the value at character {end + 1} of the record.")
    if not isinstance(value, dict):
        raise RefusedError("not_an_object", "The record is no JSON object.")
    if b"\\u" in record:
        try:
            for part in _strings(value):
                part.encode()
        except UnicodeEncodeError:
            raise RefusedError("lone_surrogate", "A text holds half of a surrogate pair.") from None
    if len(record) > max_field:
        for name, one in value.items():
            if max(len(name.encode()), len(text_of(one).encode()) if one is not None else 0) > max_field:
                raise RefusedError("field_too_long", f"A field is longer than max_field ({max_field:,} bytes).")
    return value


def lines_after_all(head: bytes) -> bool:
    """Whether a text that begins as an array is lines of objects, the first of them with a bracket too many.

    In an array, a line that begins with a brace follows one that ends in a comma, a colon or a bracket.

    >>> lines_after_all(b'[{"a": 1}\\n{"a": 2}\\n'), lines_after_all(b'[\\n{"a": 1},\\n{"a": 2}\\n]')
    (True, False)
    """
    lines = [line.strip() for line in head.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    before = [first for first, line in pairwise(lines) if line.startswith(b"{")]
    return 2 * sum(not line.endswith((b",", b"[", b":")) for line in before) >= len(before) > 0


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _depth(record: bytes) -> int:
    """The deepest level of brackets outside of texts."""
    view = np.frombuffer(record, dtype=np.uint8)
    step = _steps(view)
    return int(np.cumsum(step).max(initial=0))


def _steps(view: Bytes) -> npt.NDArray[np.int32]:
    """+1 where a bracket outside of texts opens, -1 where one closes."""
    step = np.zeros(len(view), dtype=np.int32)
    step[(view == 91) | (view == 123)] = 1
    step[(view == 93) | (view == 125)] = -1
    step[_in_text(view)] = 0
    return step


def _in_text(view: Bytes) -> npt.NDArray[np.bool_]:
    """Where a byte lies within a text (or is its opening quote). A line break ends one: JSON allows none in it."""
    quotes = np.flatnonzero(view == 34)
    if len(quotes):
        # A quote counts unless an odd run of backslashes stands before it.
        slashes = view == 92
        if slashes.any():
            places = np.arange(len(view))
            last_other = np.maximum.accumulate(np.where(slashes, -1, places))
            before = quotes - 1
            run = np.where(before >= 0, before - last_other[np.maximum(before, 0)], 0)
            quotes = quotes[run % 2 == 0]
    toggles = np.zeros(len(view), dtype=np.int64)
    toggles[quotes] = 1
    count = np.cumsum(toggles)
    breaks = np.flatnonzero(view == 10)
    if len(breaks):
        base = np.zeros(len(view), dtype=np.int64)
        at_break = count[breaks]
        base[breaks[0]] = at_break[0]
        base[breaks[1:]] = np.diff(at_break)
        count -= np.cumsum(base)
    inside: npt.NDArray[np.bool_] = count % 2 == 1
    return inside


class Lines:
    """The cutter of JSON lines: a record a line, blank ones are none."""

    def __call__(self, buffer: bytes, final: bool, force: bool) -> Cut:
        """See `records.Cutter`."""
        starts, ends, consumed = line_cuts(buffer, final)
        filled = ends > starts
        view = np.frombuffer(buffer, dtype=np.uint8)
        for i in np.flatnonzero(filled & (view[np.minimum(starts, len(view) - 1)] <= 32) if len(view) else []).tolist():
            filled[i] = bool(buffer[starts[i] : ends[i]].strip(_WHITE))
        return Cut(starts[filled], ends[filled], {}, consumed)


class Elements:
    """The cutter of one JSON array: a record an element. What follows a missing bracket is one bad record."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, buffer: bytes, final: bool, force: bool) -> Cut:
        """See `records.Cutter`; buffers come in order, and each but the first begins with an element or its comma."""
        at = 0
        if not self._begun:
            at = buffer.index(b"[") + 1
        view = np.frombuffer(buffer, dtype=np.uint8)[at:]
        depth = np.cumsum(_steps(view))
        inside = _in_text(view)
        commas = np.flatnonzero((view == 44) & (depth == 0) & ~inside)
        end = np.flatnonzero(depth < 0)
        stop = int(end[0]) if len(end) else len(view)
        commas = commas[commas < stop]
        if not len(end) and not final and not len(commas):
            if force:
                return Cut(np.array([at]), np.array([len(buffer)]), {0: _NO_END}, len(buffer))
            return Cut(view[:0].astype(np.int64), view[:0].astype(np.int64), {}, 0)
        starts = np.concatenate(([0], commas + 1)) + at
        ends = np.append(commas, stop) + at
        ended = bool(len(end))
        consumed = len(buffer)
        if not ended and not final:
            consumed = int(starts[-1])
            starts, ends = starts[:-1], ends[:-1]
        broken: dict[int, tuple[str, str]] = {}
        self._begun = True
        spans = [_stripped(buffer, int(lo), int(hi)) for lo, hi in zip(starts, ends, strict=True)]
        if spans and spans[-1][0] == spans[-1][1] and (ended or final):
            spans.pop()  # `[]`, or blanks after the last comma, are no element
        if ended or final:
            tail = _stripped(buffer, int(ends[-1]) + 1, len(buffer)) if ended else (len(buffer), len(buffer))
            if tail[0] < tail[1]:
                broken[len(spans)] = ("bad_json", "Something follows the end of the array.")
                spans.append(tail)
            consumed = len(buffer)
        for i, (lo, hi) in enumerate(spans):
            if lo == hi:
                broken[i] = ("bad_json", "An element of the array is missing.")
        if final and not ended and spans:
            broken[len(spans) - 1] = ("bad_json", "The array has no end: the file was cut.")
        places = np.array(spans, dtype=np.int64).reshape(-1, 2)
        return Cut(places[:, 0], places[:, 1], broken, consumed)


_NO_END = ("field_too_long", "An element of the array is longer than a record may be.")


def _stripped(buffer: bytes, lo: int, hi: int) -> tuple[int, int]:
    piece = buffer[lo:hi]
    left = len(piece) - len(piece.lstrip(_WHITE))
    return (lo + left, lo + len(piece.rstrip(_WHITE))) if left < len(piece) else (lo, lo)


class Objects:
    """Objects of one file or stream, stretch by stretch; `path` names it in errors."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._known: set[str] = set()
        self._keys: list[str] = []

    def piece(self, block: Block, identity: Hashable = None, *, plain: bool = True) -> Piece:
        """The records of a block, an object each; `plain`: each is known to stand on a line of its own.

        Raises ConfigurationError for names that cannot be columns.
        """
        found = scanned(block, self._one, self._limits.max_field, self._keys, self._limits.max_columns)
        if found is not None:
            self._names([dict.fromkeys(found.names)])
            return self._piece(block, found.frame, found.raw, found.refused)
        rows = plain_rows(block, self._one, self._limits.max_field, identity) if plain else None
        if rows is not None:
            self._names([dict.fromkeys(rows.columns)])
            return Piece(rows, block.numbers, frozenset(), block.fail, [])
        read: list[dict[str, Any]] = []
        refused: dict[int, RefusedError] = {}
        for i, (lo, hi) in enumerate(zip(block.starts.tolist(), block.ends.tolist(), strict=True)):
            try:
                read.append(self._one(block.data[lo:hi]))
            except RefusedError as why:
                refused[i] = why
        return self._piece(block, *columns(read, self._names(read)), refused)

    def _piece(self, block: Block, frame: pl.DataFrame, raw: frozenset[str], refused: dict[int, RefusedError]) -> Piece:
        bad = [block.fail(i, "parse", why.reason, str(why)) for i, why in refused.items()]
        kept = block.without(list(refused)) if refused else block
        return Piece(frame, kept.numbers, raw, kept.fail, sorted(block.bad + bad, key=lambda b: b.record))

    def _one(self, record: bytes) -> dict[str, Any]:
        return parse_object(record, self._limits.max_field)

    def _names(self, rows: list[dict[str, Any]]) -> list[str]:
        """The keys of these rows in the order in which they come."""
        names: dict[str, None] = {}
        for keys in dict.fromkeys(map(tuple, rows)):
            names.update(dict.fromkeys(keys))
            if len(names) > self._limits.max_columns:
                raise too_many_columns(len(names), self._path, self._limits)
        fresh = [name for name in names if name not in self._known]
        check_names(fresh, self._path, self._limits)
        if len(self._known) + len(fresh) > self._limits.max_columns:
            raise too_many_columns(len(self._known) + len(fresh), self._path, self._limits)
        self._known.update(fresh)
        return list(names)


class JsonReader:
    """One file of JSON lines, or of one JSON array of objects."""

    def __init__(self, content: Content, path: str, encoding: Encoding, limits: Limits, array: bool) -> None:
        if not content.head.strip():
            raise Unreadable("empty_file", "The file is empty.")
        self._content, self._encoding, self._limits, self._path, self._array = content, encoding, limits, path, array
        self.facts: dict[str, Any] = {"format": "jsonl", "encoding": encoding.codec, "delimiter": "", "header": []}

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        objects = Objects(self._path, self._limits)
        for block in blocks(self._content, self._encoding, Elements() if self._array else Lines()):
            yield objects.piece(block, self._content.identity or None, plain=not self._array)
