"""Records of JSON lines that are all of one plain shape, read by Polars and believed only where writing them again
gives the same bytes.

Objects with the same keys in the same order, whose values are texts, whole numbers of 64 bits, true or false: most
files of documents. Reading costs an eighth of what a record costs by itself. What is written again as it stood has no
key twice, no other spelling of a number and no half character, so nothing else need be asked; any other record of the
block is read by the careful parser, and a block that is not plain at all is left to it whole.

To write escapes costs more than to take them out of what was read, so both are compared without. The file that was
observed is soon read again; what was found in its blocks is remembered, by its stamp and a hash of the block.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from xxhash import xxh3_128_digest

from tillage.collect.records import Block

Record = dict[str, Any]

_KINDS: dict[type, pl.DataType | type[pl.DataType]] = {str: pl.String, int: pl.Int64, bool: pl.Boolean}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MOST_OTHERS = 8
"""One record in so many, at most, that is not plain: else the careful parser had better read them all."""

_SLASH, _BLANK, _LINE_FEED = 0x5C, 0x20, 0x0A
_FAR_APART = 64
_MEANT = np.zeros(256, dtype=np.uint8)
"""What stands for an escape by the byte behind its backslash; 0 for escapes that are not in _ESCAPES."""
for _sign, _escape in _ESCAPES.items():
    _MEANT[ord(_escape[1])] = ord(_sign)


@dataclass
class Proofs:
    """Blocks that were looked through: place to the records that are not plain; the oldest are forgotten first.

    >>> proofs = Proofs(room=1)
    >>> proofs.put("a", []), proofs.put("b", [7]), proofs.get("a"), proofs.get("b")
    (None, None, None, [7])
    """

    room: int = 4096
    _held: OrderedDict[Hashable, list[int]] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=Lock)

    def put(self, place: Hashable, others: list[int]) -> None:
        """Remember what was found of one."""
        with self._lock:
            self._held[place] = others
            while len(self._held) > self.room:
                self._held.popitem(last=False)

    def get(self, place: Hashable) -> list[int] | None:
        """What was found; None of one that is not known."""
        with self._lock:
            return self._held.get(place)


_proofs = Proofs()


def plain_rows(
    block: Block, parse: Callable[[bytes], Record], longest: int, identity: Hashable = None
) -> pl.DataFrame | None:
    """The rows of a block, as the careful parser would give them; None where that has to look at them.

    `parse` reads one record, and is asked about the first and about those that are not plain; what it refuses, and a
    record longer than `longest` bytes, makes the block not plain. `identity` is that of the bytes of the whole file:
    what was found in a block of it once holds whenever the block is read again.
    """
    lengths = block.ends - block.starts
    together = len(lengths) and not block.bad and (block.starts[1:] == block.ends[:-1] + 1).all()
    if not together or lengths.max() > longest:
        return None
    begin, end = int(block.starts[0]), int(block.ends[-1])
    whole = block.data[begin:end]
    place = (identity, block.offset, xxh3_128_digest(whole))
    try:
        record = block.data[begin : int(block.ends[0])]
        first = parse(record)
        kinds = {name: _KINDS.get(type(value)) for name, value in first.items()}
        spacing = _spacing(first, record)
        if not kinds or None in kinds.values() or spacing is None:
            return None
        frame = pl.read_ndjson(whole, schema=kinds)
        if frame.height != len(lengths):
            return None
        others = _proofs.get(place) if identity is not None else None
        if others is None:
            others = _others(frame, spacing, whole, lengths)
            if len(others) * _MOST_OTHERS > len(lengths):
                return None
            if identity is not None:
                _proofs.put(place, others)
        if not others:
            return frame
        read = [parse(block.data[block.starts[n] : block.ends[n]]) for n in others]
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


def _others(frame: pl.DataFrame, spacing: tuple[str, str], whole: bytes, lengths: npt.NDArray[np.int64]) -> list[int]:
    """The records that are not, byte for byte, what would be written of their rows.

    Compared without escapes, once it is sure that a record has none but those that would be written. A record that says
    more than its row (a key twice) is longer than what is written of it, so it cannot be taken for another one.
    """
    view = np.frombuffer(whole, dtype=np.uint8)
    ends = np.cumsum(lengths + 1) - 1
    odd = np.zeros(len(lengths), dtype=np.bool_)
    if np.count_nonzero(view < _BLANK) != len(lengths) - 1:  # a text holds none as it is; a line feed ends a record
        low = np.flatnonzero(view < _BLANK)
        odd[np.searchsorted(ends, low[view[low] != _LINE_FEED])] = True
    bare, sizes = whole, lengths
    slashes = np.flatnonzero(view == _SLASH)
    if slashes.size:
        fresh = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        in_run = np.arange(slashes.size) - np.repeat(fresh, np.diff(fresh, append=slashes.size))
        escapes = slashes[in_run % 2 == 0]
        meant = _MEANT[view[escapes + 1]]
        odd[np.searchsorted(ends, escapes[meant == 0])] = True
        signs = view.copy()
        signs[escapes + 1] = meant
        bare = _without(signs, escapes)
        sizes = lengths - np.diff(np.searchsorted(escapes, ends), prepend=0)
    again = _written(frame, spacing)
    odd |= again.bin.size().to_numpy() != sizes
    begins = np.cumsum(sizes + 1) - (sizes + 1)
    found = np.flatnonzero(odd)
    runs = zip([0, *(found + 1).tolist()], [*found.tolist(), len(odd)], strict=True)
    left = [bare[begins[a] : begins[b - 1] + sizes[b - 1]] for a, b in runs if a < b]
    if again.filter(pl.Series(~odd)).cast(pl.String).str.join("\n").cast(pl.Binary)[0] != b"\n".join(left):
        records = [bare[at : at + size] for at, size in zip(begins.tolist(), sizes.tolist(), strict=True)]
        odd |= np.array([one != other for one, other in zip(again.to_list(), records, strict=True)])
    others: list[int] = np.flatnonzero(odd).tolist()
    return others


def _fits(value: Any, kind: Any) -> bool:
    return value is None or _KINDS.get(type(value)) == kind


def _spacing(first: Record, record: bytes) -> tuple[str, str] | None:
    """What stands between entries and behind keys: how `json.dumps` and its like write, with blanks or without."""
    for between, behind in ((",", ":"), (", ", ": ")):
        if json.dumps(first, ensure_ascii=False, separators=(between, behind)).encode() == record:
            return between, behind
    return None


def _without(signs: npt.NDArray[np.uint8], places: npt.NDArray[np.intp]) -> bytes:
    """The bytes but those at these places, which are copied in pieces where they are few."""
    if len(places) * _FAR_APART > len(signs):
        return np.delete(signs, places).tobytes()
    ends, cut = places.tolist(), signs.data
    return b"".join([cut[a:b] for a, b in zip([0, *(end + 1 for end in ends)], [*ends, len(signs)], strict=True)])


def _written(frame: pl.DataFrame, spacing: tuple[str, str]) -> pl.Series:
    """Each row as a JSON object without escapes, in bytes; empty where a value is missing."""
    between, behind = spacing
    parts: list[pl.Expr] = []
    for n, (name, kind) in enumerate(frame.schema.items()):
        before = ("{" if n == 0 else between) + json.dumps(name, ensure_ascii=False) + behind
        value = pl.col(name)
        parts += (
            [pl.lit(before + '"'), value, pl.lit('"')] if kind == pl.String else [pl.lit(before), value.cast(pl.String)]
        )
    parts.append(pl.lit("}"))
    return frame.select(pl.concat_str(parts).fill_null("").cast(pl.Binary).alias("")).to_series()
